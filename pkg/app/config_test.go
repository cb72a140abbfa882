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
		"ADDR": "8080", "HOLD_TTL": "two minutes", "PAYMENT_WINDOW": "-1m", "RETENTION": "59m", "LOG_LEVEL": "loud", "CACHE_ADDR": "cache",
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
