package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"flashsale/pkg/checkout"
)

// List is the beginning of a list. Total counts the entries of the whole list, orders only up to MaxCounted.
type List[T any] struct {
	Entries []T   `json:"entries"`
	Total   int64 `json:"total"`
}

// More returns how many entries are not in the list.
func (l List[T]) More() int64 { return max(l.Total-int64(len(l.Entries)), 0) }

// OwedReason says why the money of a payment has to go back.
type OwedReason string

// The reasons, in the order in which they are tried.
const (
	OwedAmountMismatch OwedReason = "amount_mismatch" // no success said exactly the order's amount and currency
	OwedSecondPayment  OwedReason = "second_payment"  // another payment settles the order
	OwedRefundFailed   OwedReason = "refund_failed"   // a refund failed and was not repeated
	OwedLatePayment    OwedReason = "late_payment"    // the order has no units
)

// OwedPayment is a payment that owes money: the shop has to return it.
type OwedPayment struct {
	Provider  string         `json:"provider"`
	PaymentID string         `json:"payment_id"`
	OrderID   string         `json:"order_id"`
	Owed      checkout.Money `json:"owed"`
	Reason    OwedReason     `json:"reason"`
	Since     time.Time      `json:"since"` // the payment's latest change
}

// OwedTotal is the money owed in one currency.
type OwedTotal struct {
	Owed     checkout.Money `json:"owed"`
	Payments int64          `json:"payments"`
}

// OwedPayments is the beginning of the list of payments that owe money, and the totals of the whole list.
type OwedPayments struct {
	List[OwedPayment]
	Totals []OwedTotal `json:"totals"` // one per currency, the largest number of payments first
}

// Owed lists the payments that owe money, oldest first and at most limit, with the complete totals by currency.
func (l *Ledger) Owed(ctx context.Context, limit int) (o OwedPayments, err error) {
	o.Entries, err = collect(ctx, l, "listing owed payments", func(rows *sql.Rows) (p OwedPayment, err error) {
		var order []byte
		err = rows.Scan(&p.Provider, &p.PaymentID, &order, &p.Owed.Amount, &p.Owed.Currency, &p.Reason, &p.Since)
		p.OrderID = orderID(order)
		return p, err
	}, `
		SELECT p.provider, p.payment_id, p.order_id, p.owed, COALESCE(p.currency, ''),
		       CASE WHEN NOT p.exact THEN 'amount_mismatch'
		            WHEN s.settles IS NOT NULL AND NOT (s.provider = p.provider AND s.payment_id = p.payment_id) THEN 'second_payment'
		            WHEN p.unsent > 0 THEN 'refund_failed'
		            ELSE 'late_payment' END, p.updated_at
		FROM payments p LEFT JOIN payments s ON s.settles = p.order_id
		WHERE p.owed > 0 ORDER BY p.updated_at, p.provider, p.payment_id LIMIT ?`, limit)
	if err != nil {
		return OwedPayments{}, err
	}
	o.Totals, err = l.owedTotals(ctx)
	for _, t := range o.Totals {
		o.Total += t.Payments
	}
	o.Entries, o.Totals = notNil(o.Entries), notNil(o.Totals)
	return o, err
}

func (l *Ledger) owedTotals(ctx context.Context) ([]OwedTotal, error) {
	return collect(ctx, l, "summing owed payments", func(rows *sql.Rows) (t OwedTotal, err error) {
		return t, rows.Scan(&t.Owed.Currency, &t.Owed.Amount, &t.Payments)
	}, `
		SELECT COALESCE(currency, ''), SUM(owed), COUNT(*) FROM payments WHERE owed > 0
		GROUP BY currency ORDER BY COUNT(*) DESC, currency`)
}

// EventState is a state in which an event needs an operator's attention.
type EventState string

// The states of such events. Unreadable and reused events have no effect.
const (
	EventUnmatched  EventState = "unmatched"  // its hold, order or payment is not known, or does not fit
	EventStored     EventState = "stored"     // applying it failed; the sweep tries again
	EventUnreadable EventState = "unreadable" // verified, but it cannot be read; no readable event has its id
	EventReused     EventState = "reused"     // its id belongs to another event
	EventDisputes   EventState = "disputes"   // it opened a dispute that has no outcome yet
)

// ListedEvent is a payment event that needs an operator's attention.
type ListedEvent struct {
	Provider   string          `json:"provider"`
	EventID    string          `json:"event_id"`
	Type       string          `json:"type"`
	OrderID    string          `json:"order_id,omitempty"` // as the event names it; of a dispute: its payment's
	PaymentID  string          `json:"payment_id,omitempty"`
	Amount     *checkout.Money `json:"amount,omitempty"`
	Detail     string          `json:"detail"`
	Deliveries int             `json:"deliveries"`
	FirstAt    time.Time       `json:"first_at"`
	LastAt     *time.Time      `json:"last_at,omitempty"`  // the latest delivery; of unreadable and reused events
	RetryAt    *time.Time      `json:"retry_at,omitempty"` // the next try; of unmatched and stored events
}

const unmatchedEvents = `
	SELECT e.provider, e.event_id, e.type, e.subject_id AS order_id, e.payment_id, e.amount, e.currency,
	       CASE WHEN e.kind IN ('succeeded', 'failed') AND h.id IS NULL THEN 'no hold and no order has this id'
	            WHEN e.kind IN ('succeeded', 'failed') THEN 'its payment belongs to another order, or is in another currency'
	            WHEN e.payment_id = '' THEN 'it names no payment, and its order has none or several that hold money'
	            WHEN p.order_id IS NULL THEN 'no success of its payment has arrived'
	            ELSE 'it is in another currency than its payment, or its refund belongs to another payment' END AS detail,
	       e.deliveries, e.received_at AS first_at, NULL AS last_at, e.retry_at
	FROM payment_events e LEFT JOIN holds h ON h.id = e.subject_id
	     LEFT JOIN payments p ON p.provider = e.provider AND p.payment_id = e.payment_id
	WHERE e.result = 'unmatched'`

const storedEvents = `
	SELECT provider, event_id, type, subject_id AS order_id, payment_id, amount, currency,
	       'applying it failed; the sweep tries again' AS detail, deliveries, received_at AS first_at, NULL AS last_at, retry_at
	FROM payment_events WHERE result = 'stored'`

const rejectedEvents = `
	SELECT r.provider, r.event_id, r.type, r.order_id, COALESCE(r.payment_id, '') AS payment_id, r.amount, r.currency,
	       r.detail, r.deliveries, r.first_at, r.last_at, NULL AS retry_at
	FROM rejected_events r WHERE r.reason = `

// openDisputes has one row per dispute: the event that opened it.
const openDisputes = `
	SELECT r.provider, COALESCE(e.event_id, '') AS event_id, COALESCE(e.type, '') AS type, p.order_id, r.payment_id, r.amount,
	       COALESCE(r.currency, p.currency) AS currency,
	       CONCAT('dispute ', IF(LEFT(r.refund_id, 8) = 'dispute:', SUBSTRING(r.refund_id, 9), r.refund_id), ' is open: respond at the provider') AS detail,
	       COALESCE(e.deliveries, 0) AS deliveries, r.created_at AS first_at, NULL AS last_at, NULL AS retry_at
	FROM refunds r LEFT JOIN payments p ON p.provider = r.provider AND p.payment_id = r.payment_id
	     LEFT JOIN payment_events e ON e.provider = r.provider AND e.event_id =
	       (SELECT MIN(f.event_id) FROM payment_events f
	        WHERE f.provider = r.provider AND f.payment_id = r.payment_id AND f.refund_id = r.refund_id AND f.kind = 'disputed')
	WHERE r.status = 'open' `

// eventQueries select the events of each state.
var eventQueries = map[EventState]string{
	EventUnmatched: unmatchedEvents,
	EventStored:    storedEvents,
	EventUnreadable: rejectedEvents + `'unreadable'
		AND NOT EXISTS (SELECT 1 FROM payment_events e WHERE e.provider = r.provider AND e.event_id = r.event_id)`,
	EventReused:   rejectedEvents + `'reused'`,
	EventDisputes: openDisputes,
}

// Events lists the events in a state, newest first and at most limit. Codes: invalid_request.
func (l *Ledger) Events(ctx context.Context, state EventState, limit int) (list List[ListedEvent], err error) {
	query, ok := eventQueries[state]
	if !ok {
		return list, checkout.Invalid("state", fmt.Sprintf("expected %s, %s, %s, %s or %s", EventUnmatched, EventStored, EventUnreadable, EventReused, EventDisputes))
	}
	doing := fmt.Sprintf("listing %s events", state)
	if list.Total, err = l.count(ctx, doing, "SELECT COUNT(*) FROM ("+query+") events"); err != nil {
		return list, err
	}
	list.Entries, err = collect(ctx, l, doing, scanListedEvent, query+" ORDER BY COALESCE(last_at, first_at) DESC, provider, event_id LIMIT ?", limit)
	list.Entries = notNil(list.Entries)
	return list, err
}

func scanListedEvent(rows *sql.Rows) (e ListedEvent, err error) {
	var order []byte
	var amount sql.NullInt64
	var currency sql.NullString
	err = rows.Scan(&e.Provider, &e.EventID, &e.Type, &order, &e.PaymentID, &amount, &currency, &e.Detail, &e.Deliveries,
		&e.FirstAt, &e.LastAt, &e.RetryAt)
	e.OrderID, e.Amount = orderID(order), moneyOf(amount, currency)
	return e, err
}

// orderID formats an id as an order's; it is empty for NULL.
func orderID(id []byte) string {
	if len(id) != len(checkout.ID{}) {
		return ""
	}
	return checkout.ID(id).OrderID()
}

// moneyOf returns nil if there is no amount. The currency may be missing.
func moneyOf(amount sql.NullInt64, currency sql.NullString) *checkout.Money {
	if !amount.Valid {
		return nil
	}
	return &checkout.Money{Amount: amount.Int64, Currency: currency.String}
}

// count runs a query that returns one number.
func (l *Ledger) count(ctx context.Context, doing, query string, args ...any) (int64, error) {
	n, err := collect(ctx, l, doing, scanOne[int64], query, args...)
	if err != nil || len(n) == 0 {
		return 0, err
	}
	return n[0], nil
}
