package ledger_test

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

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
	event := s.event(checkout.OnSucceeded)
	deliver := func(e checkout.PaymentEvent, want checkout.PaymentResult) {
		t.Helper()
		if receipt, err := env.ApplyPayment(ctx, e, window); err != nil || receipt.Result != want {
			t.Fatalf("ApplyPayment returned %q (%v), expected %q", receipt.Result, err, want)
		}
	}
	deliveries := func() (n int) {
		t.Helper()
		if err := env.Admin.QueryRowContext(ctx, "SELECT deliveries FROM payment_events WHERE event_id = ?", event.EventID).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	deliver(event, checkout.PaymentUnmatched)
	s.place(t, s.id)
	stored, err := env.UnmatchedEvents(ctx, time.Hour, 10)
	if err != nil || len(stored) != 1 {
		t.Fatalf("UnmatchedEvents returned %v (%v), expected the one event", stored, err)
	}
	deliver(stored[0], checkout.PaymentApplied)
	if n := deliveries(); n != 1 {
		t.Errorf("after one delivery and one retry, deliveries is %d, expected 1", n)
	}
	deliver(stored[0], checkout.PaymentDuplicate)
	deliver(event, checkout.PaymentDuplicate)
	if n := deliveries(); n != 2 {
		t.Errorf("after two deliveries and two retries, deliveries is %d, expected 2", n)
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
