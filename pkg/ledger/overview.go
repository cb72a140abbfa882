package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"flashsale/pkg/checkout"
)

// Overview is what an operator watches during a sale.
type Overview struct {
	// Products has at most MaxOverviewProducts: first those with reserved units or an open sale, by id.
	Products []checkout.Product
	// Ordered has the units of unpaid orders by product, as of the same moment. The other reserved units are held.
	Ordered map[string]int64
	// MoreProducts counts the products that are not in Products.
	MoreProducts int64
	Owed         []OwedTotal   // one per currency
	Orders       []ListedOrder // the latest MaxOverviewOrders
	Audits       AuditTimes
}

// The limits of one Overview.
const (
	MaxOverviewProducts = 100
	MaxOverviewOrders   = 20
)

// AuditTimes say when the audits were, in any process.
type AuditTimes struct {
	ChangesAt  time.Time `json:"changes_at"`  // the latest audit of the changes
	FullAt     time.Time `json:"full_at"`     // the latest full audit; before the first, the migration
	FullBroken int       `json:"full_broken"` // broken invariants that it found
}

// Overview reads what an operator watches. It locks nothing, and its cost follows the number of products and of what is open, not
// history. The parts are not of one snapshot, but Products and Ordered are. Codes: busy.
func (l *Ledger) Overview(ctx context.Context) (o Overview, err error) {
	if err := l.overviewProducts(ctx, &o); err != nil {
		return Overview{}, err
	}
	if o.Owed, err = l.owedTotals(ctx); err != nil {
		return Overview{}, err
	}
	if o.Orders, err = l.listOrders(ctx, OrderFilter{}, MaxOverviewOrders); err != nil {
		return Overview{}, err
	}
	o.Audits, err = l.auditTimes(ctx)
	return o, err
}

// overviewQuery adds the units of unpaid orders to each product. The index orders_due has only those, however many orders there are.
const overviewQuery = "SELECT " + productColumns + `,
	       (SELECT COALESCE(SUM(o.qty), 0) FROM orders o FORCE INDEX (orders_due)
	        WHERE o.product_id = p.id AND o.status = 'pending_payment' AND p.reserved_stock > 0) AS ordered, more
	FROM (SELECT *, COUNT(*) OVER () - ? AS more FROM products
	      ORDER BY reserved_stock > 0 DESC, NOT hidden AND COALESCE(sale_starts_at <= UTC_TIMESTAMP(6), TRUE) AND COALESCE(sale_ends_at > UTC_TIMESTAMP(6), TRUE) DESC, id
	      LIMIT ?) p`

func (l *Ledger) overviewProducts(ctx context.Context, o *Overview) (err error) {
	o.Ordered = map[string]int64{}
	o.Products, err = collect(ctx, l, "reading the overview's products", func(rows *sql.Rows) (checkout.Product, error) {
		names, err := rows.Columns()
		if err != nil {
			return checkout.Product{}, err
		}
		var p productRow
		var ordered int64
		if err := scanByName(rows, names, productRowColumns+2, func(name string) any {
			switch name {
			case "ordered":
				return &ordered
			case "more":
				return &o.MoreProducts
			}
			return p.column(name)
		}); err != nil {
			return checkout.Product{}, err
		}
		product := *p.toProduct()
		o.Ordered[product.ID] = ordered
		return product, nil
	}, overviewQuery, MaxOverviewProducts, MaxOverviewProducts)
	o.MoreProducts = max(o.MoreProducts, 0)
	return err
}

// auditTimes reads when the audits were. changes_upto is auditMargin before its audit, but never before the migration.
func (l *Ledger) auditTimes(ctx context.Context) (AuditTimes, error) {
	const doing = "reading when the audits were"
	times, err := collect(ctx, l, doing, func(rows *sql.Rows) (t AuditTimes, err error) {
		return t, rows.Scan(&t.ChangesAt, &t.FullAt, &t.FullBroken)
	}, "SELECT LEAST(changes_upto + INTERVAL ? MICROSECOND, UTC_TIMESTAMP(6)), full_at, full_broken FROM audit_state WHERE id = 1", auditMargin.Microseconds())
	if err == nil && len(times) == 0 {
		err = fmt.Errorf("%s: %w", doing, errors.New("audit_state has no row"))
	}
	if err != nil {
		return AuditTimes{}, err
	}
	return times[0], nil
}
