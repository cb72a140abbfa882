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
	// secretsLife is how long secrets are used before they are read again.
	secretsLife = 5 * time.Minute
	// secretsPause is how soon at the earliest a signature that does not match, or having none that can be used, has them
	// read again: else anybody could have the store asked once a forged request.
	secretsPause = time.Second
	// failurePause is how soon they are read again after a failure while older ones are known: the store may take its
	// time to fail, and nobody should wait for it with every delivery.
	failurePause = 30 * time.Second
)

// Secrets reads the secrets that are valid now, the newest first; none when nobody has set any up.
type Secrets func(ctx context.Context) ([]string, error)

// FixedSecrets are secrets that do not change while the program runs.
func FixedSecrets(secrets []string) Secrets {
	return func(context.Context) ([]string, error) { return secrets, nil }
}

// Rotating verifies with secrets that can be rotated while the program runs. They are read when the first delivery
// comes, kept for 5 minutes, and read once more for a delivery whose signature does not match: the provider may have
// begun to sign with a secret that is newer than ours. It is safe for concurrent use.
type Rotating struct {
	secrets Secrets
	parse   func(secrets []string) (verifier, error)
	log     *slog.Logger

	mu      sync.Mutex
	current verifier  // nil: nobody has set a secret up
	known   bool      // current was read at least once
	failed  error     // why not, after a try
	readAt  time.Time // of the last success
	notSoon time.Time // before this they are not read again
}

// verifier is Standard or Stripe.
type verifier interface {
	Event(header http.Header, body []byte) (checkout.PaymentEvent, error)
}

// NewRotatingStandard verifies as Standard does.
func NewRotatingStandard(secrets Secrets, log *slog.Logger) *Rotating {
	return &Rotating{secrets: secrets, log: log, parse: func(s []string) (verifier, error) { return NewStandard(s) }}
}

// NewRotatingStripe verifies as Stripe does.
func NewRotatingStripe(secrets Secrets, log *slog.Logger) *Rotating {
	return &Rotating{secrets: secrets, log: log, parse: func(s []string) (verifier, error) { return NewStripe(s) }}
}

// Event verifies a delivery and reads it: see Standard.Event and Stripe.Event. More codes: not_found when no secret is
// set up, busy when the secrets cannot be read and none are known.
func (r *Rotating) Event(ctx context.Context, header http.Header, body []byte) (checkout.PaymentEvent, error) {
	v, err := r.verifier(ctx, secretsLife)
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

// verifier returns one whose secrets are younger than maxAge, or as young as the pauses allow. While the secrets cannot
// be read, those that are known stay in use.
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
		r.log.WarnContext(ctx, "the webhook secrets cannot be read; those that are known stay in use", "error", err.Error())
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
		return nil, nil //nolint:nilnil // nobody has set a secret up
	}
	// One that cannot be used, such as a typing error or one that has been mended since, is passed over for the others.
	var usable []string
	var bad error
	for i, secret := range secrets {
		if _, err := r.parse([]string{secret}); err != nil {
			bad = err // says what is wrong with it, not what it is
			r.log.ErrorContext(ctx, "a webhook secret cannot be used", "which", fmt.Sprintf("%d of %d, the newest first", i+1, len(secrets)), "error", err.Error())
			continue
		}
		usable = append(usable, secret)
	}
	if len(usable) == 0 {
		return nil, fmt.Errorf("no webhook secret can be used: %w", bad)
	}
	return r.parse(usable)
}
