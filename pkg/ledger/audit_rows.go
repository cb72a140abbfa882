package ledger

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"flashsale/pkg/checkout"
)

// auditPageRows is a page of orders by id, or of payments without an order.
type auditPageRows struct {
	orders []*auditedOrder
	byID   map[checkout.ID]*auditedOrder
	of     map[paymentKey]*auditedOrder // the order of each payment
	asOf   time.Time
}

func newAuditPage(asOf time.Time) *auditPageRows {
	return &auditPageRows{byID: map[checkout.ID]*auditedOrder{}, of: map[paymentKey]*auditedOrder{}, asOf: asOf}
}

// The columns that scanPayment, scanRefund and scanEvent read.
const (
	auditedPaymentRow = `p.provider, p.payment_id, p.order_id, COALESCE(p.currency, ''), p.received, p.returned, p.unsent, p.exact,
		p.settles IS NOT NULL, p.refunded_sum, p.created_at`
	auditedRefund = `r.provider, r.payment_id, r.refund_id, r.kind, r.status, r.amount, COALESCE(r.currency, ''), r.created_at`
	auditedEvent  = `e.provider, e.event_id, e.kind, e.subject_id, e.payment_id, e.refund_id, COALESCE(e.amount, 0),
		IF(e.amount IS NULL, '', COALESCE(e.currency, '')), e.result, e.retry_at IS NOT NULL, e.received_at, e.settled_at`
)

// selection is a condition with {id} for the column of an order's id, and its arguments.
type selection struct {
	condition string
	args      []any
}

func (s selection) on(column string) string { return strings.ReplaceAll(s.condition, "{id}", column) }

// readAuditPage reads the orders after an id, with their payments, refunds and events.
func readAuditPage(ctx context.Context, tx *sql.Tx, after []byte, asOf time.Time) (*auditPageRows, error) {
	p := newAuditPage(asOf)
	if err := p.readOrders(ctx, tx, selection{"{id} > ?", []any{after}}, auditPage); err != nil || len(p.orders) == 0 {
		return p, err
	}
	return p, p.readMoney(ctx, tx, selection{"{id} > ? AND {id} <= ?", []any{after, p.orders[len(p.orders)-1].id[:]}})
}

// readAuditOrders is readAuditPage for some orders. At most auditIDs keep the statements below the 16 KB at which RDS Proxy
// pins a connection.
func readAuditOrders(ctx context.Context, tx *sql.Tx, s selection, asOf time.Time) (*auditPageRows, error) {
	p := newAuditPage(asOf)
	if err := p.readOrders(ctx, tx, s, auditIDs); err != nil || len(p.orders) == 0 {
		return p, err
	}
	return p, p.readMoney(ctx, tx, s)
}

func (p *auditPageRows) readOrders(ctx context.Context, tx *sql.Tx, s selection, limit int) error {
	return each(ctx, tx, p.scanOrder, `
		SELECT o.id, o.status, COALESCE(o.reason, ''), o.stock, o.amount, o.currency, o.created_at, COALESCE(h.status, ''),
		       IF(h.status IN ('expired', 'released'), h.ended_at, NULL)
		FROM orders o LEFT JOIN holds h ON h.id = o.id WHERE `+s.on("o.id")+` ORDER BY o.id LIMIT ?`, append(slices.Clip(s.args), limit)...)
}

func (p *auditPageRows) readMoney(ctx context.Context, tx *sql.Tx, s selection) error {
	if err := each(ctx, tx, p.scanPayment, `SELECT `+auditedPaymentRow+` FROM payments p WHERE `+s.on("p.order_id"), s.args...); err != nil {
		return err
	}
	if err := each(ctx, tx, p.scanRefund, `
		SELECT `+auditedRefund+`
		FROM payments p JOIN refunds r ON r.provider = p.provider AND r.payment_id = p.payment_id WHERE `+s.on("p.order_id"), s.args...); err != nil {
		return err
	}
	return each(ctx, tx, p.scanEvent, `
		SELECT `+auditedEvent+` FROM payment_events e WHERE `+s.on("e.subject_id")+`
		UNION
		SELECT `+auditedEvent+` FROM payments p JOIN payment_events e ON e.provider = p.provider AND e.payment_id = p.payment_id
		WHERE `+s.on("p.order_id")+`
		ORDER BY received_at, provider, event_id`, append(slices.Clip(s.args), s.args...)...)
}

// The payments whose success has not arrived, or whose order was not made. Each becomes an order of its own.
const strays = `payments p LEFT JOIN orders o ON o.id = p.order_id`

// readStrayPage reads the stray payments after one.
func readStrayPage(ctx context.Context, tx *sql.Tx, after paymentKey, asOf time.Time) (*auditPageRows, error) {
	s := selection{`o.id IS NULL AND (p.provider > ? OR (p.provider = ? AND p.payment_id > ?))`, []any{after.provider, after.provider, after.id}}
	p := newAuditPage(asOf)
	if err := p.readStrays(ctx, tx, s, "p.provider, p.payment_id", auditPage); err != nil || len(p.orders) == 0 {
		return p, err
	}
	last := p.orders[len(p.orders)-1].stray
	s.condition += ` AND (p.provider < ? OR (p.provider = ? AND p.payment_id <= ?))`
	s.args = append(s.args, last.provider, last.provider, last.id)
	return p, p.readStrayMoney(ctx, tx, s)
}

// readChangedStrays reads the stray payments that changed after a time, at most limit.
func readChangedStrays(ctx context.Context, tx *sql.Tx, since time.Time, limit int, asOf time.Time) (*auditPageRows, error) {
	s := selection{`o.id IS NULL AND p.updated_at > ?`, []any{since}}
	p := newAuditPage(asOf)
	if err := p.readStrays(ctx, tx, s, "p.updated_at", limit); err != nil || len(p.orders) == 0 {
		return p, err
	}
	return p, p.readStrayMoney(ctx, tx, s)
}

func (p *auditPageRows) readStrays(ctx context.Context, tx *sql.Tx, s selection, order string, limit int) error {
	return each(ctx, tx, p.scanStray, `
		SELECT COALESCE(h.qty * h.unit_price, 0), COALESCE(h.currency, ''), `+auditedPaymentRow+`
		FROM `+strays+` LEFT JOIN holds h ON h.id = p.order_id
		WHERE `+s.condition+` ORDER BY `+order+` LIMIT ?`, append(slices.Clip(s.args), limit)...)
}

// readStrayMoney reads with STRAIGHT_JOIN: beginning with the refunds or events, each page would read all of a provider's.
func (p *auditPageRows) readStrayMoney(ctx context.Context, tx *sql.Tx, s selection) error {
	if err := each(ctx, tx, p.scanRefund, `
		SELECT STRAIGHT_JOIN `+auditedRefund+`
		FROM `+strays+` JOIN refunds r ON r.provider = p.provider AND r.payment_id = p.payment_id WHERE `+s.condition, s.args...); err != nil {
		return err
	}
	return each(ctx, tx, p.scanEvent, `
		SELECT STRAIGHT_JOIN `+auditedEvent+`
		FROM `+strays+` JOIN payment_events e ON e.provider = p.provider AND e.payment_id = p.payment_id WHERE `+s.condition+`
		ORDER BY e.received_at, e.provider, e.event_id`, s.args...)
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
	stored, err := scanAuditedPayment(rows)
	if err == nil && p.byID[*stored.Order] != nil {
		p.add(p.byID[*stored.Order], stored)
	}
	return err
}

func (p *auditPageRows) scanStray(rows *sql.Rows) error {
	o := &auditedOrder{}
	stored, err := scanAuditedPayment(rows, &o.amount.Amount, &o.amount.Currency)
	if err != nil {
		return err
	}
	o.stray = paymentKey{stored.Provider, stored.ID}
	if stored.Order != nil {
		o.id = *stored.Order
	}
	p.orders = append(p.orders, o)
	p.add(o, stored)
	return nil
}

func (p *auditPageRows) add(o *auditedOrder, stored paymentRow) {
	key := paymentKey{stored.Provider, stored.ID}
	p.of[key] = o
	payment := o.payment(key)
	payment.stored, payment.exists = stored, true
}

// scanAuditedPayment reads the columns of auditedPaymentRow, after those that others want.
func scanAuditedPayment(rows *sql.Rows, others ...any) (s paymentRow, err error) {
	var order []byte
	err = rows.Scan(append(others, &s.Provider, &s.ID, &order, &s.Currency, &s.Received, &s.Returned, &s.Unsent, &s.Exact, &s.Settles,
		&s.refundedSum, &s.createdAt)...)
	if len(order) == len(checkout.ID{}) {
		id := checkout.ID(order)
		s.Order = &id
	}
	return s, err
}

func (p *auditPageRows) scanRefund(rows *sql.Rows) error {
	var key paymentKey
	var r checkout.Refund
	var amount sql.NullInt64
	var createdAt time.Time
	if err := rows.Scan(&key.provider, &key.id, &r.ID, &r.Kind, &r.Status, &amount, &r.Currency, &createdAt); err != nil {
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
	o.payment(key).began = append(o.payment(key).began, span{createdAt, createdAt})
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
	var settledAt sql.NullTime
	if err := rows.Scan(&e.Provider, &e.EventID, &e.Kind, &subject, &e.PaymentID, &e.RefundID, &e.Amount.Amount, &e.Amount.Currency, &result, &again, &receivedAt, &settledAt); err != nil {
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
	o.payment(key).heard(e, receivedAt, settledAt, p.asOf)
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
