package ledger

import (
	"context"
	"database/sql"
	"encoding/hex"
	"time"

	"flashsale/pkg/checkout"
)

// OrderHistory is all that the ledger knows of one order. Lists are oldest first.
type OrderHistory struct {
	Hold     HoldRecord      `json:"hold"`
	Order    OrderRecord     `json:"order"`
	Payments []PaymentRecord `json:"payments"`
	Refunds  []RefundRecord  `json:"refunds"`         // and disputes, and what operators recorded
	Events   []EventRecord   `json:"events"`          // of the order and of its payments
	Rejected []ListedEvent   `json:"rejected_events"` // without effect: their ids belong to other events
}

// HoldRecord is the hold that an order was made from.
type HoldRecord struct {
	HoldID    string              `json:"hold_id"`
	Status    checkout.HoldStatus `json:"status"`
	Shopper   string              `json:"shopper"` // shopper_… or anonymous
	CreatedAt time.Time           `json:"created_at"`
	ExpiresAt time.Time           `json:"expires_at"`
}

// OrderRecord is the order itself.
type OrderRecord struct {
	OrderID   string               `json:"order_id"`
	ProductID string               `json:"product_id"`
	Qty       int64                `json:"qty"`
	Amount    checkout.Money       `json:"amount"`
	Status    checkout.OrderStatus `json:"status"`
	Reason    checkout.Reason      `json:"reason,omitempty"`
	Reference string               `json:"reference,omitempty"`
	PayBy     time.Time            `json:"pay_by"`
	CreatedAt time.Time            `json:"created_at"`
	UpdatedAt time.Time            `json:"updated_at"`
}

// PaymentRecord is a payment with its sums, in minor units of its currency.
type PaymentRecord struct {
	Provider  string    `json:"provider"`
	PaymentID string    `json:"payment_id"`
	OrderID   string    `json:"order_id"`
	Currency  string    `json:"currency"`
	Received  int64     `json:"received"`
	Returned  int64     `json:"returned"`
	Unsent    int64     `json:"unsent"` // refunds that failed and were not repeated
	Owed      int64     `json:"owed"`
	Exact     bool      `json:"exact"`   // exactly the order's amount and currency
	Settles   bool      `json:"settles"` // it pays for the order's units
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// RefundRecord is a refund, a dispute, or money that an operator recorded as returned.
type RefundRecord struct {
	Provider  string                `json:"provider"`
	RefundID  string                `json:"refund_id"`
	PaymentID string                `json:"payment_id"`
	Kind      checkout.RefundKind   `json:"kind"`
	Status    checkout.RefundStatus `json:"status"`
	Amount    *checkout.Money       `json:"amount,omitempty"` // none: all that was left of the payment
	Note      string                `json:"note,omitempty"`
	Operator  string                `json:"operator,omitempty"`
	CreatedAt time.Time             `json:"created_at"`
	UpdatedAt time.Time             `json:"updated_at"`
}

// EventRecord is a stored event and its result.
type EventRecord struct {
	Provider   string                 `json:"provider"`
	EventID    string                 `json:"event_id"`
	Type       string                 `json:"type"`
	PaymentID  string                 `json:"payment_id,omitempty"`
	RefundID   string                 `json:"refund_id,omitempty"`
	Amount     *checkout.Money        `json:"amount,omitempty"`
	Result     checkout.PaymentResult `json:"result"`
	Deliveries int                    `json:"deliveries"`
	ReceivedAt time.Time              `json:"received_at"`
}

// OrderHistory reads all that the ledger knows of one order. Codes: order_not_found.
func (l *Ledger) OrderHistory(ctx context.Context, id checkout.ID) (h OrderHistory, err error) {
	r, err := l.call(ctx, "snapshot", "read", id[:], nil, 0, 0, nil)
	if err != nil {
		return h, err
	}
	if r.order == nil || r.hold == nil {
		return h, checkout.ErrOrderNotFound
	}
	h.Hold = HoldRecord{HoldID: r.hold.ID.HoldID(), Status: r.hold.Status, Shopper: r.hold.Shopper.String(), CreatedAt: r.hold.CreatedAt, ExpiresAt: r.hold.ExpiresAt}
	o := r.order
	h.Order = OrderRecord{
		OrderID: o.ID.OrderID(), ProductID: o.ProductID, Qty: o.Qty, Amount: o.Amount, Status: o.Status, Reason: o.Reason, Reference: o.Reference,
		PayBy: o.PayBy, CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt,
	}
	order := hex.EncodeToString(id[:])
	const doing = "reading the history of an order"
	if h.Payments, err = collect(ctx, l, doing, scanPayment, selectPayments+"WHERE order_id = UNHEX(?) ORDER BY created_at, provider, payment_id", order); err != nil {
		return h, err
	}
	if h.Refunds, err = collect(ctx, l, doing, scanRefund, selectRefunds+`
		WHERE p.order_id = UNHEX(?) ORDER BY r.created_at, r.provider, r.refund_id`, order); err != nil {
		return h, err
	}
	if h.Events, err = collect(ctx, l, doing, scanEvent, `
		SELECT provider, event_id, type, payment_id, refund_id, amount, currency, result, deliveries, received_at
		FROM payment_events WHERE subject_id = UNHEX(?)
		UNION
		SELECT e.provider, e.event_id, e.type, e.payment_id, e.refund_id, e.amount, e.currency, e.result, e.deliveries, e.received_at
		FROM payments p JOIN payment_events e ON e.provider = p.provider AND e.payment_id = p.payment_id
		WHERE p.order_id = UNHEX(?)
		ORDER BY received_at, provider, event_id`, order, order); err != nil {
		return h, err
	}
	h.Rejected, err = collect(ctx, l, doing, scanListedEvent, eventQueries[EventReused]+`
		AND (r.order_id = UNHEX(?)
		     OR EXISTS (SELECT 1 FROM payments p WHERE p.provider = r.provider AND p.payment_id = r.payment_id AND p.order_id = UNHEX(?)))
		ORDER BY first_at, provider, event_id`, order, order)
	h.Payments, h.Refunds, h.Events, h.Rejected = notNil(h.Payments), notNil(h.Refunds), notNil(h.Events), notNil(h.Rejected)
	return h, err
}

// notNil makes an empty list [] in JSON.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// Payments reads the payments with an id, at most one per provider. A payment has money once its success has arrived;
// before that it is not returned.
func (l *Ledger) Payments(ctx context.Context, paymentID string) ([]PaymentRecord, error) {
	return collect(ctx, l, "reading payments", scanPayment, selectPayments+`
		WHERE provider IN (?, ?) AND payment_id = ? AND order_id IS NOT NULL ORDER BY provider`,
		checkout.ProviderStandard, checkout.ProviderStripe, paymentID)
}

// Refund reads a refund by its id. Codes: invalid_request if there is none, or none of a payment that was received.
func (l *Ledger) Refund(ctx context.Context, provider, refundID string) (RefundRecord, error) {
	found, err := collect(ctx, l, "reading a refund", scanRefund, selectRefunds+"WHERE r.provider = ? AND r.refund_id = ?", provider, refundID)
	if err != nil {
		return RefundRecord{}, err
	}
	if len(found) == 0 {
		return RefundRecord{}, checkout.Invalid("id", "expected the id of a refund")
	}
	return found[0], nil
}

const selectRefunds = `
	SELECT r.provider, r.refund_id, r.payment_id, r.kind, r.status, r.amount, COALESCE(r.currency, p.currency),
	       COALESCE(r.note, ''), COALESCE(r.operator, ''), r.created_at, r.updated_at
	FROM payments p JOIN refunds r ON r.provider = p.provider AND r.payment_id = p.payment_id
	`

const selectPayments = `
	SELECT provider, payment_id, order_id, COALESCE(currency, ''), received, returned, unsent, owed, exact, settles IS NOT NULL, created_at, updated_at
	FROM payments `

func scanPayment(rows *sql.Rows) (p PaymentRecord, err error) {
	var order []byte
	err = rows.Scan(&p.Provider, &p.PaymentID, &order, &p.Currency, &p.Received, &p.Returned, &p.Unsent, &p.Owed, &p.Exact, &p.Settles,
		&p.CreatedAt, &p.UpdatedAt)
	p.OrderID = orderID(order)
	return p, err
}

func scanRefund(rows *sql.Rows) (r RefundRecord, err error) {
	var amount sql.NullInt64
	var currency sql.NullString
	err = rows.Scan(&r.Provider, &r.RefundID, &r.PaymentID, &r.Kind, &r.Status, &amount, &currency, &r.Note, &r.Operator, &r.CreatedAt, &r.UpdatedAt)
	r.Amount = moneyOf(amount, currency)
	return r, err
}

func scanEvent(rows *sql.Rows) (e EventRecord, err error) {
	var amount sql.NullInt64
	var currency sql.NullString
	err = rows.Scan(&e.Provider, &e.EventID, &e.Type, &e.PaymentID, &e.RefundID, &amount, &currency, &e.Result, &e.Deliveries, &e.ReceivedAt)
	e.Amount = moneyOf(amount, currency)
	return e, err
}
