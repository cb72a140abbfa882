package ledger_test

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
	check := func(receipt checkout.PaymentReceipt, err error, want checkout.PaymentResult) {
		t.Helper()
		if err != nil || receipt.Result != want {
			t.Fatalf("got %q (%v), expected %q", receipt.Result, err, want)
		}
	}
	deliver := func(want checkout.PaymentResult) {
		t.Helper()
		receipt, err := env.ApplyEvent(ctx, event, window)
		check(receipt, err, want)
	}
	retry := func(want checkout.PaymentResult) {
		t.Helper()
		receipt, err := env.RetryEvent(ctx, checkout.EventRef{Provider: event.Provider, EventID: event.EventID}, window)
		check(receipt, err, want)
	}
	wantDeliveries := func(want int) {
		t.Helper()
		var n int
		if err := env.Admin.QueryRowContext(ctx, "SELECT deliveries FROM payment_events WHERE event_id = ?", event.EventID).Scan(&n); err != nil || n != want {
			t.Errorf("deliveries is %d (%v), expected %d", n, err, want)
		}
	}
	deliver(checkout.PaymentUnmatched)
	s.place(t, s.id)
	retry(checkout.PaymentApplied)
	wantDeliveries(1)
	retry(checkout.PaymentDuplicate)
	deliver(checkout.PaymentDuplicate)
	wantDeliveries(2)
	env.MustAudit(t)
}

// Programs of the release before call apply_payment, and retry with a NULL digest, during a deployment and a rollback.
func TestRoutineOfPreviousReleaseAppliesEvents(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	s := newStage(t, env, 5)
	call := func(kind, eventType, eventID, payment string, amount any, digest any) (outcome string) {
		t.Helper()
		rows, err := env.Admin.QueryContext(context.Background(), "CALL apply_payment('standard', ?, ?, ?, ?, ?, ?, 'USD', ?, NULL, 900000000)",
			eventID, eventType, kind, s.id[:], payment, amount, digest)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		names, err := rows.Columns()
		if err != nil || !rows.Next() {
			t.Fatalf("the routine returned no row (%v, %v)", err, rows.Err())
		}
		dest := make([]any, len(names))
		for i := range dest {
			dest[i] = new(any)
		}
		dest[0] = &outcome
		if err := rows.Scan(dest...); err != nil {
			t.Fatal(err)
		}
		return outcome
	}
	digest := make([]byte, 32)
	for _, c := range []struct {
		kind, eventType, eventID, payment string
		amount, digest                    any
		want                              string
		status                            checkout.OrderStatus
	}{
		{"succeeded", "payment.succeeded", "e1", "", 9998, digest, "applied", checkout.OrderPaid},
		{"succeeded", "payment.succeeded", "e1", "", 9998, digest, "duplicate", checkout.OrderPaid},
		{"succeeded", "payment.succeeded", "e1", "", 9998, nil, "duplicate", checkout.OrderPaid},
		{"refunded", "payment.refunded", "e2", "", nil, digest, "applied", checkout.OrderRefunded},
	} {
		if got := call(c.kind, c.eventType, c.eventID, c.payment, c.amount, c.digest); got != c.want {
			t.Errorf("%s: got %s, expected %s", c.eventID, got, c.want)
		}
		if state, _ := s.state(t); state != checkout.State(c.status) {
			t.Errorf("%s: the order is %s, expected %s", c.eventID, state, c.status)
		}
	}
	env.MustAudit(t)
}

// During a rollback this release's functions call the previous release's routines, whose columns have no names.
func TestReadsRowsOfPreviousRelease(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	ctx := context.Background()
	env.MustPut(t, "p", 5)
	id := ledgertest.NewID()
	request := checkout.HoldRequest{ID: id, ProductID: "p", Qty: 2, TTL: ttl, Price: &checkout.Money{Amount: 4999, Currency: "USD"}}
	placed, err := env.PlaceHold(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	for _, routine := range []string{"snapshot", "place_hold"} {
		text, err := os.ReadFile("routines/" + routine + ".sql")
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(` AS (outcome|as_of|lag_us|(expired|cancelled|hold|order|product)_[a-z_]+)`)
		unnamed := names.ReplaceAllString(string(text), "")
		if n := strings.Count(string(text), " AS ") - strings.Count(unnamed, " AS "); n != 31 {
			t.Fatalf("%s names %d columns, expected 31", routine, n)
		}
		exec(t, env.Admin, "DROP PROCEDURE "+routine)
		exec(t, env.Admin, unnamed)
	}
	again, err := env.PlaceHold(ctx, request) // by way of snapshot
	if err != nil {
		t.Fatal(err)
	}
	again.Product.AsOf = placed.Product.AsOf
	if diff := cmp.Diff(placed, again); diff != "" {
		t.Errorf("a retry on the routines of the release before differs (-expected +got):\n%s", diff)
	}
	request.ID = ledgertest.NewID()
	if r, err := env.PlaceHold(ctx, request); err != nil || r.Hold.ID != request.ID || r.Product.ReservedStock != 4 {
		t.Errorf("a new hold on the routines of the release before is %+v of %+v (%v), expected 4 units reserved", r.Hold, r.Product, err)
	}
}
