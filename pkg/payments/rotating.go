package payments

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"flashsale/pkg/checkout"
)

const (
	// secretsTTL is how long secrets are used before they are reloaded.
	secretsTTL = 5 * time.Minute
	// secretsPause is the minimum interval between reloads triggered by a bad signature, so that forged requests cannot
	// flood the store.
	secretsPause = time.Second
	// failurePause is the minimum interval between reloads after one failed while older secrets are known. The store may
	// fail slowly, and deliveries should not wait for it.
	failurePause = 30 * time.Second
)

// Secrets returns the valid secrets, newest first, or none if no secret is configured.
type Secrets func(ctx context.Context) ([]string, error)

// FixedSecrets returns secrets that never change.
func FixedSecrets(secrets []string) Secrets {
	return func(context.Context) ([]string, error) { return secrets, nil }
}

// Rotating verifies with secrets that can be rotated while the program runs. It loads them at the first delivery and
// keeps them for 5 minutes. After a bad signature it reloads them, because the provider may sign with a newer secret. It
// is safe for concurrent use.
type Rotating struct {
	secrets Secrets
	parse   func(secrets []string) (verifier, error)
	log     *slog.Logger

	mu      sync.Mutex
	current verifier  // nil: no secret is configured
	known   bool      // current was loaded at least once
	failed  error     // why loading failed, if it did
	readAt  time.Time // time of the last success
	notSoon time.Time // no reload before this time
}

// verifier is Standard or Stripe.
type verifier interface {
	Event(header http.Header, body []byte) (checkout.PaymentEvent, error)
}

// NewRotatingStandard verifies like Standard.
func NewRotatingStandard(secrets Secrets, log *slog.Logger) *Rotating {
	return &Rotating{secrets: secrets, log: log, parse: func(s []string) (verifier, error) { return NewStandard(s) }}
}

// NewRotatingStripe verifies like Stripe.
func NewRotatingStripe(secrets Secrets, only StripeOnly, log *slog.Logger) *Rotating {
	return &Rotating{secrets: secrets, log: log, parse: func(s []string) (verifier, error) { return NewStripe(s, only) }}
}

// Event verifies a delivery and reads it: see Standard.Event and Stripe.Event. Further codes: not_found if no secret is
// configured, busy if the secrets cannot be loaded and none are known.
func (r *Rotating) Event(ctx context.Context, header http.Header, body []byte) (checkout.PaymentEvent, error) {
	v, err := r.verifier(ctx, secretsTTL)
	if err != nil {
		return checkout.PaymentEvent{}, err
	}
	event, err := verify(v, header, body)
	if code := checkout.CodeOf(err); code != checkout.CodeSignatureInvalid && code != checkout.CodeNotFound {
		return event, err
	}
	newer, readErr := r.verifier(ctx, 0)
	if readErr != nil || newer == v {
		return event, err
	}
	return verify(newer, header, body)
}

func verify(v verifier, header http.Header, body []byte) (checkout.PaymentEvent, error) {
	if v == nil {
		return checkout.PaymentEvent{}, checkout.ErrWebhookNotSetUp
	}
	return v.Event(header, body)
}

// verifier returns a verifier with secrets no older than maxAge, as far as the pauses allow. If the secrets cannot be
// loaded, the known ones stay in use.
func (r *Rotating) verifier(ctx context.Context, maxAge time.Duration) (verifier, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known && time.Since(r.readAt) < maxAge || time.Now().Before(r.notSoon) {
		return r.current, r.failed
	}
	v, err := r.read(ctx)
	now := time.Now()
	switch {
	case err == nil:
		r.current, r.known, r.failed, r.readAt, r.notSoon = v, true, nil, now, now.Add(secretsPause)
	case !r.known:
		r.failed, r.notSoon = checkout.Busy(err), now.Add(secretsPause)
	default:
		r.log.WarnContext(ctx, "the webhook secrets cannot be read; the known ones stay in use", "error", err.Error())
		r.notSoon = now.Add(failurePause)
	}
	return r.current, r.failed
}

func (r *Rotating) read(ctx context.Context) (verifier, error) {
	secrets, err := r.secrets(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the webhook secrets: %w", err)
	}
	if len(secrets) == 0 {
		return nil, nil //nolint:nilnil // no secret is configured
	}
	// An invalid secret, such as a typing error, is skipped, so that the others stay usable.
	var usable []string
	var bad error
	for i, secret := range secrets {
		if _, err := r.parse([]string{secret}); err != nil {
			bad = err // does not contain the secret
			r.log.ErrorContext(ctx, "a webhook secret is invalid", "which", fmt.Sprintf("%d of %d, the newest first", i+1, len(secrets)), "error", err.Error())
			continue
		}
		usable = append(usable, secret)
	}
	if len(usable) == 0 {
		return nil, fmt.Errorf("no webhook secret is valid: %w", bad)
	}
	return r.parse(usable)
}
