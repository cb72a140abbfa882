package ledger

import (
	"context"
	"database/sql"
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
		page, err := readAuditPage(ctx, tx, after, a.AsOf)
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
	if err := auditStrays(ctx, tx, a); err != nil {
		return err
	}
	if err := reportWaiting(ctx, tx, report); err != nil {
		return err
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

// auditStrays recomputes the payments without an order: a refund may come before its success.
func auditStrays(ctx context.Context, tx *sql.Tx, a *Audit) error {
	var after paymentKey
	for {
		page, err := readStrayPage(ctx, tx, after, a.AsOf)
		if err != nil {
			return err
		}
		page.auditStrays(a)
		if len(page.orders) < auditPage {
			return nil
		}
		after = page.orders[len(page.orders)-1].stray
	}
}

func (p *auditPageRows) auditStrays(a *Audit) {
	for _, o := range p.orders {
		if !o.waiting {
			o.auditPayments(func(check, detail string, args ...any) {
				a.add(false, Finding{check, o.stray.provider + " payment " + o.stray.id, fmt.Sprintf(detail, args...)})
			})
		}
	}
}

// auditedOrder is an order with everything that is known of it.
type auditedOrder struct {
	id        checkout.ID
	stray     paymentKey // set if there is no order, only this payment
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
	stored  paymentRow // as its row says
	exists  bool
	tally   checkout.Tally // as its events say
	refunds map[string]checkout.Refund
	named   bool   // by an event that makes a payment
	began   []span // when its row may have been made
}

// paymentRow is a payment with the columns that nothing but the routines and the audit need.
type paymentRow struct {
	checkout.Payment
	refundedSum int64
	createdAt   time.Time // among equal payments the first settles
}

// span is the time from one instant to another, both included.
type span struct{ from, to time.Time }

func (s span) has(at time.Time) bool { return !at.Before(s.from) && !at.After(s.to) }

// heard notes when an event may have made the payment's row: when it arrived or, for a success, when it was applied. A
// refund or dispute made its own row at the same time. A return without such a row may have made the payment's at
// any try.
func (p *auditedPayment) heard(e checkout.PaymentEvent, receivedAt time.Time, settledAt sql.NullTime, asOf time.Time) {
	_, hasRow := p.refunds[e.RefundID]
	switch {
	case e.Kind == checkout.PaymentFailed || e.Kind == checkout.PaymentOther:
		return // they make no payment
	case e.Kind == checkout.PaymentSucceeded && settledAt.Valid:
		p.began = append(p.began, span{settledAt.Time, settledAt.Time})
	case e.Kind == checkout.PaymentSucceeded || hasRow:
	case settledAt.Valid:
		p.began = append(p.began, span{receivedAt, settledAt.Time})
	default:
		p.began = append(p.began, span{receivedAt, asOf})
	}
	p.named, p.began = true, append(p.began, span{receivedAt, receivedAt})
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
	payments, settling := o.auditPayments(broken)
	o.auditUnits(broken, payments, settling)
	o.auditHold(broken, payments)
}

// auditPayments compares the payments with their events. It returns them as the events say, and how many settle the order.
func (o *auditedOrder) auditPayments(broken func(string, string, ...any)) (payments []checkout.Payment, settling int) {
	for _, key := range slices.SortedFunc(maps.Keys(o.payments), comparePayments) {
		p := o.payments[key]
		said := p.tally.Payment(key.provider, key.id, o.id, o.amount)
		if !p.exists && said.Order == nil {
			continue // refunds of a payment that this order did not get
		}
		said.Settles = p.stored.Settles
		if !samePayment(said, p.stored.Payment) || p.tally.RefundedSum(said.Currency) != p.stored.refundedSum {
			broken("payment_differs_from_events", "payment %s (%s): received %d %s, returned %d, unsent %d, sum of refunds %d; its events say received %d %s, returned %d, unsent %d, sum of refunds %d",
				key.id, key.provider, p.stored.Received, p.stored.Currency, p.stored.Returned, p.stored.Unsent, p.stored.refundedSum,
				said.Received, said.Currency, said.Returned, said.Unsent, p.tally.RefundedSum(said.Currency))
		}
		switch {
		case !p.exists:
		case !p.named:
			broken("payment_without_event", "no event names payment %s (%s)", key.id, key.provider)
		case !slices.ContainsFunc(p.began, func(s span) bool { return s.has(p.stored.createdAt) }):
			broken("payment_time_differs_from_events", "payment %s (%s) was first known at %s; no event of it arrived or was applied then",
				key.id, key.provider, p.stored.createdAt.Format(time.RFC3339Nano))
		}
		for id, r := range p.refunds {
			if known, ok := p.tally.Refund(id, said.Currency); !ok || known.Status != r.Status || known.Kind != r.Kind || known.Currency != r.Currency || !sameAmount(known.Amount, r.Amount) {
				broken("refund_differs_from_events", "refund or dispute %s of payment %s (%s) is %s, but no event says so", id, key.id, key.provider, r.Status)
			}
		}
		if p.stored.Settles {
			settling++
		}
		payments = append(payments, said)
	}
	return payments, settling
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
		if said.Order == nil {
			continue
		}
		m := reportOf(totals, said.Currency)
		if o.waiting {
			m.Stored += said.Received
			continue
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

func reportOf(totals map[string]*MoneyReport, currency string) *MoneyReport {
	if totals[currency] == nil {
		totals[currency] = &MoneyReport{Currency: currency}
	}
	return totals[currency]
}

// reportWaiting adds the money of successes that no payment has: unmatched ones and stored ones. A payment that several
// such events report counts once, and only with what its row does not have.
func reportWaiting(ctx context.Context, tx *sql.Tx, totals map[string]*MoneyReport) error {
	return each(ctx, tx, func(rows *sql.Rows) error {
		var currency, result string
		var amount int64
		if err := rows.Scan(&currency, &result, &amount); err != nil {
			return err
		}
		if m := reportOf(totals, currency); result == string(checkout.PaymentStored) {
			m.Stored += amount
		} else {
			m.Unmatched += amount
		}
		return nil
	}, `
		SELECT currency, result, LEAST(SUM(amount), 9223372036854775807)
		FROM (SELECT e.currency, MIN(e.result) AS result, MAX(e.amount) - COALESCE(MAX(p.received), 0) AS amount
		      FROM payment_events e LEFT JOIN payments p ON p.provider = e.provider AND p.payment_id = IF(e.payment_id = '', e.event_id, e.payment_id)
		           AND p.order_id = e.subject_id AND p.currency = e.currency
		      WHERE e.kind = 'succeeded' AND e.result IN ('unmatched', 'stored') AND e.amount IS NOT NULL AND e.currency IS NOT NULL
		      GROUP BY e.provider, IF(e.payment_id = '', e.event_id, e.payment_id), e.subject_id, e.currency) AS waiting
		WHERE amount > 0 GROUP BY currency, result`)
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
