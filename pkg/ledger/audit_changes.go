package ledger

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"flashsale/pkg/checkout"
)

// The limits of one audit of the changes. Of more open orders, only the full audit sees the rest. More changes wait for the
// next audits.
const (
	auditChanged = 20_000 // orders, and payments, that changed
	auditOpen    = 2_000  // unpaid orders, orders of payments that owe money, and orders with a dispute
	auditStray   = 1_000
	auditIDs     = 100 // orders at a time: see readAuditOrders
)

// AuditChanges audits what changed since its last run and what is open, with the rules of Audit. Its cost does not grow with
// history: it compares the counters with audit_marks and what came after them. It sees neither a change of an old hold or
// event by hand, nor a payment or refund whose order did not change. Codes: busy.
func (l *Ledger) AuditChanges(ctx context.Context) (Audit, error) {
	caughtUp, err := l.moveMarks(ctx)
	if err != nil {
		return Audit{}, fmt.Errorf("moving the audit's marks: %w", err)
	}
	var s auditState
	var off []productSums
	a, err := l.inSnapshot(ctx, func(tx *sql.Tx, a *Audit) error {
		if err := s.read(ctx, tx, a); err != nil {
			return err
		}
		if off, err = auditProducts(ctx, tx, s, caughtUp, a); err != nil {
			return fmt.Errorf("the products: %w", err)
		}
		if err := s.auditHolds(ctx, tx, a); err != nil {
			return err
		}
		if err := s.auditOrders(ctx, tx, a); err != nil {
			return err
		}
		if err := a.countOpen(ctx, tx); err != nil {
			return fmt.Errorf("what is open: %w", err)
		}
		return l.auditRoutines(ctx, tx, a)
	})
	if err != nil {
		return Audit{}, err
	}
	for _, p := range off {
		if _, err := l.call(ctx, "mend_mark", p.id, p.keyed, p.sum, p.sold); err != nil {
			return Audit{}, err
		}
	}
	_, err = l.call(ctx, "record_audit", false, s.changesUpto, 0)
	return a, err
}

// RecordAudit records a full audit, so that every process knows when it was and what it found.
func (l *Ledger) RecordAudit(ctx context.Context, a Audit) error {
	_, err := l.call(ctx, "record_audit", true, a.AsOf, a.BrokenCount())
	return err
}

// LatestFullAudit returns when the latest full audit began, in any process.
func (l *Ledger) LatestFullAudit(ctx context.Context) (time.Time, error) {
	at, err := collect(ctx, l, "looking for the latest full audit", scanOne[time.Time], "SELECT full_at FROM audit_state")
	if err != nil || len(at) == 0 {
		return time.Time{}, err
	}
	return at[0], nil
}

// auditState is the row of audit_state.
type auditState struct {
	holdsUpto               []byte
	ordersUpto, changesFrom time.Time
	changesUpto             time.Time // the next changesFrom
}

func (s *auditState) read(ctx context.Context, tx *sql.Tx, a *Audit) error {
	err := tx.QueryRowContext(ctx, "SELECT holds_upto, orders_upto, changes_upto, full_at, full_broken, UTC_TIMESTAMP(6) FROM audit_state WHERE id = 1").
		Scan(&s.holdsUpto, &s.ordersUpto, &s.changesFrom, &a.FullAt, &a.FullBroken, &a.AsOf)
	if err != nil {
		return fmt.Errorf("the audit's state: %w", err)
	}
	s.changesUpto = a.AsOf.Add(-auditMargin)
	if s.changesUpto.Before(s.changesFrom) {
		s.changesUpto = s.changesFrom
	}
	return nil
}

// auditHolds checks the holds that are not in the marks yet, and active ones.
func (s *auditState) auditHolds(ctx context.Context, tx *sql.Tx, a *Audit) error {
	upto := hex.EncodeToString(s.holdsUpto)
	return runChecks(ctx, tx, a, "{h}", []selection{
		{"h.id > UNHEX(?)", []any{upto}},
		{"h.id <= UNHEX(?) AND h.status = 'active' AND h.product_id IN (SELECT q.id FROM products q WHERE q.reserved_stock > 0)", []any{upto}},
	})
}

// auditOrders checks the orders and payments that changed or are open, and recomputes them from the events.
func (s *auditState) auditOrders(ctx context.Context, tx *sql.Tx, a *Audit) error {
	ids, err := s.changed(ctx, tx)
	if err != nil {
		return fmt.Errorf("the changes: %w", err)
	}
	for len(ids) > 0 {
		some := ids[:min(auditIDs, len(ids))]
		ids = ids[len(some):]
		list := selection{"{id} IN (" + strings.TrimSuffix(strings.Repeat("UNHEX(?),", len(some)), ",") + ")", some}
		paid := "(SELECT q.provider, q.payment_id FROM payments q WHERE " + list.on("q.order_id") + ")"
		for token, selections := range map[string][]selection{
			"{o}": {{list.on("o.id"), some}},
			"{p}": {{list.on("p.order_id"), some}},
			"{e}": {{list.on("e.subject_id"), some}, {"(e.provider, e.payment_id) IN " + paid, some}},
			"{r}": {{"(r.provider, r.payment_id) IN " + paid, some}},
		} {
			if err := runChecks(ctx, tx, a, token, selections); err != nil {
				return err
			}
		}
		page, err := readAuditOrders(ctx, tx, list, a.AsOf)
		if err != nil {
			return fmt.Errorf("the money: %w", err)
		}
		for _, o := range page.orders {
			o.audit(a)
		}
	}
	if err := runChecks(ctx, tx, a, "{p}", []selection{{"p.order_id IS NULL AND p.updated_at > ?", []any{s.changesFrom}}}); err != nil {
		return err
	}
	page, err := readChangedStrays(ctx, tx, s.changesFrom, auditStray, a.AsOf)
	if err != nil {
		return fmt.Errorf("the payments without an order: %w", err)
	}
	page.auditStrays(a)
	return nil
}

// changed lists the orders that changed, or whose payments did, or that are open, each once and in hexadecimal. If there are
// too many changes, it moves changesUpto back to where it stopped.
func (s *auditState) changed(ctx context.Context, tx *sql.Tx) (ids []any, err error) {
	seen := map[checkout.ID]bool{}
	list := func(changes bool, limit int, query string, args ...any) error {
		n, last := 0, time.Time{}
		err := each(ctx, tx, func(rows *sql.Rows) error {
			var id []byte
			if err := rows.Scan(&id, &last); err != nil {
				return err
			}
			n++
			if len(id) == len(checkout.ID{}) && !seen[checkout.ID(id)] {
				seen[checkout.ID(id)] = true
				ids = append(ids, hex.EncodeToString(id))
			}
			return nil
		}, query, append(args, limit)...)
		if changes && n == limit && last.Before(s.changesUpto) {
			s.changesUpto = last.Add(-time.Microsecond) // others may have changed at the same time
		}
		return err
	}
	if err := list(true, auditChanged, `
		SELECT id, updated_at FROM orders FORCE INDEX (orders_changed)
		WHERE status IN ('pending_payment', 'paid', 'cancelled', 'refund_due', 'refunded') AND updated_at > ? ORDER BY updated_at LIMIT ?`, s.changesFrom); err != nil {
		return nil, err
	}
	if err := list(true, auditChanged, "SELECT order_id, updated_at FROM payments WHERE updated_at > ? ORDER BY updated_at LIMIT ?", s.changesFrom); err != nil {
		return nil, err
	}
	if err := list(false, auditOpen, "SELECT id, updated_at FROM orders WHERE status = 'pending_payment' ORDER BY updated_at LIMIT ?"); err != nil {
		return nil, err
	}
	if err := list(false, auditOpen, "SELECT order_id, updated_at FROM payments WHERE owed > 0 LIMIT ?"); err != nil {
		return nil, err
	}
	return ids, list(false, auditOpen, `
		SELECT p.order_id, p.updated_at FROM refunds r JOIN payments p ON p.provider = r.provider AND p.payment_id = r.payment_id
		WHERE r.status = 'open' LIMIT ?`)
}

// runChecks runs the checks that a token limits, once for each selection.
func runChecks(ctx context.Context, tx *sql.Tx, a *Audit, token string, selections []selection) error {
	for _, c := range checks {
		if !strings.Contains(c.query, token) {
			continue
		}
		for _, s := range selections {
			if err := c.find(ctx, tx, a, strings.Replace(c.query, token, s.condition, 1), s.args...); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return nil
}

// countOpen counts what needs a person, and the money owed by currency of the catalogue.
func (a *Audit) countOpen(ctx context.Context, tx *sql.Tx) error {
	if err := tx.QueryRowContext(ctx, `
		SELECT (SELECT COUNT(*) FROM payments WHERE owed > 0), (SELECT COUNT(*) FROM refunds WHERE status = 'open'),
		       (SELECT COUNT(*) FROM payment_events WHERE result = 'stored'),
		       (SELECT COUNT(*) FROM payment_events WHERE result = 'unmatched' AND received_at > UTC_TIMESTAMP(6) - INTERVAL 1 DAY),
		       (SELECT COUNT(*) FROM rejected_events WHERE reason IN ('unreadable', 'reused') AND last_at > UTC_TIMESTAMP(6) - INTERVAL 1 DAY)`).
		Scan(&a.Refunds, &a.DisputesOpen, &a.Stored, &a.UnmatchedToday, &a.RejectedToday); err != nil {
		return err
	}
	return each(ctx, tx, func(rows *sql.Rows) error {
		var m MoneyReport
		if err := rows.Scan(&m.Currency, &m.Owed); err != nil {
			return err
		}
		a.Money = append(a.Money, m)
		return nil
	}, `
		SELECT c.currency, COALESCE(o.owed, 0)
		FROM (SELECT currency FROM products UNION SELECT currency FROM payments WHERE owed > 0) c
		     LEFT JOIN (SELECT currency, SUM(owed) AS owed FROM payments WHERE owed > 0 GROUP BY currency) o ON o.currency = c.currency
		WHERE c.currency IS NOT NULL ORDER BY c.currency`)
}
