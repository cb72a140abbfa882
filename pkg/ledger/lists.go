package ledger

import (
	"context"
	"database/sql"
	"encoding/hex"
	"strings"
	"time"

	"flashsale/pkg/checkout"
)

// OwedPayment is a payment that owes money to its shopper.
type OwedPayment struct {
	Provider  string         `json:"provider"`
	PaymentID string         `json:"payment_id"` // the provider's
	OrderID   string         `json:"order_id"`
	Owed      checkout.Money `json:"owed"`
	// Reason is amount_mismatch, second_payment (another one pays the order), refund_failed, or late_payment (no units).
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

// OwedTotal is what is owed in one currency, listed or not.
type OwedTotal struct {
	Owed     checkout.Money `json:"owed"`
	Payments int            `json:"payments"`
}

// OwedList is the payments that owe money, oldest first, and the complete totals by currency.
type OwedList struct {
	Payments []OwedPayment `json:"payments"`
	Totals   []OwedTotal   `json:"totals"`
}

// Owed lists at most limit payments that owe money.
func (l *Ledger) Owed(ctx context.Context, limit int) (list OwedList, err error) {
	list.Payments, err = collect(ctx, l, "listing payments that owe money", func(rows *sql.Rows) (p OwedPayment, err error) {
		var order []byte
		err = rows.Scan(&p.Provider, &p.PaymentID, &order, &p.Owed.Amount, &p.Owed.Currency, &p.Reason, &p.Since)
		p.OrderID = orderName(order)
		return p, err
	}, `
		SELECT p.provider, p.payment_id, p.order_id, p.owed, p.currency,
		       CASE WHEN p.unsent > 0 THEN 'refund_failed' WHEN NOT p.exact THEN 'amount_mismatch'
		            WHEN o.status = 'paid' THEN 'second_payment' ELSE 'late_payment' END, p.updated_at
		FROM payments p LEFT JOIN orders o ON o.id = p.order_id
		WHERE p.owed > 0 ORDER BY p.updated_at, p.provider, p.payment_id LIMIT ?`, limit)
	if err != nil {
		return list, err
	}
	list.Totals, err = collect(ctx, l, "adding up what is owed", func(rows *sql.Rows) (t OwedTotal, err error) {
		return t, rows.Scan(&t.Owed.Currency, &t.Owed.Amount, &t.Payments)
	}, "SELECT currency, SUM(owed), COUNT(*) FROM payments WHERE owed > 0 GROUP BY currency ORDER BY currency")
	return list, err
}

// PaymentProviders lists the providers that have a payment with this id.
func (l *Ledger) PaymentProviders(ctx context.Context, paymentID string) ([]PaymentName, error) {
	return collect(ctx, l, "looking for a payment", func(rows *sql.Rows) (p PaymentName, err error) {
		return p, rows.Scan(&p.Provider, &p.Currency)
	}, "SELECT provider, currency FROM payments WHERE payment_id = ? AND currency IS NOT NULL ORDER BY provider", paymentID)
}

// PaymentName tells payments with one id apart.
type PaymentName struct {
	Provider string `json:"provider"`
	Currency string `json:"currency"`
}

// OrderFilter selects orders. Empty fields select all.
type OrderFilter struct {
	ProductID string               `json:"product_id,omitempty"`
	Status    checkout.OrderStatus `json:"status,omitempty"`
	Since     *time.Time           `json:"since,omitempty"` // created at or after
}

// ListedOrder is an order with the sums of its payments, in the order's currency.
type ListedOrder struct {
	ID        string               `json:"id"`
	ProductID string               `json:"product_id"`
	Qty       int64                `json:"qty"`
	Amount    checkout.Money       `json:"amount"`
	Status    checkout.OrderStatus `json:"status"`
	Reason    checkout.Reason      `json:"reason,omitempty"`
	Received  int64                `json:"received"`
	Returned  int64                `json:"returned"`
	Owed      int64                `json:"owed"`
	PayBy     time.Time            `json:"pay_by"`
	CreatedAt time.Time            `json:"created_at"`
	UpdatedAt time.Time            `json:"updated_at"`
}

// OrderList is the newest orders that a filter selects, and how many it selects.
type OrderList struct {
	Orders []ListedOrder `json:"orders"`
	Total  int           `json:"total"`
}

// Orders lists at most limit orders, the newest first.
func (l *Ledger) Orders(ctx context.Context, filter OrderFilter, limit int) (list OrderList, err error) {
	where, args := []string{"TRUE"}, []any{}
	if filter.ProductID != "" {
		where, args = append(where, "o.product_id = ?"), append(args, filter.ProductID)
	}
	if filter.Status != "" {
		where, args = append(where, "o.status = ?"), append(args, string(filter.Status))
	}
	if filter.Since != nil {
		where, args = append(where, "o.created_at >= ?"), append(args, *filter.Since)
	}
	from := "FROM orders o WHERE " + strings.Join(where, " AND ")
	totals, err := collect(ctx, l, "counting orders", scanOne[int], "SELECT COUNT(*) "+from, args...)
	if err != nil {
		return list, err
	}
	list.Total = totals[0]
	list.Orders, err = collect(ctx, l, "listing orders", scanOrder, `
		SELECT `+listedOrder+` FROM (SELECT * `+from+` ORDER BY o.id DESC LIMIT ?) o
		LEFT JOIN payments p ON p.order_id = o.id AND p.currency = o.currency
		GROUP BY o.id ORDER BY o.id DESC`, append(args, limit)...)
	return list, err
}

const listedOrder = `o.id, MAX(o.product_id), MAX(o.qty), MAX(o.amount), MAX(o.currency), MAX(o.status), COALESCE(MAX(o.reason), ''),
	COALESCE(SUM(p.received), 0), COALESCE(SUM(LEAST(p.returned, p.received)), 0), COALESCE(SUM(p.owed), 0), MAX(o.pay_by), MAX(o.created_at), MAX(o.updated_at)`

func scanOrder(rows *sql.Rows) (o ListedOrder, err error) {
	var id []byte
	err = rows.Scan(&id, &o.ProductID, &o.Qty, &o.Amount.Amount, &o.Amount.Currency, &o.Status, &o.Reason, &o.Received, &o.Returned, &o.Owed,
		&o.PayBy, &o.CreatedAt, &o.UpdatedAt)
	o.ID = orderName(id)
	return o, err
}

// OrderHistory is everything that is known of an order.
type OrderHistory struct {
	Order    ListedOrder     `json:"order"`
	Hold     HistoryHold     `json:"hold"`
	Payments []ListedPayment `json:"payments"`
	Refunds  []ListedRefund  `json:"refunds"` // and disputes
	Events   []ListedEvent   `json:"events"`  // in the order in which they arrived
}

// HistoryHold is the hold of an order.
type HistoryHold struct {
	ID        string              `json:"id"`
	Status    checkout.HoldStatus `json:"status"`
	CreatedAt time.Time           `json:"created_at"`
	ExpiresAt time.Time           `json:"expires_at"`
}

// ListedPayment is a payment of an order. Its sums are in minor units of its currency.
type ListedPayment struct {
	Provider  string    `json:"provider"`
	PaymentID string    `json:"payment_id"`
	Currency  string    `json:"currency"`
	Received  int64     `json:"received"`
	Returned  int64     `json:"returned"`
	Owed      int64     `json:"owed"`
	Settles   bool      `json:"settles"` // it pays for the order's units
	CreatedAt time.Time `json:"created_at"`
}

// ListedRefund is a refund, a dispute, or a return that an operator recorded.
type ListedRefund struct {
	Provider  string                `json:"provider"`
	RefundID  string                `json:"refund_id"`
	PaymentID string                `json:"payment_id"`
	Kind      checkout.RefundKind   `json:"kind"`
	Status    checkout.RefundStatus `json:"status"`
	Amount    *int64                `json:"amount"` // minor units; null: all that is left
	Note      string                `json:"note,omitempty"`
	Operator  string                `json:"operator,omitempty"`
	CreatedAt time.Time             `json:"created_at"`
}

// OrderHistory reads everything that is known of an order. Codes: order_not_found.
func (l *Ledger) OrderHistory(ctx context.Context, order checkout.ID) (h OrderHistory, err error) {
	id := hex.EncodeToString(order[:])
	orders, err := collect(ctx, l, "reading an order", scanOrder, `
		SELECT `+listedOrder+` FROM orders o LEFT JOIN payments p ON p.order_id = o.id AND p.currency = o.currency
		WHERE o.id = UNHEX(?) GROUP BY o.id`, id)
	if err != nil {
		return h, err
	}
	hold, err := l.Hold(ctx, order)
	if len(orders) == 0 || checkout.CodeOf(err) == checkout.CodeHoldNotFound {
		return h, checkout.ErrOrderNotFound
	}
	if err != nil {
		return h, err
	}
	h.Order, h.Hold = orders[0], HistoryHold{ID: order.HoldID(), Status: hold.Status, CreatedAt: hold.CreatedAt, ExpiresAt: hold.ExpiresAt}
	if h.Payments, err = collect(ctx, l, "listing the payments of an order", func(rows *sql.Rows) (p ListedPayment, err error) {
		return p, rows.Scan(&p.Provider, &p.PaymentID, &p.Currency, &p.Received, &p.Returned, &p.Owed, &p.Settles, &p.CreatedAt)
	}, `
		SELECT provider, payment_id, currency, received, returned, owed, settles IS NOT NULL, created_at
		FROM payments WHERE order_id = UNHEX(?) ORDER BY created_at, provider, payment_id`, id); err != nil {
		return h, err
	}
	if h.Refunds, err = collect(ctx, l, "listing the refunds of an order", func(rows *sql.Rows) (r ListedRefund, err error) {
		return r, rows.Scan(&r.Provider, &r.RefundID, &r.PaymentID, &r.Kind, &r.Status, &r.Amount, &r.Note, &r.Operator, &r.CreatedAt)
	}, `
		SELECT r.provider, r.refund_id, r.payment_id, r.kind, r.status, r.amount, COALESCE(r.note, ''), COALESCE(r.operator, ''), r.created_at
		FROM payments p JOIN refunds r ON r.provider = p.provider AND r.payment_id = p.payment_id
		WHERE p.order_id = UNHEX(?) ORDER BY r.created_at, r.provider, r.refund_id`, id); err != nil {
		return h, err
	}
	h.Events, err = collect(ctx, l, "listing the events of an order", scanListedEvent, `
		SELECT * FROM (
		  SELECT `+storedEvent+` FROM payment_events e WHERE e.subject_id = UNHEX(?)
		  UNION
		  SELECT `+storedEvent+` FROM payments p JOIN payment_events e ON e.provider = p.provider AND e.payment_id = p.payment_id WHERE p.order_id = UNHEX(?)
		  UNION
		  SELECT `+rejectedEvent+` FROM rejected_events e WHERE e.order_id = UNHEX(?)) AS known
		ORDER BY first_at, provider, event_id`, id, id, id)
	return h, err
}

// EventState selects events that need an operator's look.
type EventState string

// The states of events that Events lists.
const (
	EventsUnmatched  EventState = "unmatched"  // their order or payment is not known
	EventsStored     EventState = "stored"     // applying them failed so far
	EventsUnreadable EventState = "unreadable" // verified, but they cannot be read
	EventsReused     EventState = "reused"     // their id was used by another event
)

// ListedEvent is a payment event as an operator sees it.
type ListedEvent struct {
	Provider   string         `json:"provider"`
	EventID    string         `json:"event_id"`
	Type       string         `json:"type"`
	OrderID    string         `json:"order_id,omitempty"` // as the event names it
	PaymentID  string         `json:"payment_id,omitempty"`
	Amount     checkout.Money `json:"amount"` // zero when the event has none
	Result     string         `json:"result"`
	Detail     string         `json:"detail,omitempty"`
	Deliveries int            `json:"deliveries"`
	FirstAt    time.Time      `json:"first_at"`
	LastAt     *time.Time     `json:"last_at,omitempty"` // of an event that was rejected
}

// EventList is the oldest events in a state, and how many there are.
type EventList struct {
	Events []ListedEvent `json:"events"`
	Total  int           `json:"total"`
}

const (
	storedEvent = `e.provider, e.event_id, e.type, e.subject_id, e.payment_id, COALESCE(e.amount, 0) AS amount, COALESCE(e.currency, '') AS currency,
		CONCAT(e.result, '') AS result, '' AS detail, e.deliveries, e.received_at AS first_at, NULL AS last_at`
	rejectedEvent = `e.provider, e.event_id, e.type, e.order_id, COALESCE(e.payment_id, '') AS payment_id, COALESCE(e.amount, 0) AS amount,
		COALESCE(e.currency, '') AS currency, CONCAT(e.reason, '') AS result, e.detail, e.deliveries, e.first_at, e.last_at`
)

// eventsIn says where the events in each state are.
var eventsIn = map[EventState]struct{ columns, from string }{
	EventsUnmatched: {storedEvent, "payment_events e WHERE e.result = 'unmatched'"},
	EventsStored:    {storedEvent, "payment_events e WHERE e.result = 'stored'"},
	EventsReused:    {rejectedEvent, "rejected_events e WHERE e.reason = 'reused'"},
	EventsUnreadable: {rejectedEvent, `rejected_events e LEFT JOIN payment_events s ON s.provider = e.provider AND s.event_id = e.event_id
		WHERE e.reason = 'unreadable' AND s.provider IS NULL`},
}

// Events lists at most limit events in a state, the oldest first.
func (l *Ledger) Events(ctx context.Context, state EventState, limit int) (list EventList, err error) {
	in, known := eventsIn[state]
	if !known {
		return list, checkout.Invalid("state", "expected unmatched, stored, unreadable or reused")
	}
	totals, err := collect(ctx, l, "counting payment events", scanOne[int], "SELECT COUNT(*) FROM "+in.from)
	if err != nil {
		return list, err
	}
	list.Total = totals[0]
	list.Events, err = collect(ctx, l, "listing payment events", scanListedEvent,
		"SELECT "+in.columns+" FROM "+in.from+" ORDER BY first_at, provider, event_id LIMIT ?", limit)
	return list, err
}

func scanListedEvent(rows *sql.Rows) (e ListedEvent, err error) {
	var subject []byte
	err = rows.Scan(&e.Provider, &e.EventID, &e.Type, &subject, &e.PaymentID, &e.Amount.Amount, &e.Amount.Currency, &e.Result, &e.Detail,
		&e.Deliveries, &e.FirstAt, &e.LastAt)
	e.OrderID = orderName(subject)
	return e, err
}

// orderName returns the order's id as text, or nothing.
func orderName(id []byte) string {
	if len(id) != len(checkout.ID{}) {
		return ""
	}
	return checkout.ID(id).OrderID()
}
