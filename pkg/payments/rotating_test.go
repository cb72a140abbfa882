package payments_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flashsale/pkg/checkout"
	"flashsale/pkg/payments"
)

// store is a secret store in which secrets are rotated.
type store struct {
	secrets []string
	err     error
	reads   int
}

func (s *store) read(context.Context) ([]string, error) {
	s.reads++
	return s.secrets, s.err
}

func rotatedSecret(text string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(text+"-0123456789abcdef"))
}

// The secrets in these tests: another sender's, the one in use, and the one before.
const other, current, previous = "other", "current", "previous"

const none = checkout.Code("")

// rotation is one delivery, after a change of the store.
type rotation struct {
	after   time.Duration
	secrets []string // secrets in the store from now on; nil: unchanged
	err     error    // error of the store from now on
	signed  string
	want    checkout.Code
	reads   int // reads since the start
	logged  int // lines logged in this step
}

// play delivers one event per step, by a fake clock.
func play(t *testing.T, steps []rotation) {
	t.Helper()
	body := []byte(`{"type":"something.else","data":{}}`)
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		var log bytes.Buffer
		r := payments.NewRotatingStandard(s.read, slog.New(slog.NewTextHandler(&log, nil)))
		for i, step := range steps {
			time.Sleep(step.after) // by the test's fake clock
			s.err = step.err
			if step.secrets != nil {
				s.secrets = nil
				for _, text := range step.secrets {
					if text != "sk_live_" {
						text = rotatedSecret(text)
					}
					s.secrets = append(s.secrets, text)
				}
			}
			signer := mustStandard(t, rotatedSecret(step.signed))
			_, err := r.Event(t.Context(), signer.Sign("msg_1", time.Now(), body), body)
			if (err != nil && checkout.CodeOf(err) == "") || checkout.CodeOf(err) != step.want || s.reads != step.reads {
				t.Errorf("step %d: Event returned %v after %d reads, expected code %q after %d", i+1, err, s.reads, step.want, step.reads)
			}
			if lines := strings.Count(log.String(), "\n"); lines != step.logged || strings.Contains(log.String(), "sk_live_") {
				t.Errorf("step %d: %d lines were logged, expected %d: %s", i+1, lines, step.logged, log.String())
			}
			log.Reset()
		}
	})
}

func TestRotatedSecretsAreReloaded(t *testing.T) {
	for name, steps := range map[string][]rotation{
		"both secrets are accepted, and read once in five minutes": {
			{secrets: []string{current, previous}, signed: current, want: none, reads: 1},
			{after: 4 * time.Minute, signed: previous, want: none, reads: 1},
			{after: time.Minute, signed: current, want: none, reads: 2},
		},
		"a newer secret is found after a signature mismatch": {
			{secrets: []string{previous}, signed: previous, want: none, reads: 1},
			{after: 2 * time.Second, secrets: []string{current, previous}, signed: current, want: none, reads: 2},
			{signed: previous, want: none, reads: 2},
		},
		"forged deliveries cause at most one read per second": {
			{secrets: []string{current}, signed: other, want: checkout.CodeSignatureInvalid, reads: 1},
			{signed: other, want: checkout.CodeSignatureInvalid, reads: 1},
			{after: time.Second, signed: other, want: checkout.CodeSignatureInvalid, reads: 2},
			{signed: other, want: checkout.CodeSignatureInvalid, reads: 2},
			{signed: current, want: none, reads: 2},
		},
		"a retired secret is refused at the next reading": {
			{secrets: []string{previous}, signed: previous, want: none, reads: 1},
			{after: 5 * time.Minute, secrets: []string{current}, signed: previous, want: checkout.CodeSignatureInvalid, reads: 2},
		},
	} {
		t.Run(name, func(t *testing.T) { play(t, steps) })
	}
}

// A store that fails, or has nothing to use, leaves what is known in use.
func TestRotationSurvivesABrokenStore(t *testing.T) {
	for name, steps := range map[string][]rotation{
		"no secret yet, then one": {
			{secrets: []string{}, signed: current, want: checkout.CodeNotFound, reads: 1},
			{after: 2 * time.Second, secrets: []string{current}, signed: current, want: none, reads: 2},
		},
		"the store fails at first": {
			{err: errors.New("away"), signed: current, want: checkout.CodeBusy, reads: 1},
			{err: errors.New("away"), signed: current, want: checkout.CodeBusy, reads: 1},
			{after: time.Second, secrets: []string{current}, signed: current, want: none, reads: 2},
		},
		"the store fails later: what is known stays in use": {
			{secrets: []string{current}, signed: current, want: none, reads: 1},
			{after: 6 * time.Minute, err: errors.New("away"), signed: current, want: none, reads: 2, logged: 1},
			{after: 29 * time.Second, err: errors.New("away"), signed: other, want: checkout.CodeSignatureInvalid, reads: 2},
			{after: time.Second, err: errors.New("away"), signed: other, want: checkout.CodeSignatureInvalid, reads: 3, logged: 1},
			{after: 30 * time.Second, signed: current, want: none, reads: 4},
		},
		"a corrected typing error does no harm": {
			{secrets: []string{"sk_live_"}, signed: current, want: checkout.CodeBusy, reads: 1, logged: 1},
			{after: time.Second, secrets: []string{current, "sk_live_", previous}, signed: current, want: none, reads: 2, logged: 1},
			{signed: previous, want: none, reads: 2},
		},
		"an invalid secret is skipped for the one before": {
			{secrets: []string{"sk_live_", previous}, signed: previous, want: none, reads: 1, logged: 1},
		},
		"none that can be used: what is known stays in use": {
			{secrets: []string{current}, signed: current, want: none, reads: 1},
			{after: 6 * time.Minute, secrets: []string{"sk_live_"}, signed: current, want: none, reads: 2, logged: 2},
		},
	} {
		t.Run(name, func(t *testing.T) { play(t, steps) })
	}
}

func TestRotatedStripeSecretsAreReloaded(t *testing.T) {
	body := []byte(`{"id":"evt_1","type":"something.else","data":{"object":{}}}`)
	r := payments.NewRotatingStripe(payments.FixedSecrets([]string{stripeSecret}), payments.StripeOnly{}, slog.New(slog.DiscardHandler))
	if _, err := r.Event(t.Context(), mustStripe(t, stripeSecret).Sign(time.Now(), body), body); err != nil {
		t.Error(err)
	}
	if _, err := r.Event(t.Context(), mustStripe(t, "whsec_other").Sign(time.Now(), body), body); checkout.CodeOf(err) != checkout.CodeSignatureInvalid {
		t.Error(err)
	}
}
