package ledger

import (
	"context"
	"database/sql"
	"time"

	"flashsale/pkg/checkout"
)

// RefundDue is an order whose payment an operator has to refund.
type RefundDue struct {
	OrderID   string          `json:"order_id"`
	Reason    checkout.Reason `json:"reason"`
	Paid      checkout.Money  `json:"paid"`
	Provider  string          `json:"provider"`
	PaymentID string          `json:"payment_id"` // the provider's
	Since     time.Time       `json:"since"`
}

// RefundsDue lists the orders that need a refund, oldest first.
func (l *Ledger) RefundsDue(ctx context.Context, limit int) ([]RefundDue, error) {
	return collect(ctx, l, "listing refunds due", func(rows *sql.Rows) (r RefundDue, err error) {
		var id []byte
		err = rows.Scan(&id, &r.Reason, &r.Paid.Amount, &r.Paid.Currency, &r.Provider, &r.PaymentID, &r.Since)
		if err == nil {
			r.OrderID = checkout.ID(id).OrderID()
		}
		return r, err
	}, `
		SELECT o.id, o.reason, COALESCE(e.amount, o.amount), COALESCE(e.currency, o.currency),
		       COALESCE(e.provider, ''), COALESCE(e.payment_id, ''), o.updated_at
		FROM orders o LEFT JOIN payment_events e ON e.subject_id = o.id AND e.result = 'applied' AND e.kind = 'succeeded'
		WHERE o.status = 'refund_due' ORDER BY o.updated_at, o.id LIMIT ?`, limit)
}

// UnmatchedEvent is a payment event without a hold or order.
type UnmatchedEvent struct {
	Provider   string         `json:"provider"`
	EventID    string         `json:"event_id"`
	Type       string         `json:"type"`
	OrderID    string         `json:"order_id,omitempty"` // as the event names it
	PaymentID  string         `json:"payment_id"`
	Paid       checkout.Money `json:"paid"` // zero when the event has no amount
	Deliveries int            `json:"deliveries"`
	ReceivedAt time.Time      `json:"received_at"`
}

// Unmatched lists the payment events without a hold or order, oldest first.
func (l *Ledger) Unmatched(ctx context.Context, limit int) ([]UnmatchedEvent, error) {
	return collect(ctx, l, "listing unmatched payment events", func(rows *sql.Rows) (e UnmatchedEvent, err error) {
		var subject []byte
		err = rows.Scan(&e.Provider, &e.EventID, &e.Type, &subject, &e.PaymentID, &e.Paid.Amount, &e.Paid.Currency, &e.Deliveries, &e.ReceivedAt)
		if err == nil && subject != nil {
			e.OrderID = checkout.ID(subject).OrderID()
		}
		return e, err
	}, `
		SELECT provider, event_id, type, subject_id, payment_id, COALESCE(amount, 0), COALESCE(currency, ''), deliveries, received_at
		FROM payment_events WHERE result = 'unmatched' ORDER BY received_at, provider, event_id LIMIT ?`, limit)
}
