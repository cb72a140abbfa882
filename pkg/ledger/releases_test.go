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
	again.Product.AsOf = placed.Product.AsOf
	if diff := cmp.Diff(placed, again); diff != "" {
		t.Errorf("a retry on the routines of the release before differs (-expected +got):\n%s", diff)
	}
	request.ID = ledgertest.NewID()
	if r, err := env.PlaceHold(ctx, request); err != nil || r.Hold.ID != request.ID || r.Product.ReservedStock != 4 {
		t.Errorf("a new hold on the routines of the release before is %+v of %+v (%v), expected 4 units reserved", r.Hold, r.Product, err)
	}
}

// oldProgram is a program of the release before, which runs beside this one.
type oldProgram struct{ app *sql.DB }

func newOldProgram(t *testing.T, env *ledgertest.Env) oldProgram {
	t.Helper()
	accounts, err := ledger.AccountsOf(env.AdminDSN)
	if err != nil {
		t.Fatal(err)
	}
	app, err := sql.Open("mysql", accounts.AppDSN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = app.Close() })
	return oldProgram{app}
}

// deliver expects an outcome: the first column, which the old program reads. retry is its retry of a stored event.
func (o oldProgram) deliver(t *testing.T, e checkout.PaymentEvent, retry bool, want string) {
	t.Helper()
	var amount, currency any
	if e.Amount != (checkout.Money{}) {
		amount, currency = e.Amount.Amount, e.Amount.Currency
	}
	digest := make([]byte, 32)
	if retry {
		digest = nil
	}
	rows, err := o.app.QueryContext(t.Context(), "CALL apply_payment(?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)",
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

// Programs of the release before call apply_payment while they run beside this one. Each success becomes a payment.
func TestOldProgramsStillDeliverPayments(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	s, old := newPurse(t, env, 1, true), newOldProgram(t, env)
	success := s.event("A 1000")
	success.PaymentID = "" // the old program sends none if the provider gives none
	old.deliver(t, success, false, "applied")
	old.deliver(t, success, false, "duplicate")
	old.deliver(t, success, true, "duplicate")
	if got := s.standing(t); got != "paid, 1 sold, 0 owed" {
		t.Errorf("after a success: %s", got)
	}
	old.deliver(t, s.event("B 1000"), false, "applied")
	if got := s.standing(t); got != "paid, 1 sold, 1000 owed" {
		t.Errorf("after a second payment: %s", got)
	}
	early := s.event("C 1000")
	later := ledgertest.NewID()
	early.Subject = &later
	old.deliver(t, early, false, "unmatched")
	old.deliver(t, early, true, "unmatched")
	env.MustAudit(t)
}

// The refunds of such programs change their own payments, whether they come before the success or after it.
func TestOldProgramsStillDeliverRefunds(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	s, old := newPurse(t, env, 1, true), newOldProgram(t, env)
	success := s.event("A 1000")
	success.PaymentID = ""
	old.deliver(t, success, false, "applied")
	old.deliver(t, s.event("B 1000"), false, "applied")
	refund := s.event("B - r")
	refund.Subject, refund.RefundID = &s.id, ""
	old.deliver(t, refund, false, "applied")
	if got := s.standing(t); got != "paid, 1 sold, 0 owed" {
		t.Errorf("after the refund of a second payment: %s", got)
	}
	sum := s.event("A =400")
	sum.Kind, sum.Type, sum.Subject, sum.PaymentID = checkout.PaymentRefunded, "charge.refunded", &s.id, success.EventID
	old.deliver(t, sum, false, "applied")
	if got := dump(t, env, "SELECT returned, refunded_sum FROM payments WHERE settles IS NOT NULL"); got != "400 400 " {
		t.Errorf("the payment returned %s, expected a sum of 400", got)
	}
	// A refund before its success: the old program knows the outcome.
	first := s.event("D - d")
	first.Subject, first.RefundID = &s.id, ""
	old.deliver(t, first, false, "unmatched")
	old.deliver(t, s.event("D 1000"), false, "applied")
	if got := s.standing(t); got != "paid, 1 sold, 0 owed" {
		t.Errorf("after a refund that came before its success: %s", got)
	}
	env.MustAudit(t)
}
