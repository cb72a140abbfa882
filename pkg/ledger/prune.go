package ledger

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"
)

// pruneBatch is how many rows one transaction of a pruning looks at: see docs/decisions.md.
const pruneBatch = 100

// upkeep are the routines that serve nobody. They have no metrics of their own: CloudWatch bills each.
var upkeep = map[string]bool{"prune_ended": true, "prune_events": true, "move_marks": true, "mend_mark": true, "record_audit": true}

// Pruned says what one Prune did.
type Pruned struct {
	Holds, Events int      // rows deleted
	Products      []string // whose holds were deleted
	More          bool     // it stopped at its limit
}

// Prune deletes what ended longer than retention ago and has no part in an order: holds, and payment events that changed
// nothing. It looks at about limit rows of each, in small batches that are transactions of their own. A product that fails
// does not stop the others.
func (l *Ledger) Prune(ctx context.Context, retention time.Duration, limit int) (p Pruned, err error) {
	due, err := l.prunable(ctx, retention)
	errs := []error{err}
	left := limit
	for _, d := range due {
		for left > 0 && ctx.Err() == nil {
			r, err := l.call(ctx, "prune_ended", d.productID, d.status, retention.Microseconds(), pruneBatch)
			if err != nil {
				errs = append(errs, err)
				break
			}
			p.Holds += r.holds
			if r.holds > 0 && !slices.Contains(p.Products, d.productID) {
				p.Products = append(p.Products, d.productID)
			}
			left -= r.orders
			if r.orders < pruneBatch || r.outcome == "left" {
				break
			}
		}
	}
	p.More = left <= 0
	for left = limit; left > 0 && ctx.Err() == nil; {
		r, err := l.call(ctx, "prune_events", retention.Microseconds(), pruneBatch)
		if err != nil {
			errs = append(errs, err)
			break
		}
		p.Events += r.holds
		left -= max(r.holds, r.orders)
		if max(r.holds, r.orders) < pruneBatch {
			break
		}
	}
	return p, errors.Join(errs...)
}

// prunableHolds are old holds of one product in one status.
type prunableHolds struct{ productID, status string }

// prunable finds products with holds to delete. For each product and status it looks up the oldest hold after the position
// of prune_ended. ORDER BY names the whole index: by expires_at alone, MySQL would sort all ended holds of each product.
func (l *Ledger) prunable(ctx context.Context, retention time.Duration) ([]prunableHolds, error) {
	const one = `
		(SELECT p.id, '{status}' AS status FROM products p LEFT JOIN prune_marks m ON m.product_id = p.id AND m.status = '{status}'
		 WHERE (SELECT h.expires_at FROM holds h FORCE INDEX (holds_due)
		        WHERE h.product_id = p.id AND h.status = '{status}' AND h.expires_at > COALESCE(m.upto, '1000-01-01')
		        ORDER BY h.product_id, h.status, h.expires_at LIMIT 1) < UTC_TIMESTAMP(6) - INTERVAL ? MICROSECOND
		 LIMIT ?)`
	query := "SELECT * FROM (" + strings.ReplaceAll(one, "{status}", "released") + " UNION ALL " + strings.ReplaceAll(one, "{status}", "expired") + ") AS due"
	age := retention.Microseconds()
	return collect(ctx, l, "looking for holds to prune", func(rows *sql.Rows) (d prunableHolds, err error) {
		return d, rows.Scan(&d.productID, &d.status)
	}, query, age, pruneProducts, age, pruneProducts)
}

// pruneProducts limits the products of one Prune.
const pruneProducts = 100
