package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"flashsale/pkg/payments"
)

// secretFile has this directory's development secret. The first `flashsale run` makes it at random, so that the source
// code contains no valid secret.
var secretFile = filepath.Join(localDir, "webhook-secret")

func developmentSecret() (string, error) {
	if secret, err := os.ReadFile(secretFile); err == nil { //nolint:gosec // G304: a file of the shop
		return strings.TrimSpace(string(secret)), nil
	}
	secret := newSecret()
	if err := os.MkdirAll(localDir, 0o750); err != nil {
		return "", fmt.Errorf("keeping the development secret: %w", err)
	}
	if err := os.WriteFile(secretFile, []byte(secret+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keeping the development secret: %w", err)
	}
	return secret, nil
}

// newSecret makes a secret of Standard Webhooks at random.
func newSecret() string {
	key := make([]byte, 24)
	_, _ = rand.Read(key) // never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(key)
}

// webhookSigner returns a signer that the server of this directory accepts.
func webhookSigner(env environment) (*payments.Standard, error) {
	secrets := env.config.WebhookSecrets
	if len(secrets) == 0 {
		secret, err := os.ReadFile(secretFile) //nolint:gosec // G304: a file of the shop
		if errors.Is(err, fs.ErrNotExist) {
			return nil, noShop("WEBHOOK_SECRETS")
		}
		if err != nil {
			return nil, fmt.Errorf("reading the development secret: %w", err)
		}
		secrets = []string{strings.TrimSpace(string(secret))}
	}
	return payments.NewStandard(secrets[:1])
}
