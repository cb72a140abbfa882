package ledger

import (
	"context"
	"database/sql"
	"time"

	"flashsale/pkg/checkout"
)

// EventMark is a place in the list of all stored events, oldest first. A place without an event is a time alone. The zero value is
// before all events.
type EventMark struct {
	ReceivedAt time.Time `json:"received_at"` // by the database's clock
	Provider   string    `json:"provider,omitempty"`
	EventID    string    `json:"event_id,omitempty"`
}

// ReceivedEvent is a stored event, as it was read. Its body is not stored.
type ReceivedEvent struct {
	Provider   string                 `json:"provider"`
	EventID    string                 `json:"event_id"`
	Type       string                 `json:"type"`
	Kind       checkout.PaymentKind   `json:"kind"`
	OrderID    string                 `json:"order_id,omitempty"` // as the event names it, or the order of the hold that it names
	PaymentID  string                 `json:"payment_id,omitempty"`
	RefundID   string                 `json:"refund_id,omitempty"`
	Amount     *checkout.Money        `json:"amount,omitempty"`
	Result     checkout.PaymentResult `json:"result"`                // so far
	OccurredAt *time.Time             `json:"occurred_at,omitempty"` // by the provider's clock
	ReceivedAt time.Time              `json:"received_at"`           // the first delivery, by the database's clock
}

// Mark is the event's place.
func (e ReceivedEvent) Mark() EventMark { return EventMark{e.ReceivedAt, e.Provider, e.EventID} }

// ReceivedEvents is a part of the list of all stored events.
type ReceivedEvents struct {
	Entries []ReceivedEvent `json:"entries"`
	AsOf    time.Time       `json:"as_of"` // by the database's clock, before the read
}

// ReceivedEvents lists at most limit events after a place, oldest first. Without a place it returns only the time. An event gets its
// time before its commit, so an event that is listed later may be up to 15 seconds older.
func (l *Ledger) ReceivedEvents(ctx context.Context, after *EventMark, limit int) (list ReceivedEvents, err error) {
	const doing = "listing received events"
	now, err := collect(ctx, l, doing, scanOne[time.Time], "SELECT UTC_TIMESTAMP(6)")
	if err != nil {
		return list, err
	}
	list.AsOf, list.Entries = now[0], []ReceivedEvent{}
	if after == nil {
		return list, nil
	}
	at := after.ReceivedAt.UTC()
	if at.IsZero() { // MySQL takes no year 0
		at = time.Unix(0, 0).UTC()
	}
	entries, err := collect(ctx, l, doing, scanReceived, `
		SELECT provider, event_id, type, kind, subject_id, payment_id, refund_id, amount, currency, result, occurred_at, received_at
		FROM payment_events FORCE INDEX (payment_events_received)
		WHERE received_at >= ? AND (received_at > ? OR provider > ? OR (provider = ? AND event_id > ?))
		ORDER BY received_at, provider, event_id LIMIT ?`, at, at, after.Provider, after.Provider, []byte(after.EventID), limit)
	list.Entries = notNil(entries)
	return list, err
}

func scanReceived(rows *sql.Rows) (e ReceivedEvent, err error) {
	var order []byte
	var amount sql.NullInt64
	var currency sql.NullString
	err = rows.Scan(&e.Provider, &e.EventID, &e.Type, &e.Kind, &order, &e.PaymentID, &e.RefundID, &amount, &currency, &e.Result,
		&e.OccurredAt, &e.ReceivedAt)
	e.OrderID, e.Amount = orderID(order), moneyOf(amount, currency)
	return e, err
}
