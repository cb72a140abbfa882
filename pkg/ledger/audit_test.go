package ledger_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// dropChecks removes the CHECKs of a schema, so that a test can damage rows in ways that they refuse.
func dropChecks(t *testing.T, env *ledgertest.Env) {
	t.Helper()
	rows, err := env.Admin.QueryContext(context.Background(),
		"SELECT table_name, constraint_name FROM information_schema.table_constraints WHERE table_schema = DATABASE() AND constraint_type = 'CHECK'")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var statements []string
	for rows.Next() {
		var table, name string
		if err := rows.Scan(&table, &name); err != nil {
			t.Fatal(err)
		}
		statements = append(statements, "ALTER TABLE "+table+" DROP CONSTRAINT "+name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for _, statement := range statements {
		exec(t, env.Admin, statement)
	}
}

// The audit finds every damage to the money that leaves evidence, on a database without CHECKs.
func TestAuditFindsDamagedMoney(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	dropChecks(t, env)
	for _, c := range []struct{ name, events, damage, check string }{
		{"paid without an event", "", "UPDATE orders SET status = 'paid', stock = 'sold' WHERE id = ?", "sold_without_payment"},
		{"refunded without an event", "", "UPDATE orders SET status = 'refunded', stock = 'none' WHERE id = ?", "status_differs_from_money"},
		{"paid, its events deleted", "A 1000", "DELETE FROM payment_events WHERE subject_id = ?", "payment_differs_from_events"},
		{"the event has another amount", "A 1000", "UPDATE payment_events SET amount = 999 WHERE subject_id = ?", "payment_differs_from_events"},
		{"the event has another currency", "A 1000", "UPDATE payment_events SET currency = 'EUR' WHERE subject_id = ?", "payment_differs_from_events"},
		{"the event has another provider", "A 1000", "UPDATE payment_events SET provider = 'stripe' WHERE subject_id = ?", "success_without_payment"},
		{"a success that settled nothing and is not owed", "A 1000, B 1000", "DELETE FROM payments WHERE order_id = ? AND settles IS NULL", "success_without_payment"},
		{"a refund without effect", "A 1000, A -1000 r1", "UPDATE payments SET returned = 0 WHERE order_id = ?", "payment_differs_from_events"},
		{"a refund without effect, its row too", "A 1000, A -1000 r1", "DELETE FROM refunds WHERE payment_id = (SELECT payment_id FROM payments WHERE order_id = ?)", "refund_event_without_refund"},
		{"a refund that no event reported", "A 1000, A -300 r1", "UPDATE refunds SET amount = 400 WHERE payment_id = (SELECT payment_id FROM payments WHERE order_id = ?)", "refund_differs_from_events"},
		{"a failed refund taken back", "A 1000, A -300 r1, A !r1", "UPDATE refunds SET status = 'sent' WHERE payment_id = (SELECT payment_id FROM payments WHERE order_id = ?)", "refund_differs_from_events"},
		{"owed money forgotten", "A 1000, B 1000", "UPDATE payments SET received = 0 WHERE order_id = ? AND settles IS NULL", "payment_differs_from_events"},
		{"a sum of refunds changed", "A 1000, A -500 r1, A =300", "UPDATE payments SET refunded_sum = 200 WHERE order_id = ?", "payment_differs_from_events"},
		{"a payment dated back", "A 1000, B 1000", "UPDATE payments SET created_at = created_at - INTERVAL 1 SECOND WHERE order_id = ? AND settles IS NULL", "payment_time_differs_from_events"},
		{"a payment dated forward", "A 1000, A -300 r1", "UPDATE payments SET created_at = created_at + INTERVAL 1 SECOND WHERE order_id = ?", "payment_time_differs_from_events"},
		{"a payment made up", "", "INSERT INTO payments (provider, payment_id, created_at, updated_at) SELECT 'standard', 'made up', created_at, created_at FROM holds WHERE id = ?", "payment_without_event"},
		{"a payment of its order made up", "A 1000", "INSERT INTO payments (provider, payment_id, order_id, created_at, updated_at) SELECT 'stripe', payment_id, order_id, created_at, created_at FROM payments WHERE order_id = ?", "payment_without_event"},
		{"money made up", "A 1000", "INSERT INTO payments (provider, payment_id, order_id, currency, received, created_at, updated_at) SELECT 'stripe', payment_id, order_id, currency, 500, created_at, created_at FROM payments WHERE order_id = ?", "payment_without_event"},
		{"a waiting sum of refunds changed", "A =300", "UPDATE payments SET refunded_sum = 200, returned = 200 WHERE order_id IS NULL AND ? IS NOT NULL", "payment_differs_from_events"},
		{"a waiting refund without effect", "A -300 r1", "UPDATE payments SET returned = 0 WHERE order_id IS NULL AND ? IS NOT NULL", "payment_differs_from_events"},
		{"a waiting refund of another amount", "A -300 r1", "UPDATE refunds SET amount = 200 WHERE ? IS NOT NULL", "refund_differs_from_events"},
		{"a waiting payment dated back", "A -300 r1", "UPDATE payments SET created_at = created_at - INTERVAL 1 SECOND WHERE order_id IS NULL AND ? IS NOT NULL", "payment_time_differs_from_events"},
		{"a record without a note", "A 1000", "INSERT INTO refunds (provider, refund_id, payment_id, kind, status, amount, created_at, updated_at) SELECT provider, 'record:1', payment_id, 'record', 'sent', 5, created_at, created_at FROM payments WHERE order_id = ?", "record_incomplete"},
		{"nothing settles a paid order", "A 1000", "UPDATE payments SET settles = NULL WHERE order_id = ?", "payment_settles_wrongly"},
		{"paid, shown as refunded", "A 1000", "UPDATE orders SET status = 'refunded' WHERE id = ?", "status_differs_from_money"},
		{"money owed, shown as cancelled", "A 500", "UPDATE orders SET status = 'cancelled', reason = 'customer' WHERE id = ?", "status_differs_from_money"},
		{"failed payment without an event", "", "UPDATE orders SET status = 'cancelled', reason = 'payment_failed', stock = 'none' WHERE id = ?", "status_differs_from_money"},
		{"units reserved despite a payment", "A 500", "UPDATE orders SET stock = 'reserved' WHERE id = ?", "reserved_despite_payment"},
		{"cancelled before pay_by", "", "UPDATE orders SET status = 'cancelled', reason = 'payment_timeout', stock = 'none' WHERE id = ?", "order_cancelled_early"},
		{"an order of a released hold", "", "UPDATE holds SET status = 'released' WHERE id = ?", "order_of_ended_hold"},
		{"an order of an expired hold", "A 1000", "UPDATE holds SET status = 'expired', ended_at = expires_at WHERE id = ?", "order_of_ended_hold"},
		{"the event that settled it shown as ignored", "A 1000", "UPDATE payment_events SET result = 'ignored' WHERE subject_id = ?", "payment_without_applied_event"},
		{"time to pay without end", "", "UPDATE orders SET pay_by = pay_by + INTERVAL 100 DAY WHERE id = ?", "order_times_wrong"},
		{"changed in the future", "", "UPDATE orders SET updated_at = updated_at + INTERVAL 1 DAY WHERE id = ?", "order_times_wrong"},
		{"cancelled without a reason", "A x", "UPDATE orders SET reason = NULL WHERE id = ?", "status_differs_from_money"},
		{"a refund in another currency", "A 1000, A -300 r1", "UPDATE refunds SET currency = 'EUR' WHERE payment_id = (SELECT payment_id FROM payments WHERE order_id = ?)", "refund_differs_from_events"},
		{"a hold expired early", "", "UPDATE holds SET status = 'expired', ended_at = created_at WHERE id = ?", "hold_expired_early"},
		{"a hold that lasts longer", "", "UPDATE holds SET expires_at = expires_at + INTERVAL 1 DAY WHERE id = ?", "hold_facts_differ"},
		{"a key moved to another hold", "", "UPDATE holds SET idempotency_key = REPEAT('k', 32) WHERE id = ?", "hold_facts_differ"},
		{"a hold of other units", "", "UPDATE holds SET qty = 7 WHERE id = ?", "hold_facts_differ"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newPurse(t, env, 5, true)
			for _, event := range strings.Split(c.events, ", ") {
				if event != "" {
					s.apply(t, event)
				}
			}
			s.mustFind(t, "")
			exec(t, env.Admin, c.damage, s.id[:])
			s.mustFind(t, c.check)
			for _, table := range []string{"payment_events", "refunds", "payments", "orders", "holds", "products"} { // the next case starts clean
				exec(t, env.Admin, "DELETE FROM "+table)
			}
		})
	}
}

// mustFind fails unless both audits find this damage; an empty check stands for none. The audit of the changes may find less
// than the full audit, and nothing else.
func (s *purse) mustFind(t *testing.T, check string) {
	t.Helper()
	full, err := s.Audit(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	changes, err := s.AuditChanges(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for name, audit := range map[string]ledger.Audit{"full audit": full, "audit of the changes": changes} {
		found := slices.ContainsFunc(audit.Broken, func(f ledger.Finding) bool { return f.Check == check })
		if audit.Clean != (check == "") || found != (check != "") {
			t.Errorf("the %s found %+v, expected %q", name, audit.Broken, check)
		}
	}
	for _, f := range changes.Broken {
		if !slices.Contains(full.Broken, f) {
			t.Errorf("the audit of the changes found %+v, and the full audit did not", f)
		}
	}
}

// A hold that is deleted together with the counters leaves evidence, and so does one that is moved to another product.
func TestAuditFindsMissingHolds(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	ctx := context.Background()
	for _, damage := range []string{"DELETE FROM holds WHERE id = ?", "UPDATE holds SET product_id = 'other', facts = facts WHERE id = ?"} {
		s := newPurse(t, env, 5, false)
		env.MustPut(t, "other", 5)
		exec(t, env.Admin, damage, s.id[:])
		exec(t, env.Admin, "UPDATE products SET reserved_stock = 0 WHERE id = ?", s.product)
		exec(t, env.Admin, "UPDATE products SET reserved_stock = 1 WHERE id = 'other' AND EXISTS (SELECT 1 FROM holds WHERE product_id = 'other')")
		audit, err := env.Audit(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(audit.Broken, func(f ledger.Finding) bool { return f.Check == "holds_missing" }) {
			t.Errorf("%s: the audit found %+v, expected holds_missing", damage, audit.Broken)
		}
		exec(t, env.Admin, "DELETE FROM holds")
		exec(t, env.Admin, "DELETE FROM products")
	}
}

// The report by currency is complete, and lists say how many findings they leave out.
func TestAuditAccountsForEveryCent(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	const second = 130
	for _, events := range []string{"A 1000", "A 1000, A -300 r1", "A 1000, A - r1", "A 99999, A -1 r1"} {
		s := newPurse(t, env, 5, true)
		for event := range strings.SplitSeq(events, ", ") {
			s.apply(t, event)
		}
	}
	s := newPurse(t, env, 5, true)
	for range second {
		s.apply(t, "A 1000")
		s.n++
		e := s.event("B 1000")
		e.PaymentID = e.EventID
		if _, err := env.ApplyEvent(context.Background(), e, window); err != nil {
			t.Fatal(err)
		}
	}
	audit := env.MustAudit(t)
	want := []ledger.MoneyReport{{
		Currency: "USD", Received: 1000*3 + 99999 + 1000*(second+1), Sold: 1000 + 700 + 1000, Returned: 300 + 1000 + 1, Owed: 99998 + 1000*second,
	}}
	if diff := cmp.Diff(want, audit.Money); diff != "" {
		t.Errorf("the report differs (-expected +got):\n%s", diff)
	}
	listed := 0
	for _, f := range audit.Attention {
		if f.Check == "payment_owed" {
			listed++
		}
	}
	if audit.Refunds != second+1 || listed+audit.More["payment_owed"] != second+1 || audit.More["payment_owed"] == 0 {
		t.Errorf("%d payments owe money, %d are listed and %d more, expected %d in all", audit.Refunds, listed, audit.More["payment_owed"], second+1)
	}
}

// A stored event is applied by the sweep once it can be: here a product's counters are corrupt for a while.
func TestEventIsStoredWhileItCannotBeApplied(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	ctx := context.Background()
	s := newPurse(t, env, 5, true)
	exec(t, env.Admin, "UPDATE products SET reserved_stock = 0 WHERE id = ?", s.product)
	e := s.event("A 1000")
	for range 2 {
		receipt, err := env.ApplyEvent(ctx, e, window)
		if err != nil || receipt.Result != checkout.PaymentStored || receipt.Cause == nil {
			t.Fatalf("the event got %+v (%v), expected stored with its cause", receipt, err)
		}
	}
	exec(t, env.Admin, "UPDATE products SET reserved_stock = 1 WHERE id = ?", s.product)
	exec(t, env.Admin, "UPDATE payment_events SET retry_at = UTC_TIMESTAMP(6) WHERE event_id = ?", e.EventID)
	events, err := env.WaitingEvents(ctx, 10)
	if err != nil || len(events) != 1 {
		t.Fatalf("WaitingEvents returned %v (%v), expected the one event", events, err)
	}
	if receipt, err := env.RetryEvent(ctx, events[0], window); err != nil || receipt.Result != checkout.PaymentApplied {
		t.Fatalf("the retry got %+v (%v), expected applied", receipt, err)
	}
	if got := s.standing(t); got != "paid, 1 sold, 0 owed" {
		t.Errorf("the order is %s, expected paid", got)
	}
	env.MustAudit(t)
}

// An event's id stands for one event. A second one with the same id is refused and kept.
func TestReusedEventIDIsRefusedAndKept(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	ctx := context.Background()
	s := newPurse(t, env, 5, true)
	first := s.event("A 1000")
	if receipt, err := env.ApplyEvent(ctx, first, window); err != nil || receipt.Result != checkout.PaymentApplied {
		t.Fatalf("the event got %+v (%v), expected applied", receipt, err)
	}
	again := first
	again.Digest[0]++ // a provider changes fields that say nothing about the payment
	if receipt, err := env.ApplyEvent(ctx, again, window); err != nil || receipt.Result != checkout.PaymentDuplicate {
		t.Fatalf("a redelivery got %+v (%v), expected duplicate", receipt, err)
	}
	second := first
	other := ledgertest.NewID()
	second.Subject, second.PaymentID = &other, "pay_other"
	for range 2 {
		if _, err := env.ApplyEvent(ctx, second, window); checkout.CodeOf(err) != checkout.CodeEventIDReused {
			t.Fatalf("another event with this id got %v, expected event_id_reused", err)
		}
	}
	audit := env.MustAudit(t)
	if audit.Reused != 1 || audit.RejectedToday != 1 {
		t.Errorf("the audit counts %d reused ids, expected 1", audit.Reused)
	}
}
