package ledger

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"flashsale/pkg/checkout"
)

// OrderFilter selects orders. Empty fields select all.
type OrderFilter struct {
	ProductID string               `json:"product_id,omitempty"`
	Status    checkout.OrderStatus `json:"status,omitempty"`
	Reference string               `json:"reference,omitempty"`
	Since     *time.Time           `json:"since,omitempty"` // created at that time or later
}

// ListedOrder is an order with the sums of its payments. The sums have one entry per currency and none of 0.
type ListedOrder struct {
	OrderID   string               `json:"order_id"`
	ProductID string               `json:"product_id"`
	Qty       int64                `json:"qty"`
	Amount    checkout.Money       `json:"amount"`
	Status    checkout.OrderStatus `json:"status"`
	Reason    checkout.Reason      `json:"reason,omitempty"`
	Reference string               `json:"reference,omitempty"` // the merchant's own
	Received  []checkout.Money     `json:"received"`
	Returned  []checkout.Money     `json:"returned"`
	Owed      []checkout.Money     `json:"owed"`
	CreatedAt time.Time            `json:"created_at"`
	UpdatedAt time.Time            `json:"updated_at"`
}

// MaxCounted limits List.Total for orders: counting all of them costs more the longer the shop sells.
const MaxCounted = 2_000

// Orders lists the orders that the filter selects, newest first and at most limit. If there are more, they are those with the
// newest holds; with a status or a time, those that changed last; with a product, those with the latest pay_by. So the list
// reads one index, and costs the same however many orders there are.
func (l *Ledger) Orders(ctx context.Context, f OrderFilter, limit int) (list List[ListedOrder], err error) {
	selected, args := f.query("1")
	if list.Total, err = l.count(ctx, "counting orders", "SELECT COUNT(*) FROM ("+selected+") counted", limited(args, MaxCounted)...); err != nil {
		return list, err
	}
	list.Total = min(list.Total, MaxCounted)
	list.Entries, err = l.listOrders(ctx, f, limit)
	return list, err
}

// listOrders is Orders without the total.
func (l *Ledger) listOrders(ctx context.Context, f OrderFilter, limit int) (list []ListedOrder, err error) {
	selected, args := f.query("o.*")
	// One row per order and currency of its payments.
	rows, err := collect(ctx, l, "listing orders", scanListedOrder, `
		SELECT o.id, o.product_id, o.qty, o.amount, o.currency, o.status, COALESCE(o.reason, ''), COALESCE(o.reference, ''), o.created_at, o.updated_at,
		       COALESCE(p.currency, ''), COALESCE(SUM(p.received), 0), COALESCE(SUM(p.returned), 0), COALESCE(SUM(p.owed), 0)
		FROM (SELECT * FROM (`+selected+`) some ORDER BY created_at DESC, id DESC LIMIT ?) o
		     LEFT JOIN payments p ON p.order_id = o.id
		GROUP BY o.id, o.product_id, o.qty, o.amount, o.currency, o.status, o.reason, o.reference, o.created_at, o.updated_at, p.currency
		ORDER BY o.created_at DESC, o.id DESC, p.currency`, append(limited(args, limit), limit)...)
	for _, o := range rows {
		if n := len(list); n > 0 && list[n-1].OrderID == o.OrderID {
			last := &list[n-1]
			last.Received, last.Returned, last.Owed = append(last.Received, o.Received...), append(last.Returned, o.Returned...), append(last.Owed, o.Owed...)
			continue
		}
		list = append(list, o)
	}
	return notNil(list), err
}

// orderStatuses are all of them: an index that begins with the status is read once for each.
var orderStatuses = []checkout.OrderStatus{
	checkout.OrderPendingPayment, checkout.OrderPaid, checkout.OrderCancelled, checkout.OrderRefundDue, checkout.OrderRefunded,
}

// theLimit stands for the limit in the arguments of OrderFilter.query.
type theLimit struct{}

func limited(args []any, limit int) []any {
	all := slices.Clone(args)
	for i := range all {
		if all[i] == (theLimit{}) {
			all[i] = limit
		}
	}
	return all
}

// query selects columns of the orders, in a part for each status, and each part at most the limit.
func (f OrderFilter) query(columns string) (string, []any) {
	if f == (OrderFilter{}) {
		return "SELECT " + columns + " FROM orders o ORDER BY o.id DESC LIMIT ?", []any{theLimit{}}
	}
	if f.Reference != "" {
		return f.byReference(columns)
	}
	statuses := orderStatuses
	if f.Status != "" {
		statuses = []checkout.OrderStatus{f.Status}
	}
	var parts []string
	var args []any
	for _, status := range statuses {
		index, order, where := "orders_changed", "updated_at", "o.status = ?"
		args = append(args, string(status))
		if f.ProductID != "" {
			index, order, where = "orders_due", "pay_by", where+" AND o.product_id = ?"
			args = append(args, f.ProductID)
		}
		if f.Since != nil {
			where += " AND o.updated_at >= ? AND o.created_at >= ?" // the first is what the index knows
			args = append(args, f.Since.UTC(), f.Since.UTC())
		}
		args = append(args, theLimit{})
		parts = append(parts, "(SELECT "+columns+" FROM orders o FORCE INDEX ("+index+") WHERE "+where+" ORDER BY o."+order+" DESC LIMIT ?)")
	}
	return strings.Join(parts, " UNION ALL "), args
}

// byReference selects columns of the orders with the filter's reference: few, so the other fields need no index.
func (f OrderFilter) byReference(columns string) (string, []any) {
	where, args := "o.reference = ?", []any{f.Reference}
	if f.ProductID != "" {
		where, args = where+" AND o.product_id = ?", append(args, f.ProductID)
	}
	if f.Status != "" {
		where, args = where+" AND o.status = ?", append(args, string(f.Status))
	}
	if f.Since != nil {
		where, args = where+" AND o.created_at >= ?", append(args, f.Since.UTC())
	}
	return "SELECT " + columns + " FROM orders o FORCE INDEX (orders_reference) WHERE " + where + " ORDER BY o.id DESC LIMIT ?", append(args, theLimit{})
}

func scanListedOrder(rows *sql.Rows) (o ListedOrder, err error) {
	var id []byte
	var currency string
	var received, returned, owed int64
	err = rows.Scan(&id, &o.ProductID, &o.Qty, &o.Amount.Amount, &o.Amount.Currency, &o.Status, &o.Reason, &o.Reference, &o.CreatedAt, &o.UpdatedAt,
		&currency, &received, &returned, &owed)
	o.OrderID = orderID(id)
	sum := func(amount int64) []checkout.Money {
		if amount == 0 {
			return []checkout.Money{}
		}
		return []checkout.Money{{Amount: amount, Currency: currency}}
	}
	o.Received, o.Returned, o.Owed = sum(received), sum(returned), sum(owed)
	return o, err
}
