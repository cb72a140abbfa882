package main

import (
	"testing"

	"flashsale/pkg/app"
)

// The sandbox pays with the development secret. The sign-in by name exists only beside it, and not with another issuer.
func TestShopPlaysTheProviderOnlyWithDevelopmentKeys(t *testing.T) {
	t.Chdir(t.TempDir())
	const secret = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0"
	for _, c := range []struct {
		name              string
		config            app.Config
		sandbox, byName   bool
		signInNeeded      bool
		secretsAfterwards int
	}{
		{"nothing is configured", app.Config{}, true, true, false, 1},
		{"WEBHOOK_SECRETS", app.Config{WebhookSecrets: []string{secret}}, false, false, false, 1},
		{"JWT_ISSUER", app.Config{JWTIssuer: "https://shop.example.com", JWTAudience: "shop"}, true, false, true, 1},
		{"both", app.Config{WebhookSecrets: []string{secret}, JWTIssuer: "https://shop.example.com", JWTAudience: "shop"}, false, false, true, 1},
	} {
		env := environment{config: app.LocalConfig{Config: c.config}}
		o, err := openShop(&env)
		if err != nil {
			t.Fatal(err)
		}
		if (o.Sandbox != nil) != c.sandbox || (o.Issuer != nil) != c.byName || o.SignInNeeded != c.signInNeeded || len(env.config.WebhookSecrets) != c.secretsAfterwards {
			t.Errorf("%s: got %+v and %d secrets, expected %+v", c.name, o, len(env.config.WebhookSecrets), c)
		}
	}
}
