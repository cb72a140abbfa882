package ledger_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"flashsale/pkg/checkout"
)

// backfillCases are all states of the previous release: how an order got there, and what the migration makes of it.
var backfillCases = []struct {
	name   string
	steps  string
	want   string
	stripe bool
}{
	{"hold", "", "no order, 0 sold, 0 owed", false},
	{"pending", "order", "pending_payment, 0 sold, 0 owed", false},
	{"paid", "order, A 1000", "paid, 1 sold, 0 owed", false},
	{"paid before the order", "A 1000", "paid, 1 sold, 0 owed", false},
	{"paid without a payment id", "order, _ 1000", "paid, 1 sold, 0 owed", false},
	{"cancelled by the customer", "order, cancel", "cancelled customer, 0 sold, 0 owed", false},
	{"cancelled by the provider", "order, A x", "cancelled payment_failed, 0 sold, 0 owed", false},
	{"cancelled by time", "order, time", "cancelled payment_timeout, 0 sold, 0 owed", false},
	{"cancelled, then paid", "order, cancel, A 1000", "paid, 1 sold, 0 owed", false},
	{"wrong amount", "order, A 300", "refund_due amount_mismatch, 0 sold, 300 owed", false},
	{"sold out", "order, cancel, sold out, A 1000", "refund_due late_payment, 0 sold, 1000 owed", false},
	{"sold out, and units came back since", "order, cancel, sold out, A 1000, others leave", "refund_due late_payment, 0 sold, 1000 owed", false},
	{"wrong, then right", "order, A 300, B 1000", "refund_due late_payment, 0 sold, 1300 owed", false},
	{"refunded", "order, A 1000, A -1000 r", "refunded, 1 sold, 0 owed", false},
	{"all that is left refunded", "order, A 1000, A - r", "refunded, 1 sold, 0 owed", false},
	{"refunded without a payment id", "order, _ 1000, _ -1000 r", "refunded, 1 sold, 0 owed", false},
	{"refund due, refunded", "order, A 300, A -300 r", "refunded, 0 sold, 0 owed", false},
	{"sold out, refunded", "order, cancel, sold out, A 1000, A -1000 r", "refunded, 0 sold, 0 owed", false},
	{"a cent refunded of too much", "order, A 99999, A -1 r", "refund_due amount_mismatch, 0 sold, 99998 owed", false},
	{"partly refunded", "order, A 1000, A -300 r", "paid, 1 sold, 0 owed", false},
	{"sums of refunds", "order, A 1000, A -300, A -500", "paid, 1 sold, 0 owed", true},
	{"sum of all refunds", "order, A 1000, A -1000", "refunded, 1 sold, 0 owed", true},
	{"second payment", "order, A 1000, B 1000", "paid, 1 sold, 1000 owed", false},
	{"second success without a payment id", "order, _ 1000, _ 1000", "paid, 1 sold, 1000 owed", false},
	{"second payment refunded", "order, A 1000, B 1000, B -1000 r", "paid, 1 sold, 0 owed", false},
	{"first payment refunded", "order, A 1000, B 1000, A -1000 r", "paid, 1 sold, 0 owed", false},
	{"refund that was ignored before its success", "order, C -1000 r, C 1000", "refunded, 1 sold, 0 owed", false},
	{"unmatched", "order, unknown", "pending_payment, 0 sold, 0 owed", false},
	{"other", "order, other", "pending_payment, 0 sold, 0 owed", false},
}

// A database of the previous release, with all of its states, comes out as the money says. No order takes units.
func TestBackfill(t *testing.T) {
	t.Parallel()
	env := newPreviousRelease(t)
	purses := make([]*oldPurse, len(backfillCases))
	for i, c := range backfillCases {
		s := newOldPurse(t, env, c.stripe)
		for step := range strings.SplitSeq(c.steps, ", ") {
			if step != "" {
				s.do(t, step)
			}
		}
		purses[i] = s
	}
	before := dump(t, env, "SELECT id, stock, reserved_stock, sold_stock FROM products")
	migrate(t, env)
	check := func() {
		t.Helper()
		for i, c := range backfillCases {
			if got := purses[i].standing(t); got != c.want {
				t.Errorf("%s (%s): got %s, expected %s", c.name, c.steps, got, c.want)
			}
			purses[i].checkSums(t, c.name)
		}
		if after := dump(t, env, "SELECT id, stock, reserved_stock, sold_stock FROM products"); after != before {
			t.Errorf("units moved:\n%s\nbefore:\n%s", after, before)
		}
		env.MustAudit(t)
	}
	check()
	for _, s := range purses {
		for _, e := range s.events {
			s.checkEvent(t, e)
		}
	}
	const rows = `SELECT 'order', HEX(id), status, reason, stock, updated_at FROM orders UNION ALL
		SELECT provider, payment_id, HEX(order_id), HEX(settles), CONCAT_WS(' ', received, returned, unsent, refunded_sum, exact, owed), updated_at FROM payments UNION ALL
		SELECT provider, refund_id, payment_id, status, amount, updated_at FROM refunds UNION ALL
		SELECT provider, event_id, payment_id, result, CONCAT_WS(' ', deliveries, kind, retry_at), settled_at FROM payment_events`
	once := dump(t, env, rows)
	migrate(t, env)
	if twice := dump(t, env, rows); twice != once {
		t.Errorf("a second migration changed rows:\n%s\nbefore:\n%s", twice, once)
	}
	// The refund that was ignored before its success waits for the sweep, and changes nothing any more.
	exec(t, env.Admin, "UPDATE payment_events SET retry_at = UTC_TIMESTAMP(6) WHERE retry_at IS NOT NULL")
	sweepEvents(t, env)
	check()
}

// checkSums compares the order's payments with checkout.Tally.
func (s *oldPurse) checkSums(t *testing.T, name string) {
	t.Helper()
	tallies := map[string]*checkout.Tally{}
	for _, e := range s.events {
		id := e.PaymentID
		if id == "" && e.Kind == checkout.PaymentSucceeded {
			id = e.EventID
		} else if id == "" {
			id = s.events[0].EventID // a refund of the only payment
		}
		if e.Kind == checkout.PaymentRefunded {
			e.RefundID = "" // the previous release stored none
			if s.stripe {
				e.Kind = checkout.PaymentRefundedSum
			}
		}
		if tallies[id] == nil {
			tallies[id] = &checkout.Tally{}
		}
		tallies[id].Add(e)
	}
	want := map[string]string{}
	for id, tally := range tallies {
		if p := tally.Payment("", id, s.id, checkout.Money{Amount: 1000, Currency: "USD"}); p.Order != nil {
			want[id] = payment(id, p)
		}
	}
	rows, err := s.Admin.QueryContext(context.Background(), "SELECT payment_id, received, returned, unsent, exact FROM payments WHERE order_id = ?", s.id[:])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	n := 0
	for ; rows.Next(); n++ {
		var p checkout.Payment
		if err := rows.Scan(&p.ID, &p.Received, &p.Returned, &p.Unsent, &p.Exact); err != nil {
			t.Fatal(err)
		}
		if got := payment(p.ID, p); got != want[p.ID] {
			t.Errorf("%s: the payment is%s\nits events say%s", name, got, want[p.ID])
		}
	}
	if err := rows.Err(); err != nil || n != len(want) {
		t.Errorf("%s: there are %d payments (%v), the events say %d", name, n, err, len(want))
	}
}

// checkEvent expects an event settled for good, unless it waits for a payment or an order.
func (s *oldPurse) checkEvent(t *testing.T, e checkout.PaymentEvent) {
	t.Helper()
	var result, paymentID string
	var retry sql.NullTime
	if err := s.Admin.QueryRowContext(t.Context(), "SELECT result, payment_id, retry_at FROM payment_events WHERE provider = ? AND event_id = ?", e.Provider, e.EventID).
		Scan(&result, &paymentID, &retry); err != nil {
		t.Fatal(err)
	}
	waits := *e.Subject != s.id || (e.Kind == checkout.PaymentRefunded && e.EventID == s.events[0].EventID)
	if waits != (result == "unmatched") || waits != retry.Valid || (waits && retry.Time.Before(time.Now().Add(-time.Hour))) {
		t.Errorf("event %s (%s) is %s, to retry at %v; it waits: %t", e.Type, e.Kind, result, retry, waits)
	}
	if e.Kind == checkout.PaymentSucceeded && !waits && paymentID != e.PaymentID && (e.PaymentID != "" || paymentID != e.EventID) {
		t.Errorf("a success of payment %q is stored with payment %q", e.PaymentID, paymentID)
	}
}

// A migration keeps the routines of the previous release, for its programs during a deployment and a rollback. The events that
// they settle become payments afterwards: at the next migration, or at a sweep of a program of this release.
func TestEventsOfARollbackBecomePayments(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"migration", "sweep"} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			env := newPreviousRelease(t)
			migrate(t, env)
			var purses []*oldPurse
			for range 2 {
				purses = append(purses, newOldPurse(t, env, false))
			}
			for _, step := range []string{"order", "A 1000", "B 1000"} {
				purses[0].do(t, step)
			}
			for _, step := range []string{"order", "A 1000", "A -300 r"} {
				purses[1].do(t, step)
			}
			if got := purses[1].standing(t); got != "refunded, 1 sold, 0 owed" {
				t.Fatalf("the previous release left %s: it does not run here", got)
			}
			if by == "migration" {
				migrate(t, env)
			} else {
				sweepEvents(t, env)
			}
			for i, want := range []string{"paid, 1 sold, 1000 owed", "paid, 1 sold, 0 owed"} {
				if got := purses[i].standing(t); got != want {
					t.Errorf("order %d: got %s, expected %s", i, got, want)
				}
				purses[i].checkSums(t, fmt.Sprint("order ", i))
			}
			env.MustAudit(t)
		})
	}
}
