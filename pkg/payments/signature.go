package payments

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"flashsale/pkg/checkout"
)

// The names of the providers, as in [checkout.PaymentEvent]. With the event's id they make its identity, so they
// must never change.
const (
	ProviderStandard = "standard"
	ProviderStripe   = "stripe"
)

// tolerance is how far a signed timestamp may be from our clock, either way. Both providers' own libraries use it.
const tolerance = 5 * time.Minute

// secretPrefix begins the secrets of Standard Webhooks and of Stripe, so it tells a webhook secret from, say, an
// API key that was put in the wrong variable.
const secretPrefix = "whsec_"

// inTolerance is asked only after the signature: whoever cannot sign learns nothing about our clock, and a right
// signature with a wrong time is told apart from a wrong signature.
func inTolerance(signedAt time.Time) error {
	off := time.Since(signedAt) // saturates, however absurd the timestamp
	if off.Abs() <= tolerance {
		return nil
	}
	return checkout.TimestampOutOfTolerance(fmt.Errorf("signed %v before our clock", off.Round(time.Second)))
}

// parseSecrets turns each secret into a key. An error names the secret by its position, never by its value.
func parseSecrets[K any](secrets []string, parse func(afterPrefix string) (K, error)) ([]K, error) {
	if len(secrets) == 0 {
		return nil, errors.New("there is no webhook secret")
	}
	keys := make([]K, 0, len(secrets))
	for i, secret := range secrets {
		// A secret pasted into a file or a secrets manager often brings a line end along.
		rest, ok := strings.CutPrefix(strings.TrimSpace(secret), secretPrefix)
		if !ok {
			return nil, fmt.Errorf("webhook secret %d of %d does not begin with %s", i+1, len(secrets), secretPrefix)
		}
		key, err := parse(rest)
		if err != nil {
			return nil, fmt.Errorf("webhook secret %d of %d: %w", i+1, len(secrets), err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}
