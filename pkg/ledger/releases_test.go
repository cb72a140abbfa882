package ledger_test

import (
	"context"
	"database/sql"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
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
	again.Product.AsOf, again.Product.AskedAt = placed.Product.AsOf, placed.Product.AskedAt
	if diff := cmp.Diff(placed, again); diff != "" {
		t.Errorf("a retry on the routines of the release before differs (-expected +got):\n%s", diff)
	}
	request.ID = ledgertest.NewID()
	if r, err := env.PlaceHold(ctx, request); err != nil || r.Hold.ID != request.ID || r.Product.ReservedStock != 4 {
		t.Errorf("a new hold on the routines of the release before is %+v of %+v (%v), expected 4 units reserved", r.Hold, r.Product, err)
	}
}

// Programs of the release before call apply_payment while they run beside this one. Each event becomes a payment.
func TestOldProgramsStillDeliverEvents(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	s := newPurse(t, env, 1, true)
	accounts, err := ledger.AccountsOf(env.AdminDSN)
	if err != nil {
		t.Fatal(err)
	}
	app, err := sql.Open("mysql", accounts.AppDSN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = app.Close() })
	// call returns the outcome, which is the first column that the old program reads.
	call := func(e checkout.PaymentEvent, digest []byte, want string) {
		t.Helper()
		var amount, currency any
		if e.Amount != (checkout.Money{}) {
			amount, currency = e.Amount.Amount, e.Amount.Currency
		}
		rows, err := app.QueryContext(t.Context(), "CALL apply_payment(?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)",
			e.Provider, e.EventID, e.Type, string(e.Kind), e.Subject[:], e.PaymentID, amount, currency, digest, window.Microseconds())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		columns, err := rows.Columns()
		if err != nil || !rows.Next() {
			t.Fatalf("apply_payment returned no row (%v, %v)", err, rows.Err())
		}
		values, targets := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			t.Fatal(err)
		}
		if values[0].String != want {
			t.Errorf("%s %s: the outcome is %q, expected %q", e.Kind, e.PaymentID, values[0].String, want)
		}
	}
	digest := make([]byte, 32)
	success := s.event("A 1000")
	success.PaymentID = "" // the old program sends none if the provider gives none
	call(success, digest, "applied")
	call(success, digest, "duplicate")
	call(success, nil, "duplicate")
	if got := s.standing(t); got != "paid, 1 sold, 0 owed" {
		t.Errorf("after a success: %s", got)
	}
	second := s.event("B 1000")
	call(second, digest, "applied")
	if got := s.standing(t); got != "paid, 1 sold, 1000 owed" {
		t.Errorf("after a second payment: %s", got)
	}
	refund := s.event("B - r")
	refund.Subject, refund.RefundID = &s.id, ""
	call(refund, digest, "applied")
	if got := s.standing(t); got != "paid, 1 sold, 0 owed" {
		t.Errorf("after its refund: %s", got)
	}
	early := s.event("C 1000")
	later := ledgertest.NewID()
	early.Subject = &later
	call(early, digest, "unmatched")
	call(early, nil, "unmatched")
	sum := s.event("A =400")
	sum.Kind, sum.Type, sum.Subject, sum.PaymentID = checkout.PaymentRefunded, "charge.refunded", &s.id, success.EventID
	call(sum, digest, "applied")
	if got := dump(t, env, "SELECT returned, refunded_sum FROM payments WHERE settles IS NOT NULL"); got != "400 400 " {
		t.Errorf("the payment returned %s, expected a sum of 400", got)
	}
	// A refund before its success: the old program knows the outcome.
	first := s.event("D - d")
	first.Subject, first.RefundID = &s.id, ""
	call(first, digest, "unmatched")
	call(s.event("D 1000"), digest, "applied")
	if got := s.standing(t); got != "paid, 1 sold, 0 owed" {
		t.Errorf("after a refund that came before its success: %s", got)
	}
	env.MustAudit(t)
}
