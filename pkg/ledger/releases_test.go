package ledger_test

import (
	"context"
	"testing"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
)

// The column deliveries counts deliveries, and a retry of a stored event is not one.
func TestRetryOfAStoredEventCountsNoDelivery(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	ctx := context.Background()
	s := &stage{Env: env, product: "early", id: ledgertest.NewID()}
	env.MustPut(t, s.product, 5)
	event := s.event(onSucceeded)
	deliver := func(e checkout.PaymentEvent, want checkout.PaymentResult) {
		t.Helper()
		if receipt, err := env.ApplyEvent(ctx, e, window); err != nil || receipt.Result != want {
			t.Fatalf("ApplyEvent returned %q (%v), expected %q", receipt.Result, err, want)
		}
	}
	deliveries := func() (n int) {
		t.Helper()
		if err := env.Admin.QueryRowContext(ctx, "SELECT deliveries FROM payment_events WHERE event_id = ?", event.EventID).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	retry := func(want checkout.PaymentResult) {
		t.Helper()
		ref := checkout.EventRef{Provider: event.Provider, EventID: event.EventID}
		if receipt, err := env.RetryEvent(ctx, ref, window); err != nil || receipt.Result != want {
			t.Fatalf("RetryEvent returned %q (%v), expected %q", receipt.Result, err, want)
		}
	}
	deliver(event, checkout.PaymentUnmatched)
	retry(checkout.PaymentUnmatched)
	s.place(t, s.id)
	retry(checkout.PaymentApplied)
	if n := deliveries(); n != 1 {
		t.Errorf("after one delivery and two retries, deliveries is %d, expected 1", n)
	}
	retry(checkout.PaymentDuplicate)
	deliver(event, checkout.PaymentDuplicate)
	if n := deliveries(); n != 2 {
		t.Errorf("after two deliveries and three retries, deliveries is %d, expected 2", n)
	}
	env.MustAudit(t)
}
