package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"flashsale/pkg/checkout"
)

// auditPage is the number of orders that the money audit reads at a time.
const auditPage = 1000

// auditMoney recomputes every order and payment from the events, with the functions of pkg/checkout instead of the
// routines, and adds up the money by currency.
func auditMoney(ctx context.Context, tx *sql.Tx, a *Audit) error {
	report := map[string]*MoneyReport{}
	after := make([]byte, len(checkout.ID{}))
	for {
		page, err := readAuditPage(ctx, tx, after)
		if err != nil {
			return err
		}
		for _, o := range page.orders {
			o.audit(a)
			o.report(report)
		}
		if len(page.orders) < auditPage {
			break
		}
		after = page.orders[len(page.orders)-1].id[:]
	}
	for _, currency := range slices.Sorted(maps.Keys(report)) {
		m := report[currency]
		a.Money = append(a.Money, *m)
		if m.Received != m.Sold+m.Returned+m.Owed {
			a.add(false, Finding{"money_lost", currency, fmt.Sprintf("received %d, but sold %d + returned %d + owed %d (minor units)", m.Received, m.Sold, m.Returned, m.Owed)})
		}
	}
	return nil
}

// auditedOrder is an order with everything that is known of it.
type auditedOrder struct {
	id        checkout.ID
	status    checkout.OrderStatus
	reason    checkout.Reason
	units     checkout.StockPlace
	amount    checkout.Money
	createdAt time.Time
	hold      checkout.HoldStatus
	holdEnded sql.NullTime
	payments  map[paymentKey]*auditedPayment
	failed    bool // a final failure of a payment was applied to it
	waiting   bool // events of it are still to be applied
}

type paymentKey struct{ provider, id string }

type auditedPayment struct {
	stored  checkout.Payment // as its row says
	exists  bool
	tally   checkout.Tally // as its events say
	refunds map[string]checkout.Refund
}

func (o *auditedOrder) payment(key paymentKey) *auditedPayment {
	if o.payments == nil {
		o.payments = map[paymentKey]*auditedPayment{}
	}
	if o.payments[key] == nil {
		o.payments[key] = &auditedPayment{refunds: map[string]checkout.Refund{}}
	}
	return o.payments[key]
}

// audit adds what is wrong with the order.
func (o *auditedOrder) audit(a *Audit) {
	broken := func(check, detail string, args ...any) {
		a.add(false, Finding{check, o.id.OrderID(), fmt.Sprintf(detail, args...)})
	}
	if o.waiting { // a migration or a sweep applies them soon
		return
	}
	var payments []checkout.Payment
	settling := 0
	for _, key := range slices.SortedFunc(maps.Keys(o.payments), comparePayments) {
		p := o.payments[key]
		said := p.tally.Payment(key.provider, key.id, o.id, o.amount)
		if !p.exists && said.Order == nil {
			continue // refunds of a payment that this order did not get
		}
		said.Settles = p.stored.Settles
		if !samePayment(said, p.stored) {
			broken("payment_differs_from_events", "payment %s (%s): received %d %s, returned %d, unsent %d; its events say received %d %s, returned %d, unsent %d",
				key.id, key.provider, p.stored.Received, p.stored.Currency, p.stored.Returned, p.stored.Unsent, said.Received, said.Currency, said.Returned, said.Unsent)
		}
		for id, r := range p.refunds {
			if known, ok := p.tally.Refund(id); !ok || known.Status != r.Status || known.Kind != r.Kind || known.Currency != r.Currency || !sameAmount(known.Amount, r.Amount) {
				broken("refund_differs_from_events", "refund or dispute %s of payment %s (%s) is %s, but no event says so", id, key.id, key.provider, r.Status)
			}
		}
		if p.stored.Settles {
			settling++
		}
		payments = append(payments, said)
	}
	o.auditUnits(broken, payments, settling)
	o.auditHold(broken, payments)
}

// auditUnits checks where the units of the order are, and its status.
func (o *auditedOrder) auditUnits(broken func(string, string, ...any), payments []checkout.Payment, settling int) {
	var received int64
	exact, able := o.amount.Amount == 0, 0
	for _, p := range o.payments {
		exact = exact || p.tally.Said(o.id, o.amount)
	}
	for _, p := range payments {
		received += p.Received
		if p.CanSettle(o.amount.Amount) {
			able++
		}
		if p.Settles && (!p.CanSettle(o.amount.Amount) || o.units != checkout.StockSold) {
			broken("payment_settles_wrongly", "payment %s (%s) settles the order, but does not hold its amount, or no units are sold", p.ID, p.Provider)
		}
	}
	switch {
	case o.units == checkout.StockSold && !exact:
		broken("sold_without_payment", "its units are sold, but no event says that its amount was paid")
	case o.units == checkout.StockSold && able > 0 && settling != 1:
		broken("payment_settles_wrongly", "%d payments settle the order, expected 1", settling)
	case o.units == checkout.StockReserved && received > 0:
		broken("reserved_despite_payment", "its units are reserved, but a payment arrived")
	}
	unpaid := checkout.Standing{Status: o.status, Reason: o.reason}
	switch {
	case o.status == checkout.OrderPendingPayment && o.units == checkout.StockReserved && !o.failed:
	case o.status == checkout.OrderCancelled && o.units == checkout.StockAvailable && o.reason != "" && (o.reason != checkout.ReasonPaymentFailed || o.failed):
	default: // these two alone are possible without money
		unpaid = checkout.Standing{Status: "impossible without a payment"}
	}
	if want := checkout.StandingOf(o.units, o.amount.Amount, payments, unpaid); want.Status != o.status || (want.Reason != o.reason && o.status != checkout.OrderRefunded) {
		broken("status_differs_from_money", "it is %s %s with its units %s; its events say %s %s", o.status, o.reason, o.units, want.Status, want.Reason)
	}
}

// auditHold checks that the order may exist beside the state of its hold.
func (o *auditedOrder) auditHold(broken func(string, string, ...any), payments []checkout.Payment) {
	switch o.hold {
	case checkout.HoldOrdered, checkout.HoldActive: // an order of an active hold is a check of its own
	case checkout.HoldExpired, checkout.HoldReleased:
		paid := slices.ContainsFunc(payments, func(p checkout.Payment) bool { return p.Received > 0 || p.Exact })
		if !paid || (o.holdEnded.Valid && o.createdAt.Before(o.holdEnded.Time)) {
			broken("order_of_ended_hold", "its hold is %s, and no payment came after that", o.hold)
		}
	}
}

// report adds the order's money to the totals of its currencies.
func (o *auditedOrder) report(totals map[string]*MoneyReport) {
	for _, p := range o.payments {
		said := p.tally.Payment("", "", o.id, o.amount)
		if said.Order == nil || o.waiting {
			continue
		}
		m := totals[said.Currency]
		if m == nil {
			m = &MoneyReport{Currency: said.Currency}
			totals[said.Currency] = m
		}
		// Received and returned are the events' sums, sold and owed what the ledger made of them.
		m.Received += said.Received
		m.Returned += min(said.Returned, said.Received)
		m.Owed += p.stored.Owed()
		if p.stored.Settles && o.units == checkout.StockSold {
			m.Sold += p.stored.Kept()
		}
	}
}

func comparePayments(a, b paymentKey) int {
	if c := strings.Compare(a.provider, b.provider); c != 0 {
		return c
	}
	return strings.Compare(a.id, b.id)
}

func samePayment(a, b checkout.Payment) bool {
	return a.Received == b.Received && a.Returned == b.Returned && a.Unsent == b.Unsent && a.Exact == b.Exact && a.Currency == b.Currency && (a.Order == nil) == (b.Order == nil)
}

func sameAmount(a, b *int64) bool {
	return (a == nil && b == nil) || (a != nil && b != nil && *a == *b)
}

// auditPageRows is a page of orders, by id.
type auditPageRows struct {
	orders []*auditedOrder
	byID   map[checkout.ID]*auditedOrder
	of     map[paymentKey]*auditedOrder // the order of each payment
}

// readAuditPage reads the orders after an id, with their payments, refunds and events.
func readAuditPage(ctx context.Context, tx *sql.Tx, after []byte) (*auditPageRows, error) {
	p := &auditPageRows{byID: map[checkout.ID]*auditedOrder{}, of: map[paymentKey]*auditedOrder{}}
	if err := each(ctx, tx, p.scanOrder, `
		SELECT o.id, o.status, COALESCE(o.reason, ''), o.stock, o.amount, o.currency, o.created_at, COALESCE(h.status, ''),
		       IF(h.status IN ('expired', 'released'), h.ended_at, NULL)
		FROM orders o LEFT JOIN holds h ON h.id = o.id WHERE o.id > ? ORDER BY o.id LIMIT ?`, after, auditPage); err != nil {
		return nil, err
	}
	if len(p.orders) == 0 {
		return p, nil
	}
	last := p.orders[len(p.orders)-1].id[:]
	if err := each(ctx, tx, p.scanPayment, `
		SELECT provider, payment_id, order_id, COALESCE(currency, ''), received, returned, unsent, exact, settles IS NOT NULL
		FROM payments WHERE order_id > ? AND order_id <= ?`, after, last); err != nil {
		return nil, err
	}
	if err := each(ctx, tx, p.scanRefund, `
		SELECT r.provider, r.payment_id, r.refund_id, r.kind, r.status, r.amount, COALESCE(r.currency, '')
		FROM payments p JOIN refunds r ON r.provider = p.provider AND r.payment_id = p.payment_id
		WHERE p.order_id > ? AND p.order_id <= ?`, after, last); err != nil {
		return nil, err
	}
	const columns = `e.provider, e.event_id, e.kind, e.subject_id, e.payment_id, e.refund_id, COALESCE(e.amount, 0), IF(e.amount IS NULL, '', COALESCE(e.currency, '')),
		e.result, e.retry_at IS NOT NULL, e.received_at`
	return p, each(ctx, tx, p.scanEvent, `
		SELECT `+columns+` FROM payment_events e WHERE e.subject_id > ? AND e.subject_id <= ?
		UNION
		SELECT `+columns+` FROM payments p JOIN payment_events e ON e.provider = p.provider AND e.payment_id = p.payment_id
		WHERE p.order_id > ? AND p.order_id <= ?
		ORDER BY received_at, provider, event_id`, after, last, after, last)
}

func (p *auditPageRows) scanOrder(rows *sql.Rows) error {
	o := &auditedOrder{}
	var id []byte
	if err := rows.Scan(&id, &o.status, &o.reason, &o.units, &o.amount.Amount, &o.amount.Currency, &o.createdAt, &o.hold, &o.holdEnded); err != nil {
		return err
	}
	o.id = checkout.ID(id)
	p.orders = append(p.orders, o)
	p.byID[o.id] = o
	return nil
}

func (p *auditPageRows) scanPayment(rows *sql.Rows) error {
	var s checkout.Payment
	var id []byte
	if err := rows.Scan(&s.Provider, &s.ID, &id, &s.Currency, &s.Received, &s.Returned, &s.Unsent, &s.Exact, &s.Settles); err != nil {
		return err
	}
	order := checkout.ID(id)
	s.Order = &order
	if o := p.byID[order]; o != nil {
		key := paymentKey{s.Provider, s.ID}
		p.of[key] = o
		payment := o.payment(key)
		payment.stored, payment.exists = s, true
	}
	return nil
}

func (p *auditPageRows) scanRefund(rows *sql.Rows) error {
	var key paymentKey
	var r checkout.Refund
	var amount sql.NullInt64
	if err := rows.Scan(&key.provider, &key.id, &r.ID, &r.Kind, &r.Status, &amount, &r.Currency); err != nil {
		return err
	}
	if amount.Valid {
		r.Amount = &amount.Int64
	}
	o := p.of[key]
	if o == nil {
		return nil
	}
	o.payment(key).refunds[r.ID] = r
	if r.Kind == checkout.RefundRecorded { // by an operator: its row is all the evidence there is
		o.payment(key).tally.AddRefund(r)
	}
	return nil
}

func (p *auditPageRows) scanEvent(rows *sql.Rows) error {
	var e checkout.PaymentEvent
	var subject []byte
	var result string
	var again bool
	var receivedAt time.Time
	if err := rows.Scan(&e.Provider, &e.EventID, &e.Kind, &subject, &e.PaymentID, &e.RefundID, &e.Amount.Amount, &e.Amount.Currency, &result, &again, &receivedAt); err != nil {
		return err
	}
	settled := result == string(checkout.PaymentApplied) || result == string(checkout.PaymentIgnored)
	var o *auditedOrder
	if subject != nil {
		id := checkout.ID(subject)
		e.Subject, o = &id, p.byID[id]
	}
	if e.Kind == checkout.PaymentSucceeded && e.PaymentID == "" {
		e.PaymentID = e.EventID
	}
	if e.PaymentID == "" && o != nil { // a refund that names its order only: its row says of which payment
		id := e.RefundID
		if id == "" {
			id = e.EventID
		}
		for key, payment := range o.payments {
			if _, ok := payment.refunds[id]; ok && key.provider == e.Provider {
				e.PaymentID = key.id
			}
		}
	}
	key := paymentKey{e.Provider, e.PaymentID}
	if owner := p.of[key]; owner != nil {
		o = owner
	}
	if o == nil {
		return nil
	}
	o.waiting = o.waiting || (settled && again)
	if !settled && e.RefundID != "" { // it waits: it counts once its row says so
		if _, ok := o.payment(key).refunds[e.RefundID]; !ok {
			return nil
		}
	}
	switch {
	case e.Kind == checkout.PaymentFailed:
		o.failed = o.failed || result == string(checkout.PaymentApplied)
	case e.PaymentID == "" || (e.Kind == checkout.PaymentSucceeded && !settled) || result == string(checkout.PaymentStored):
	default:
		o.payment(key).tally.Add(e)
	}
	return nil
}

// each runs a query of the audit and scans its rows.
func each(ctx context.Context, tx *sql.Tx, scan func(*sql.Rows) error, query string, args ...any) (err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
