package ledger

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"flashsale/pkg/checkout"
)

// delivery is an event on its way to apply_event or apply_payments.
type delivery struct {
	event   checkout.PaymentEvent
	window  time.Duration // of an order that the event makes
	product string        // of its hold; empty: unknown
}

// eventKey is what all payments of a batch have in common.
type eventKey struct {
	product, provider, kind, currency string
	window                            time.Duration
}

type paymentGroups = groups[eventKey, delivery, result]

// newPaymentGroups shares the calls of payments. A batch never has two of the same event, payment or hold.
func newPaymentGroups(l *Ledger) *paymentGroups {
	return newGroups(sharing[eventKey, delivery, result]{
		alone: l.applyEvent, together: l.applyPayments, keyOf: keyOfPayment, rowBytes: maxPaymentBytes,
		conflict: func(_ eventKey, a, b *delivery) bool {
			return *a.event.Subject == *b.event.Subject || a.event.PaymentID == b.event.PaymentID || a.event.EventID == b.event.EventID
		},
	})
}

// keyOfPayment returns the group of an event. Only a success of a known product has one, if its ids need no escapes.
func keyOfPayment(d delivery) (key eventKey, ok bool) {
	e := &d.event
	if d.product == "" || d.product == unknownProduct || !mayBeUsual(e) {
		return eventKey{}, false
	}
	return eventKey{d.product, e.Provider, e.Type, e.Amount.Currency, d.window}, true
}

// mayBeUsual reports whether apply_payments can apply an event, as far as the event tells.
func mayBeUsual(e *checkout.PaymentEvent) bool {
	return e.Kind == checkout.PaymentSucceeded && e.Subject != nil && e.Amount.Amount > 0 && e.Amount.Currency != "" && e.RefundID == "" &&
		plain(e.EventID) && plain(e.PaymentID) && (e.OccurredAt == nil || e.OccurredAt.UTC().Year() >= 1000 && e.OccurredAt.UTC().Year() <= 9999)
}

// plain reports whether an id fits its column, and is the same text in JSON and in SQL.
func plain(id string) bool {
	return id != "" && len(id) <= maxIDBytes && !strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"'\`, r) })
}

// maxIDBytes is the longest id of a provider.
const maxIDBytes = 255

// deliver applies an event. While a call for its product is under way, the event shares the next one: see groups.
func (l *Ledger) deliver(ctx context.Context, e checkout.PaymentEvent, window time.Duration) (result, error) {
	d := delivery{event: e, window: window}
	if l.payments == nil || e.Kind != checkout.PaymentSucceeded || e.Subject == nil {
		return l.applyEvent(ctx, d)
	}
	payment := e.Provider + " " + e.PaymentID
	if l.known.has(payment) { // delivered again, or another event of this payment: a batch would leave it out
		return l.applyEvent(ctx, d)
	}
	d.product, _ = l.lanes.products.Get(*e.Subject)
	if d.product == "" && l.lanes.of[routes["apply_event"].lane].calls.Load() > 0 { // apply_event would look it up, too
		d.product = l.productOfHold(ctx, *e.Subject)
	}
	r, err := l.payments.do(ctx, d)
	if err == nil {
		l.known.add(payment)
	}
	return r, err
}

// applyEvent applies an event by a call of its own: routines/apply_event.sql.
func (l *Ledger) applyEvent(ctx context.Context, d delivery) (result, error) {
	return l.call(ctx, "apply_event", append(eventArgs(d.event), d.window.Microseconds())...)
}

// applyPayments applies the payments of a group: routines/apply_payments.sql.
func (l *Ledger) applyPayments(ctx context.Context, key eventKey, batch []delivery) (shared[result], error) {
	rows := make([]byte, 0, maxBatchBytes)
	for i := range batch {
		rows = append(rows, "[,"[min(i, 1)])
		rows = appendPayment(rows, &batch[i].event)
	}
	rows = append(rows, ']')
	r, err := callFor(ctx, l, scanPaymentsResult, "apply_payments", key.product, key.provider, key.kind, key.currency,
		key.window.Microseconds(), len(batch), string(rows))
	if err != nil {
		return shared[result]{}, err
	}
	return r.shared(batch), nil
}

// appendPayment writes an event as a row of p_events.
func appendPayment(to []byte, e *checkout.PaymentEvent) []byte {
	to = append(append(to, `["`...), e.EventID...)
	to = hex.AppendEncode(append(to, `","`...), e.Subject[:])
	to = append(append(to, `","`...), e.PaymentID...)
	to = strconv.AppendInt(append(to, `",`...), e.Amount.Amount, 10)
	to = append(hex.AppendEncode(append(to, `,"`...), e.Digest[:]), '"')
	if e.OccurredAt != nil {
		to = append(e.OccurredAt.UTC().AppendFormat(append(to, `,"`...), occurredLayout), '"')
	}
	return append(to, ']')
}

// occurredLayout leaves it to the server how it rounds, as the driver does.
const occurredLayout = "2006-01-02 15:04:05.000000000"

// maxPaymentBytes is at least the size of a row of p_events with its comma, in a statement that escapes its quotes.
func maxPaymentBytes(d delivery) (own, each int) {
	e := &d.event
	return len(`[\"\",\"\",\"\",,\"\",\"\"],`) + len(e.EventID) + 2*len(e.Subject) + len(e.PaymentID) + maxDigits + 2*len(e.Digest) + len(occurredLayout), 0
}

// maxDigits is the length of the largest amount.
const maxDigits = len("9223372036854775807")

// paymentsResult is the row of apply_payments.
type paymentsResult struct {
	outcome string
	usual   []int // with apart: positions from 1 on, of the events that can share a call
	product *checkout.Product
}

func (r paymentsResult) outcomeName() string { return r.outcome }

func (r paymentsResult) productState() *checkout.Product { return r.product }

// shared are the results of the events that were applied. Of an order they have what its event says, and that it is paid.
func (r paymentsResult) shared(batch []delivery) (s shared[result]) {
	for i := range batch {
		e := &batch[i].event
		switch {
		case r.outcome == "applied":
			order := &checkout.Order{ID: *e.Subject, ProductID: batch[i].product, Amount: e.Amount, Status: checkout.OrderPaid}
			s.responses = append(s.responses, &result{outcome: string(checkout.PaymentApplied), order: order, product: r.product})
		case r.outcome == "apart" && !slices.Contains(r.usual, i+1):
			s.apart = append(s.apart, i+1)
		}
	}
	return s
}

func scanPaymentsResult(rows *sql.Rows) (r paymentsResult, err error) {
	names, err := rows.Columns()
	if err != nil {
		return r, fmt.Errorf("reading the columns of apply_payments: %w", err)
	}
	var product productRow
	var usual sql.NullString
	column := func(name string) any {
		switch name {
		case "outcome":
			return &r.outcome
		case "events_usual":
			return &usual
		}
		return product.column(name)
	}
	if err = scanByName(rows, names, productRowColumns+2, column); err == nil && usual.Valid {
		err = json.Unmarshal([]byte(usual.String), &r.usual)
	}
	if err != nil {
		return r, fmt.Errorf("reading the row of apply_payments: %w", err)
	}
	r.product = product.toProduct()
	return r, nil
}
