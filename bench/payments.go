package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
	"flashsale/pkg/payments"
)

// The callers of the payment cases.
var paymentCallers = []int{16, 64}

const (
	paidElsewhere = "events of holds that another process placed, 64 callers"
	paymentWindow = 15 * time.Minute
)

// eventCase names a case, such as "ledger, 64 callers".
func eventCase(design string, callers int) string {
	return fmt.Sprintf("%s, %d callers", design, callers)
}

// runPayments measures payment events for one hot product: over HTTP, and of the ledger alone, with and without its queue. With
// --before it measures another program, too, in the same rounds.
func runPayments(ctx context.Context, t *trial) error {
	return t.onServer(ctx, func(ctx context.Context, s *site) error {
		db, err := connect(s.appDSN, slices.Max(paymentCallers))
		if err != nil {
			return err
		}
		defer db.Close() //nolint:errcheck // at the end of the experiment
		single := ledger.New(db, nothing{})
		cases, err := s.paymentCases("")
		if err != nil {
			return err
		}
		for _, callers := range paymentCallers {
			cases = append(cases, s.applied(theLedger, callers, s.ledger), s.applied(noQueue, callers, single))
		}
		compare := func(t *trial) {
			for _, callers := range paymentCallers {
				t.add(eventCase(theLedger, callers), "rate ÷ no queue", t.last(eventCase(theLedger, callers), "calls/s")/t.last(eventCase(noQueue, callers), "calls/s"))
			}
		}
		if t.options.Before == "" {
			return errors.Join(t.alternate(ctx, func() { compare(t) }, cases...), s.mustBeClean(ctx))
		}
		return t.onProgram(ctx, t.options.Before, func(ctx context.Context, old *site) error {
			olds, err := old.paymentCases(before)
			if err != nil {
				return err
			}
			err = t.alternate(ctx, func() {
				compare(t)
				for _, name := range []string{eventCase("events", 16), eventCase("events", 64), paidElsewhere} {
					t.add(name, "rate ÷ before", t.last(name, "calls/s")/t.last(before+name, "calls/s"))
					t.add(name, "p99 ÷ before", t.last(name, "p99, ms")/t.last(before+name, "p99, ms"))
				}
			}, append(olds, cases...)...)
			return errors.Join(err, s.mustBeClean(ctx), old.mustBeClean(ctx))
		})
	})
}

// paymentCases are the cases of one server. Their names begin with prefix.
func (s *site) paymentCases(prefix string) ([]func(context.Context) error, error) {
	signer, err := payments.NewStandard([]string{s.secret})
	if err != nil {
		return nil, err
	}
	send := s.client(64)
	pay := func(_ context.Context, id checkout.ID) error {
		hold, amount, now := id.HoldID(), int64(unitPrice), time.Now()
		data := payments.StandardData{PaymentID: "pay_" + hold, HoldID: hold, Amount: &amount, Currency: "USD"}
		body := payments.StandardBody(payments.StandardSucceeded, now, data)
		return send(http.StatusOK, http.MethodPost, "/v1/payments/webhook", body, signer.Sign("evt_"+hold, now, body))
	}
	read := func(_ context.Context, id checkout.ID) error { // the server then knows the hold, as if it had placed it
		return send(http.StatusOK, http.MethodGet, "/v1/holds/"+id.HoldID(), nil, nil)
	}
	cases := []func(context.Context) error{s.paid(prefix+paidElsewhere, 64, nil, pay)}
	for _, callers := range paymentCallers {
		cases = append(cases, s.paid(prefix+eventCase("events", callers), callers, read, pay))
	}
	return cases, nil
}

// applied returns a case of the ledger without a server.
func (s *site) applied(design string, callers int, l *ledger.Ledger) func(context.Context) error {
	var read func(ctx context.Context, id checkout.ID) error
	if design == theLedger {
		read = func(ctx context.Context, id checkout.ID) error {
			_, err := l.Hold(ctx, checkout.Caller{}, id)
			return err
		}
	}
	return s.paid(eventCase(design, callers), callers, read, func(ctx context.Context, id checkout.ID) error {
		hold := id.HoldID()
		r, err := l.ApplyEvent(ctx, checkout.PaymentEvent{
			Provider: checkout.ProviderStandard, EventID: "evt_" + hold, Type: payments.StandardSucceeded, Kind: checkout.PaymentSucceeded, Subject: &id,
			PaymentID: "pay_" + hold, Amount: *price(), Digest: sha256.Sum256(id[:]),
		}, paymentWindow)
		if err == nil && r.Result != checkout.PaymentApplied {
			err = fmt.Errorf("an event was %s: %w", r.Result, r.Cause)
		}
		return err
	})
}

// paid returns a case in which each call pays a hold of its own, of the first product. Before, each hold is given to prepare.
func (s *site) paid(name string, callers int, prepare, pay func(context.Context, checkout.ID) error) func(context.Context) error {
	return func(ctx context.Context) error {
		total := s.size(40_000, 5_000) // a process remembers 65,536 holds
		id, err := s.holds(ctx, 1, total, "active", 24*time.Hour)
		if err != nil {
			return err
		}
		var prepared, sent atomic.Int64
		if prepare != nil {
			if _, err := closed(ctx, 16, 0, func(ctx context.Context) error {
				for n := prepared.Add(1) - 1; n < int64(total); n = prepared.Add(1) - 1 {
					if err := prepare(ctx, id(int(n))); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return s.measured(name, callers, func(ctx context.Context) error {
			n := int(sent.Add(1)) - 1
			if n >= total {
				return errors.New("this machine pays for more holds than there are")
			}
			return pay(ctx, id(n))
		})(ctx)
	}
}
