package app_test

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"flashsale/pkg/app"
)

func TestDefaultsOfTheConfiguration(t *testing.T) {
	clearVariables(t)
	c, err := app.ReadLocalConfig()
	if err != nil {
		t.Fatal(err)
	}
	if c.Addr != "127.0.0.1:8080" || c.HoldTTL != 2*time.Minute || c.PaymentWindow != 15*time.Minute || c.Retention != 30*24*time.Hour || c.WebhookSecrets != nil {
		t.Errorf("the defaults are %+v, expected ADDR 127.0.0.1:8080, HOLD_TTL 2m, PAYMENT_WINDOW 15m, RETENTION 720h and no secrets", c)
	}
}

// The error is one line with the variable's name, and without a secret value.
func TestInvalidVariableIsNamed(t *testing.T) {
	for name, value := range map[string]string{
		"ADDR": "8080", "HOLD_TTL": "two minutes", "PAYMENT_WINDOW": "-1m", "RETENTION": "59m", "LOG_LEVEL": "loud", "ALLOWED_ORIGIN": "shop.example.com", "CACHE_ADDR": "cache",
		"MYSQL_DSN": "root:hunter2@nowhere", "WEBHOOK_SECRETS": "whsec_hunter2", "STRIPE_WEBHOOK_SECRETS": "hunter2",
		"EDGE_SECRET": strings.Repeat("a", 32) + ",hunter2",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			_, err := app.ReadLocalConfig()
			if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error is %v, expected one line with %s and no secret", err, name)
			}
		})
	}
}

func TestSignInSettingsBelongTogether(t *testing.T) {
	const issuer = "https://id.example.com/"
	for what, c := range map[string]struct{ issuer, audience, jwks, want string }{
		"discovery":                  {issuer, "shop", "", ""},
		"a key set by URL":           {issuer, "shop", "http://127.0.0.1:9000/jwks", ""},
		"an issuer that is no URL":   {"urn:id", "shop", "keys/jwks.json", ""},
		"no audience":                {issuer, "", "", "JWT_ISSUER and JWT_AUDIENCE must be set together"},
		"no issuer":                  {"", "shop", "", "JWT_ISSUER and JWT_AUDIENCE must be set together"},
		"keys alone":                 {"", "", "jwks.json", "JWT_JWKS is set, expected JWT_ISSUER and JWT_AUDIENCE as well"},
		"nothing to discover":        {"urn:id", "shop", "", `JWT_ISSUER is "urn:id", expected an http or https URL, or JWT_JWKS as well`},
		"keys of another scheme":     {issuer, "shop", "ftp://id.example.com/jwks", `JWT_JWKS is "ftp://id.example.com/jwks", expected an http or https URL, or a file`},
		"a space beside the issuer":  {issuer + " ", "shop", "", "without spaces"},
		"two audiences in one text":  {issuer, "shop another", "", "without spaces"},
		"a line break in the issuer": {issuer + "\n", "shop", "", "without spaces"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Setenv("JWT_ISSUER", c.issuer)
			t.Setenv("JWT_AUDIENCE", c.audience)
			t.Setenv("JWT_JWKS", c.jwks)
			_, err := app.ReadLocalConfig()
			if (err == nil) != (c.want == "") || (err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n"))) {
				t.Errorf("the error is %v, expected one line with %q", err, c.want)
			}
		})
	}
}

func TestOrderLimitIsAtLeastHoldTTL(t *testing.T) {
	for limit, want := range map[string]time.Duration{"": 0, "2m": 2 * time.Minute, "1m59s": -1, "soon": -1, "721h": -1} {
		t.Run(limit, func(t *testing.T) {
			clearVariables(t)
			t.Setenv("ORDER_LIMIT", limit)
			c, err := app.ReadLocalConfig()
			if want < 0 && (err == nil || !strings.Contains(err.Error(), "ORDER_LIMIT")) {
				t.Errorf("the error is %v, expected one that names ORDER_LIMIT", err)
			}
			if want >= 0 && (err != nil || c.OrderLimit != want) {
				t.Errorf("got %s and %v, expected %s", c.OrderLimit, err, want)
			}
		})
	}
}

func TestSecretsAreSplitAndTrimmed(t *testing.T) {
	t.Setenv("WEBHOOK_SECRETS", "whsec_MDEyMzQ1Njc4OWFiY2RlZg==, whsec_MDEyMzQ1Njc4OWFiY2RlZw==,")
	c, err := app.ReadLocalConfig()
	if err != nil || len(c.WebhookSecrets) != 2 {
		t.Errorf("WEBHOOK_SECRETS is %v (%v), expected two secrets", c.WebhookSecrets, err)
	}
}

// TestVariablesAreDocumented fails when docs/configuration.md leaves one out.
func TestVariablesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range variables() {
		if !strings.Contains(string(text), "| `"+name+"` |") {
			t.Errorf("docs/configuration.md does not document %s", name)
		}
	}
}

func TestFunctionNamesMissingAndInvalidVariables(t *testing.T) {
	complete := map[string]string{
		"DB_HOST": "proxy.example", "CACHE_ADDR": "cache.example:6379", "CACHE_NAME": "cache", "CACHE_USER": "app", "MYSQL_DSN": "", "WEBHOOK_SECRETS": "",
	}
	for name, tc := range map[string]struct {
		change map[string]string
		want   string // part of the error; "" for none
	}{
		"IAM":                  {nil, ""},
		"servers without IAM":  {map[string]string{"MYSQL_DSN": "root@tcp(127.0.0.1:3306)/flashsale", "DB_HOST": "", "CACHE_NAME": "", "CACHE_USER": ""}, ""},
		"no database":          {map[string]string{"DB_HOST": ""}, "DB_HOST is missing"},
		"no cache":             {map[string]string{"CACHE_ADDR": ""}, "CACHE_ADDR is missing"},
		"a cache without user": {map[string]string{"CACHE_USER": ""}, "CACHE_NAME and CACHE_USER"},
		"an issuer alone":      {map[string]string{"JWT_ISSUER": "https://id.example.com/"}, "JWT_ISSUER and JWT_AUDIENCE"},
		"an invalid port":      {map[string]string{"DB_PORT": "mysql"}, "DB_PORT cannot be understood, expected a port"},
		"an invalid duration":  {map[string]string{"HOLD_TTL": "soon"}, "HOLD_TTL cannot be understood"},
	} {
		t.Run(name, func(t *testing.T) {
			clearVariables(t)
			for _, variables := range []map[string]string{complete, tc.change} {
				for name, value := range variables {
					t.Setenv(name, value)
				}
			}
			_, err := app.ReadFunctionConfig()
			if (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("the error is %v, expected %q in it", err, tc.want)
			}
		})
	}
}

// clearVariables unsets every variable until the end of the test.
func clearVariables(t *testing.T) {
	t.Helper()
	for _, name := range variables() {
		t.Setenv(name, "") // restored at the end
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
}

// variables lists the variables of the flashsale command and of the functions.
func variables() (names []string) {
	for _, config := range []reflect.Type{reflect.TypeFor[app.LocalConfig](), reflect.TypeFor[app.FunctionConfig]()} {
		for _, field := range reflect.VisibleFields(config) {
			if name := field.Tag.Get("env"); name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

func TestStripeIsUsedIfItIsConfigured(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config app.Config
		want   bool
	}{
		{app.Config{}, false},
		{app.Config{WebhookSecrets: []string{"whsec_a"}, StripeAccount: "acct_a"}, false},
		{app.Config{StripeWebhookSecrets: []string{"whsec_a"}}, true},
		{app.Config{StripeLivemode: "false"}, true},
	} {
		if got := c.config.UsesStripe(); got != c.want {
			t.Errorf("UsesStripe of %+v is %t, expected %t", c.config, got, c.want)
		}
	}
}
