package payments

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"flashsale/pkg/checkout"
)

// tolerance is the maximum distance of a signed timestamp from the current time, either way. The libraries of both
// providers use the same.
const tolerance = 5 * time.Minute

// secretPrefix starts every secret of Standard Webhooks and Stripe. It tells a webhook secret from an API key in the wrong
// variable.
const secretPrefix = "whsec_"

// checkTolerance runs after the signature check, so that only a valid sender learns about the server's clock.
func checkTolerance(signedAt time.Time) error {
	off := time.Since(signedAt) // saturates for extreme timestamps
	if off.Abs() <= tolerance {
		return nil
	}
	return checkout.TimestampOutOfTolerance(fmt.Errorf("signed %v before the current time", off.Round(time.Second)))
}

// parseSecrets parses each secret into a key. An error names the secret by its position, never by its value.
func parseSecrets[K any](secrets []string, parse func(afterPrefix string) (K, error)) ([]K, error) {
	if len(secrets) == 0 {
		return nil, errors.New("no webhook secret is given")
	}
	keys := make([]K, 0, len(secrets))
	for i, secret := range secrets {
		// A secret pasted into a file or a secrets manager often ends with a line break.
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
