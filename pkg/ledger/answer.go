package ledger

import (
	"database/sql"
	"fmt"
	"time"

	"flashsale/pkg/checkout"
)

// answer is the one row that every routine ends with: see routines/snapshot.sql, whose columns scanAnswer reads in
// their order.
type answer struct {
	outcome string
	holds   int
	orders  int
	lag     time.Duration
	hold    *checkout.Hold
	order   *checkout.Order
	product *checkout.Product
}

type scanner interface{ Scan(dest ...any) error }

func scanAnswer(row scanner) (answer, error) {
	var (
		a                        answer
		h                        checkout.Hold
		o                        checkout.Order
		p                        productRow
		holds, orders, lag       sql.NullInt64
		now                      time.Time
		holdID, orderID          []byte
		holdProduct, holdStatus  sql.NullString
		qty, amount              sql.NullInt64
		currency, status, reason sql.NullString
		created, expires         sql.NullTime
		payBy, ordered, updated  sql.NullTime
	)
	dest := append([]any{
		&a.outcome, &holds, &orders, &lag, &now,
		&holdID, &holdProduct, &qty, &holdStatus, &created, &expires,
		&orderID, &amount, &currency, &status, &reason, &payBy, &ordered, &updated,
	}, p.dest()...)
	if err := row.Scan(dest...); err != nil {
		return answer{}, fmt.Errorf("reading the answer: %w", err)
	}
	a.holds, a.orders, a.lag = int(holds.Int64), int(orders.Int64), time.Duration(lag.Int64)*time.Microsecond
	if holdID != nil {
		h = checkout.Hold{
			ID: checkout.ID(holdID), ProductID: holdProduct.String, Qty: qty.Int64, Status: checkout.HoldStatus(holdStatus.String),
			CreatedAt: created.Time, ExpiresAt: expires.Time, HasOrder: orderID != nil,
		}
		a.hold = &h
	}
	if orderID != nil {
		o = checkout.Order{
			ID: checkout.ID(orderID), ProductID: holdProduct.String, Qty: qty.Int64,
			Amount: checkout.Money{Amount: amount.Int64, Currency: currency.String},
			Status: checkout.OrderStatus(status.String), Reason: checkout.Reason(reason.String),
			PayBy: payBy.Time, CreatedAt: ordered.Time, UpdatedAt: updated.Time,
		}
		a.order = &o
	}
	a.product = p.product(now)
	return a, nil
}

func (a answer) receipt(repeated bool) checkout.Receipt {
	return checkout.Receipt{Hold: a.hold, Order: a.order, Product: a.product, Repeated: repeated}
}

// productColumns are the columns of products in the order that productRow reads.
const productColumns = `id, name, price_amount, currency, stock, reserved_stock, sold_stock, keyed_holds, version,
	max_qty_per_hold, sale_starts_at, sale_ends_at`

// productRow reads a product that may not be there.
type productRow struct {
	id, name, currency                                   sql.NullString
	price, stock, reserved, sold, keyed, version, maxQty sql.NullInt64
	starts, ends                                         sql.NullTime
}

func (r *productRow) dest() []any {
	return []any{
		&r.id, &r.name, &r.price, &r.currency, &r.stock, &r.reserved, &r.sold, &r.keyed, &r.version,
		&r.maxQty, &r.starts, &r.ends,
	}
}

func (r *productRow) product(now time.Time) *checkout.Product {
	if !r.id.Valid {
		return nil
	}
	p := &checkout.Product{
		ID: r.id.String, Name: r.name.String, Price: checkout.Money{Amount: r.price.Int64, Currency: r.currency.String},
		Stock: r.stock.Int64, ReservedStock: r.reserved.Int64, SoldStock: r.sold.Int64,
		KeyedHolds: r.keyed.Int64, Version: r.version.Int64, MaxQtyPerHold: r.maxQty.Int64, AsOf: now,
	}
	if r.starts.Valid {
		p.SaleStartsAt = &r.starts.Time
	}
	if r.ends.Valid {
		p.SaleEndsAt = &r.ends.Time
	}
	return p
}
