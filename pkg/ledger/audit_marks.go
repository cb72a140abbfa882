package ledger

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// auditMargin is how old a row must be to count as settled. It outlasts a call with its retries, and a default hold.
	auditMargin = 3 * time.Minute
	// markStep limits the holds, and the orders, of one step of move_marks.
	markStep = 20_000
	// markTime limits the steps of one audit. After the first migration, the marks catch up with the history in this way.
	markTime = 10 * time.Second
)

// moveMarks moves audit_marks up to auditMargin ago. It returns whether they are there.
func (l *Ledger) moveMarks(ctx context.Context) (caughtUp bool, err error) {
	for end := time.Now().Add(markTime); time.Now().Before(end); {
		r, err := l.call(ctx, "move_marks", auditMargin.Microseconds(), markStep)
		if err != nil {
			return false, err
		}
		if r.holds < markStep && r.orders < markStep {
			return true, nil
		}
	}
	return false, nil
}

// productSums says by how much a product's counters differ from its mark and the rows after it.
type productSums struct {
	id               string
	sold, keyed, sum int64
}

// auditProducts checks every product's counters. Where they differ from the marks and what came after them, it reads all
// rows of the product. It returns how far the marks are off, for products whose counters are right.
func auditProducts(ctx context.Context, tx *sql.Tx, s auditState, marks bool, a *Audit) (off []productSums, err error) {
	var suspects []productSums
	if err := each(ctx, tx, func(rows *sql.Rows) error {
		var p productSums
		err := rows.Scan(&p.id)
		suspects = append(suspects, p)
		return err
	}, `
		SELECT p.id FROM products p
		WHERE p.reserved_stock <> COALESCE((SELECT SUM(h.qty) FROM holds h WHERE h.product_id = p.id AND h.status = 'active'), 0)
		                        + COALESCE((SELECT SUM(o.qty) FROM orders o WHERE o.product_id = p.id AND o.status = 'pending_payment'), 0)
		   OR p.reserved_stock + p.sold_stock > p.stock OR p.stock < 0 OR p.reserved_stock < 0 OR p.sold_stock < 0`); err != nil {
		return nil, err
	}
	unexplained := map[string]productSums{}
	if marks {
		if err := s.compareMarks(ctx, tx, unexplained); err != nil {
			return nil, err
		}
	}
	for id := range unexplained {
		suspects = append(suspects, productSums{id: id})
	}
	for _, p := range suspects {
		broken := len(a.Broken)
		for _, c := range checks {
			if n := strings.Count(c.query, "{p.id}") + strings.Count(c.query, "{product_id}"); n > 0 {
				if err := c.find(ctx, tx, a, ofProduct.Replace(c.query), slices.Repeat([]any{p.id}, n)...); err != nil {
					return nil, fmt.Errorf("%s: %w", c.name, err)
				}
			}
		}
		if d, ok := unexplained[p.id]; ok && len(a.Broken) == broken {
			d.id = p.id
			off = append(off, d)
		}
	}
	return off, nil
}

// ofProduct limits a check to one product.
var ofProduct = strings.NewReplacer("{p.id}", "p.id = ?", "{product_id}", "product_id = ?", "{holds}", "holds", "{orders}", "orders")

// compareMarks finds the products whose counters differ from their marks and the rows after them.
func (s *auditState) compareMarks(ctx context.Context, tx *sql.Tx, differ map[string]productSums) error {
	return each(ctx, tx, func(rows *sql.Rows) error {
		var p productSums
		err := rows.Scan(&p.id, &p.keyed, &p.sum, &p.sold)
		differ[p.id] = p
		return err
	}, `
		SELECT id, keyed, facts, sold FROM (
		  SELECT p.id, p.keyed_holds - COALESCE(m.keyed_holds, 0) - COALESCE(h.keyed, 0) AS keyed,
		         p.holds_sum - COALESCE(m.holds_sum, 0) - COALESCE(h.facts, 0) AS facts,
		         p.sold_stock - COALESCE(m.sold_stock, 0) - COALESCE(o.sold, 0) AS sold
		  FROM products p LEFT JOIN audit_marks m ON m.product_id = p.id
		       LEFT JOIN (SELECT product_id, COUNT(idempotency_key) AS keyed, SUM(facts) AS facts FROM holds
		                  WHERE id > UNHEX(?) GROUP BY product_id) h ON h.product_id = p.id
		       LEFT JOIN (SELECT o.product_id, SUM(IF(o.stock = 'sold', o.qty, 0) - COALESCE(a.qty, 0)) AS sold
		                  FROM orders o FORCE INDEX (orders_changed) LEFT JOIN audited_orders a ON a.id = o.id
		                  WHERE o.status IN ('pending_payment', 'paid', 'cancelled', 'refund_due', 'refunded') AND o.updated_at > ?
		                  GROUP BY o.product_id) o ON o.product_id = p.id) differences
		WHERE keyed <> 0 OR facts <> 0 OR sold <> 0`, hex.EncodeToString(s.holdsUpto), s.ordersUpto)
}
