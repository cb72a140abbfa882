package ledger

import (
	"database/sql"
	"fmt"
	"time"

	"flashsale/pkg/checkout"
)

// result is the one row that every routine returns: see routines/snapshot.sql.
type result struct {
	outcome string
	holds   int // expired by the call
	orders  int // cancelled by the call for payment_timeout
	lag     time.Duration
	hold    *checkout.Hold
	order   *checkout.Order
	product *checkout.Product
	yours   int64 // with shopper_limit: the units that the shopper has
}

func (r result) outcomeName() string { return r.outcome }

func (r result) productState() *checkout.Product { return r.product }

func (r result) receipt(repeated bool) checkout.Receipt {
	return checkout.Receipt{Hold: r.hold, Order: r.order, Product: r.product, Repeated: repeated}
}

// resultRowColumns is the number of columns of a resultRow.
const resultRowColumns = 36

// scanResult reads the row of a routine.
func scanResult(rows *sql.Rows) (result, error) { return scanPartOf(resultRowColumns)(rows) }

// scanPartOf reads rows that have only the given number of a resultRow's columns.
func scanPartOf(columns int) func(*sql.Rows) (result, error) {
	return func(rows *sql.Rows) (result, error) {
		names, err := rows.Columns()
		if err != nil {
			return result{}, fmt.Errorf("reading the columns of a routine: %w", err)
		}
		var r resultRow
		if err := scanByName(rows, names, columns, r.column); err != nil {
			return result{}, fmt.Errorf("reading the row of a routine: %w", err)
		}
		return result{
			outcome: r.outcome, holds: int(r.holds.Int64), orders: int(r.orders.Int64), lag: time.Duration(r.lag.Int64) * time.Microsecond,
			hold: r.toHold(), order: r.toOrder(), product: r.toProduct(), yours: r.yours.Int64,
		}, nil
	}
}

// scanByName scans the current row. column returns the destination of a column, or nil for a column to skip. It fails
// unless it finds the given number of columns.
func scanByName(rows *sql.Rows, names []string, expected int, column func(name string) any) error {
	dest, found := make([]any, len(names)), 0
	for i, name := range names {
		if dest[i] = column(name); dest[i] == nil {
			dest[i] = new(any)
			continue
		}
		found++
	}
	if found != expected {
		return fmt.Errorf("the row has %d of %d expected columns", found, expected)
	}
	return rows.Scan(dest...)
}

// resultRow has the columns of a result. Those of a missing hold, order or product are NULL.
type resultRow struct {
	outcome            string
	holds, orders, lag sql.NullInt64
	yours              sql.NullInt64

	holdID, shopper              []byte
	holdProduct, holdStatus      sql.NullString
	qty                          sql.NullInt64
	holdCreatedAt, holdExpiresAt sql.NullTime

	orderID                                  []byte
	amount                                   sql.NullInt64
	currency, orderStatus, reason, reference sql.NullString
	payBy, orderCreatedAt, orderUpdatedAt    sql.NullTime

	productRow
}

func (r *resultRow) column(name string) any {
	switch name {
	case "outcome":
		return &r.outcome
	case "expired_holds":
		return &r.holds
	case "cancelled_orders":
		return &r.orders
	case "lag_us":
		return &r.lag
	case "shopper_units":
		return &r.yours
	case "hold_shopper":
		return &r.shopper
	case "hold_id":
		return &r.holdID
	case "hold_product_id":
		return &r.holdProduct
	case "hold_qty":
		return &r.qty
	case "hold_status":
		return &r.holdStatus
	case "hold_created_at":
		return &r.holdCreatedAt
	case "hold_expires_at":
		return &r.holdExpiresAt
	case "order_id":
		return &r.orderID
	case "order_amount":
		return &r.amount
	case "order_currency":
		return &r.currency
	case "order_status":
		return &r.orderStatus
	case "order_reason":
		return &r.reason
	case "order_reference":
		return &r.reference
	case "order_pay_by":
		return &r.payBy
	case "order_created_at":
		return &r.orderCreatedAt
	case "order_updated_at":
		return &r.orderUpdatedAt
	}
	return r.productRow.column(name)
}

func (r *resultRow) toHold() *checkout.Hold {
	if r.holdID == nil {
		return nil
	}
	h := &checkout.Hold{
		ID: checkout.ID(r.holdID), ProductID: r.holdProduct.String, Qty: r.qty.Int64, Status: checkout.HoldStatus(r.holdStatus.String),
		CreatedAt: r.holdCreatedAt.Time, ExpiresAt: r.holdExpiresAt.Time, HasOrder: r.orderID != nil,
	}
	if r.shopper != nil {
		h.Shopper = checkout.Shopper(r.shopper)
	}
	return h
}

func (r *resultRow) toOrder() *checkout.Order {
	if r.orderID == nil {
		return nil
	}
	return &checkout.Order{
		ID: checkout.ID(r.orderID), ProductID: r.holdProduct.String, Qty: r.qty.Int64,
		Amount: checkout.Money{Amount: r.amount.Int64, Currency: r.currency.String},
		Status: checkout.OrderStatus(r.orderStatus.String), Reason: checkout.Reason(r.reason.String), Reference: r.reference.String,
		PayBy: r.payBy.Time, CreatedAt: r.orderCreatedAt.Time, UpdatedAt: r.orderUpdatedAt.Time,
	}
}

// productColumns selects a productRow from products, under the names that snapshot.sql gives its columns.
const productColumns = `UTC_TIMESTAMP(6) AS as_of, id AS product_id, name AS product_name, price_amount AS product_price,
	currency AS product_currency, stock AS product_stock, reserved_stock AS product_reserved_stock, sold_stock AS product_sold_stock,
	keyed_holds AS product_keyed_holds, version AS product_version, max_qty_per_hold AS product_max_qty,
	sale_starts_at AS product_starts_at, sale_ends_at AS product_ends_at, max_per_shopper AS product_max_per_shopper, hidden AS product_hidden`

// productRowColumns is the number of columns of a productRow.
const productRowColumns = 15

// productRow has the columns of a product. Those of a missing product are NULL.
type productRow struct {
	asOf                                                 time.Time
	id, name, priceCurrency                              sql.NullString
	price, stock, reserved, sold, keyed, version, maxQty sql.NullInt64
	starts, ends                                         sql.NullTime
	perShopper                                           sql.NullInt64
	hidden                                               sql.NullBool
}

func (r *productRow) column(name string) any {
	switch name {
	case "as_of":
		return &r.asOf
	case "product_id":
		return &r.id
	case "product_name":
		return &r.name
	case "product_price":
		return &r.price
	case "product_currency":
		return &r.priceCurrency
	case "product_stock":
		return &r.stock
	case "product_reserved_stock":
		return &r.reserved
	case "product_sold_stock":
		return &r.sold
	case "product_keyed_holds":
		return &r.keyed
	case "product_version":
		return &r.version
	case "product_max_qty":
		return &r.maxQty
	case "product_max_per_shopper":
		return &r.perShopper
	case "product_hidden":
		return &r.hidden
	case "product_starts_at":
		return &r.starts
	case "product_ends_at":
		return &r.ends
	}
	return nil
}

func (r *productRow) toProduct() *checkout.Product {
	if !r.id.Valid {
		return nil
	}
	p := &checkout.Product{
		ID: r.id.String, Name: r.name.String, Price: checkout.Money{Amount: r.price.Int64, Currency: r.priceCurrency.String},
		Stock: r.stock.Int64, ReservedStock: r.reserved.Int64, SoldStock: r.sold.Int64,
		KeyedHolds: r.keyed.Int64, Version: r.version.Int64, MaxQtyPerHold: r.maxQty.Int64, MaxPerShopper: optional(r.perShopper), Hidden: r.hidden.Bool,
		AsOf: r.asOf,
	}
	if r.starts.Valid {
		p.SaleStartsAt = &r.starts.Time
	}
	if r.ends.Valid {
		p.SaleEndsAt = &r.ends.Time
	}
	return p
}

// optional is nil for NULL.
func optional(n sql.NullInt64) *int64 {
	if !n.Valid {
		return nil
	}
	return &n.Int64
}
