package app_test

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"flashsale/pkg/app"
)

func TestDefaults(t *testing.T) {
	for _, name := range variables() {
		t.Setenv(name, "") // restored at the end
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	c, err := app.ReadConfig()
	if err != nil {
		t.Fatal(err)
	}
	if c.Addr != "127.0.0.1:8080" || c.HoldTTL != 2*time.Minute || c.PaymentWindow != 15*time.Minute || c.WebhookSecrets != nil {
		t.Errorf("%+v", c)
	}
}

// A variable that cannot be understood is named in one line, and its value is not shown where it is a secret.
func TestBadVariables(t *testing.T) {
	for name, value := range map[string]string{
		"ADDR": "8080", "HOLD_TTL": "two minutes", "PAYMENT_WINDOW": "-1m", "LOG_LEVEL": "loud", "CACHE_ADDR": "cache",
		"MYSQL_DSN": "root:hunter2@nowhere", "WEBHOOK_SECRETS": "whsec_hunter2", "STRIPE_WEBHOOK_SECRETS": "hunter2",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			_, err := app.ReadConfig()
			if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestSecretsAreSplitAndTrimmed(t *testing.T) {
	t.Setenv("WEBHOOK_SECRETS", "whsec_MDEyMzQ1Njc4OWFiY2RlZg==, whsec_MDEyMzQ1Njc4OWFiY2RlZw==,")
	c, err := app.ReadConfig()
	if err != nil || len(c.WebhookSecrets) != 2 {
		t.Errorf("%v %v", c.WebhookSecrets, err)
	}
}

// TestVariablesAreDocumented fails when the README's table leaves one out.
func TestVariablesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range variables() {
		if !strings.Contains(string(text), "| `"+name+"` |") {
			t.Errorf("README.md does not document %s", name)
		}
	}
}

func variables() (names []string) {
	for field := range reflect.TypeFor[app.Config]().Fields() {
		names = append(names, field.Tag.Get("env"))
	}
	return names
}
