package ledger_test

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"testing"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// The audit of the changes finds a changed counter, however old the rows that it counts.
func TestAuditOfChangesFindsChangedCounters(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	dropChecks(t, env)
	s := newPurse(t, env, 5, true)
	s.apply(t, "A 1000")
	age(t, env)
	for column, check := range map[string]string{
		"sold_stock": "sold_stock_drift", "reserved_stock": "reserved_stock_drift", "keyed_holds": "keyed_holds_drift",
		"holds_sum": "holds_missing", "stock": "oversold",
	} {
		s.mustFind(t, "")
		exec(t, env.Admin, "UPDATE products SET "+column+" = "+column+" - 5")
		audit, err := env.AuditChanges(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(audit.Broken, func(f ledger.Finding) bool { return f.Check == check && f.Entity == s.product }) {
			t.Errorf("%s was changed: the audit found %+v, expected %s", column, audit.Broken, check)
		}
		exec(t, env.Admin, "UPDATE products SET "+column+" = "+column+" + 5")
	}
}

// What is open is audited each time, however long ago it changed.
func TestAuditOfChangesFindsOldOpenThings(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	dropChecks(t, env)
	for _, c := range []struct {
		name, events string
		ordered      bool
		damage       string
		check        string
	}{
		{"an active hold", "", false, "UPDATE holds SET qty = 7 WHERE id = ?", "hold_facts_differ"},
		{"an unpaid order", "", true, "UPDATE orders SET amount = amount + 1 WHERE id = ?", "order_differs_from_hold"},
		{"an unpaid order without its hold", "", true, "UPDATE holds SET status = 'released' WHERE id = ?", "order_of_ended_hold"},
		{"a payment that owes money", "A 1000, B 1000", true, "UPDATE payments SET received = received + 1 WHERE order_id = ? AND settles IS NULL", "payment_differs_from_events"},
		{"an order with an open dispute", "A 1000, A ?", true, "UPDATE refunds SET status = 'lost' WHERE payment_id = (SELECT payment_id FROM payments WHERE order_id = ?) AND status = 'open'", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newPurse(t, env, 5, c.ordered)
			if c.events != "" {
				s.applyAll(t, c.events)
			}
			moveMarks(t, env)
			exec(t, env.Admin, "UPDATE orders SET updated_at = updated_at - INTERVAL 1 SECOND")
			exec(t, env.Admin, "UPDATE payments SET updated_at = updated_at - INTERVAL 1 SECOND")
			exec(t, env.Admin, "UPDATE audit_state SET changes_upto = UTC_TIMESTAMP(6)")
			s.mustFind(t, "")
			if c.check != "" {
				exec(t, env.Admin, c.damage, s.id[:])
				s.mustFind(t, c.check)
			}
			for _, table := range []string{"payment_events", "refunds", "payments", "orders", "holds", "products", "audited_orders", "audit_marks"} {
				exec(t, env.Admin, "DELETE FROM "+table)
			}
		})
	}
}

// Rows that somebody mended by hand, with their counters, are no defect. The audit of the changes reads all rows of such a
// product once, and mends its mark.
func TestAuditOfChangesMendsItsMarks(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	paid, gone := newPurse(t, env, 5, true), newPurse(t, env, 5, false)
	paid.apply(t, "A 1000")
	age(t, env)
	exec(t, env.Admin, "DELETE FROM holds WHERE id = ?", gone.id[:])
	exec(t, env.Admin, "UPDATE products SET reserved_stock = 0, holds_sum = 0 WHERE id = ?", gone.product)
	exec(t, env.Admin, "UPDATE audit_marks SET sold_stock = 7, keyed_holds = 3 WHERE product_id = ?", paid.product)
	auditBoth(t, env)
	marksMustAgree(t, env)
}

// The audit of the changes, the sweep's questions and the operator's lists read as many rows with twenty thousand old ones as
// with none. It counts rows, not time.
func TestCostDoesNotGrowWithHistory(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	ctx := context.Background()
	s := newPurse(t, env, 5, true)
	s.apply(t, "A 1000")
	newPurse(t, env, 5, true)
	l, reads := countReads(t, env)
	ended := func() int64 { // a pruning for which all that ended is too young
		before := reads()
		if pruned, err := l.Prune(ctx, 100*retention, 100); err != nil || pruned.Holds > 0 {
			t.Fatalf("a pruning of nothing deleted %d holds, %v", pruned.Holds, err)
		}
		return reads() - before
	}
	costs := func() map[string]int64 {
		t.Helper()
		costs := map[string]int64{}
		for name, do := range map[string]func() error{
			"the audit of the changes": func() error { _, err := l.AuditChanges(ctx); return err },
			"DueProducts":              func() error { _, err := l.DueProducts(ctx, 100); return err },
			"WaitingEvents":            func() error { _, err := l.WaitingEvents(ctx, 100); return err },
			"Prune":                    func() error { _, err := l.Prune(ctx, retention, 100); return err },
			"Orders":                   func() error { _, err := l.Orders(ctx, ledger.OrderFilter{}, 10); return err },
			"Orders of a status": func() error {
				_, err := l.Orders(ctx, ledger.OrderFilter{Status: checkout.OrderPendingPayment}, 10)
				return err
			},
			"Orders of a product": func() error { _, err := l.Orders(ctx, ledger.OrderFilter{ProductID: s.product}, 10); return err },
			"Reservations":        func() error { _, err := l.Reservations(ctx, ledger.ReservationFilter{}, 10); return err },
			"Reservations of the anonymous": func() error {
				_, err := l.Reservations(ctx, ledger.ReservationFilter{ProductID: s.product, Shopper: "anonymous"}, 10)
				return err
			},
			"Overview":         func() error { _, err := l.Overview(ctx); return err },
			"Owed":             func() error { _, err := l.Owed(ctx, 10); return err },
			"unmatched Events": func() error { _, err := l.Events(ctx, ledger.EventUnmatched, 10); return err },
		} {
			before := reads()
			if err := do(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			costs[name] = reads() - before
		}
		return costs
	}
	costs()
	few, fewEnded := costs(), ended()
	oldRows(t, env, 20_000)
	moveMarks(t, env)
	analyze := func() { // the server does it a little later, at any time
		for _, table := range []string{"holds", "orders", "payments", "payment_events"} {
			exec(t, env.Admin, "ANALYZE TABLE "+table)
		}
	}
	analyze()
	if n := ended(); n > fewEnded+500 {
		t.Errorf("a pruning of nothing reads %d rows with history, and %d without", n, fewEnded)
	}
	for prune(t, env).More {
	}
	analyze()
	many := costs()
	for name, n := range many {
		limit := few[name] + 500
		if strings.HasPrefix(name, "Orders") {
			limit += 2 * ledger.MaxCounted // from the index, and from what is counted
		}
		if n > limit {
			t.Errorf("%s reads %d rows with history, and %d without, expected at most %d", name, n, few[name], limit)
		}
	}
	auditBoth(t, env)
}

// countReads returns a ledger with one connection, and a function that counts the rows which it has read.
func countReads(t *testing.T, env *ledgertest.Env) (*ledger.Ledger, func() int64) {
	t.Helper()
	cfg, err := ledger.Config(env.AdminDSN)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("mysql", cfg.FormatDSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	return ledger.New(db, &ledgertest.Counts{}), func() (sum int64) {
		rows, err := db.QueryContext(context.Background(), "SHOW SESSION STATUS LIKE 'Handler_read%'")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var name string
			var n int64
			if err := rows.Scan(&name, &n); err != nil {
				t.Fatal(err)
			}
			sum += n
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return sum
	}
}

// oldRows writes n holds of 31 days ago to each of two products: one in four was ordered and paid, with its event.
func oldRows(t *testing.T, env *ledgertest.Env, n int) {
	t.Helper()
	exec(t, env.Admin, `
		INSERT INTO holds (id, product_id, qty, unit_price, currency, status, created_at, expires_at, ended_at, facts)
		SELECT id, product, 1, 1000, 'USD', ELT(1 + n % 4, 'ordered', 'expired', 'released', 'expired'), due - INTERVAL 2 MINUTE, due, due,
		       CRC32(CONCAT_WS('|', HEX(id), product, 1, 1000, 'USD', NULL, 120000000))
		FROM (SELECT n, p.id AS product, UTC_TIMESTAMP(6) - INTERVAL 31 DAY - INTERVAL n SECOND AS due,
		             UNHEX(CONCAT(LPAD(HEX(1700000000000 + n), 12, '0'), '70008000', LEFT(SHA2(CONCAT(p.id, n), 256), 12))) AS id
		      FROM products p JOIN (SELECT i - 1 AS n FROM JSON_TABLE(CONCAT('[', REPEAT('0,', ? - 1), '0]'), '$[*]' COLUMNS (i FOR ORDINALITY)) t) numbers) made`, n/2)
	for _, statement := range []string{
		`INSERT INTO orders (id, product_id, qty, amount, currency, status, stock, pay_by, created_at, updated_at)
		 SELECT id, product_id, 1, 1000, 'USD', 'paid', 'sold', expires_at + INTERVAL 15 MINUTE, expires_at, expires_at
		 FROM holds WHERE status = 'ordered' AND expires_at < UTC_TIMESTAMP(6) - INTERVAL 30 DAY`,
		`INSERT INTO payments (provider, payment_id, order_id, settles, currency, received, exact, created_at, updated_at)
		 SELECT 'standard', HEX(id), id, id, 'USD', 1000, TRUE, created_at, created_at FROM orders WHERE created_at < UTC_TIMESTAMP(6) - INTERVAL 30 DAY`,
		`INSERT INTO payment_events (provider, event_id, type, kind, subject_id, payment_id, amount, currency, payload_digest, result, received_at, settled_at, retry_at)
		 SELECT 'standard', payment_id, 'payment.succeeded', 'succeeded', order_id, payment_id, 1000, 'USD', REPEAT('d', 32), 'applied', created_at, created_at, NULL
		 FROM payments WHERE created_at < UTC_TIMESTAMP(6) - INTERVAL 30 DAY`,
		`UPDATE products p SET stock = 1000000,
		   sold_stock = (SELECT COALESCE(SUM(qty), 0) FROM orders o WHERE o.product_id = p.id AND o.stock = 'sold'),
		   holds_sum = (SELECT COALESCE(SUM(facts), 0) FROM holds h WHERE h.product_id = p.id)`,
	} {
		exec(t, env.Admin, statement)
	}
}
