package ledger_test

import (
	"cmp"
	"slices"
	"time"

	"flashsale/pkg/checkout"
)

// payer is one payment in the model: its events, and the order whose success came first.
type payer struct {
	checkout.Tally
	order    *checkout.ID
	currency string
	provider string
	id       string
	created  time.Time // of its first event
}

// account is a hold, its order and its money in the model. It knows checkout.Transitions, Settle and StandingOf.
type account struct {
	id       checkout.ID
	qty      int64
	amount   checkout.Money
	hold     checkout.HoldStatus // as stored: an overdue one is active until its units are reclaimed
	expires  time.Time
	payBy    time.Time
	units    checkout.StockPlace
	unpaid   checkout.Standing // the order's standing without any money; empty: no order
	standing checkout.Standing // empty: no order
	paid     []*payer          // its payments
	settles  *payer            // the payment that settles it, or nil
}

// world is what the events of all accounts share.
type world struct {
	now      time.Time
	payers   map[checkout.EventRef]*payer // by provider and payment id
	accounts map[checkout.ID]*account
	settled  map[string]bool // events that have been applied or ignored
	reclaim  func()
	free     func() int64 // available units
}

func (w *world) state(a *account) checkout.State {
	switch {
	case a.standing.Status != "":
		return checkout.State(a.standing.Status)
	case a.hold == checkout.HoldActive && !w.now.Before(a.expires):
		return checkout.NoOrderExpired
	default:
		return checkout.State(a.hold) + " hold"
	}
}

// endHold ends an active hold, because it has an order now.
func (w *world) endHold(a *account) {
	if a.hold == checkout.HoldActive {
		a.hold = checkout.HoldOrdered
		if !w.now.Before(a.expires) {
			a.hold = checkout.HoldExpired
		}
	}
}

// move applies a row of checkout.Transitions, and returns false if there is none.
func (w *world) move(a *account, on checkout.Trigger) bool {
	row, ok := checkout.Find(w.state(a), on, a.amount.Amount == 0)
	if !ok {
		return false
	}
	if a.standing.Status == "" {
		a.payBy = w.now.Add(window)
	}
	w.endHold(a)
	a.standing = checkout.Standing{Status: row.To, Reason: row.Reason}
	a.unpaid, a.units = a.standing, row.Stock
	return true
}

// payments returns an account's payments as checkout.Tally sums them, the oldest first.
func (w *world) payments(a *account) []checkout.Payment {
	slices.SortFunc(a.paid, func(p, q *payer) int {
		return cmp.Or(p.created.Compare(q.created), cmp.Compare(p.provider, q.provider), cmp.Compare(p.id, q.id))
	})
	var payments []checkout.Payment
	for _, p := range a.paid {
		sums := p.Payment(p.provider, p.id, a.id, a.amount)
		sums.Settles = p == a.settles
		payments = append(payments, sums)
	}
	return payments
}

// settle makes an order follow its payments. mayTake says whether an event like this takes units.
func (w *world) settle(a *account, mayTake bool) {
	payments := w.payments(a)
	var counts bool
	for _, p := range payments {
		counts = counts || p.Received > 0 || p.Exact
	}
	if !counts {
		return
	}
	units := checkout.Settle(a.units, a.amount.Amount, payments, func() bool {
		if mayTake && w.free() < a.qty {
			w.reclaim()
		}
		return mayTake && w.free() >= a.qty
	})
	standing := checkout.StandingOf(units, a.amount.Amount, payments, a.unpaid)
	if standing.Status == "" {
		return // a free hold that ended, and the product has sold out
	}
	a.units, a.settles = units, nil
	for i, p := range payments {
		if p.Settles {
			a.settles = a.paid[i]
		}
	}
	if a.standing.Status == "" {
		a.payBy = w.now.Add(window)
	}
	w.endHold(a)
	a.standing = standing
}

// deliver applies an event, and returns the results that the ledger may give.
func (w *world) deliver(e checkout.PaymentEvent) []checkout.PaymentResult {
	if w.settled[e.EventID] {
		return []checkout.PaymentResult{checkout.PaymentDuplicate}
	}
	want := w.apply(e)
	w.settled[e.EventID] = want[0] != checkout.PaymentUnmatched
	return want
}

func (w *world) apply(e checkout.PaymentEvent) []checkout.PaymentResult {
	applied, ignored, unmatched := []checkout.PaymentResult{checkout.PaymentApplied}, []checkout.PaymentResult{checkout.PaymentIgnored}, []checkout.PaymentResult{checkout.PaymentUnmatched}
	var a *account
	if e.Subject != nil {
		if a = w.accounts[*e.Subject]; a == nil {
			return unmatched
		}
	}
	if e.Kind == checkout.PaymentFailed {
		if w.move(a, checkout.OnFailed) {
			return applied
		}
		return ignored
	}
	key := checkout.EventRef{Provider: e.Provider, EventID: e.PaymentID}
	p := w.payers[key]
	if p == nil {
		p = &payer{provider: e.Provider, id: e.PaymentID, created: w.now}
		w.payers[key] = p
	}
	if e.Kind == checkout.PaymentSucceeded {
		result := w.succeed(a, p, e)
		w.settle(a, true)
		return map[string][]checkout.PaymentResult{"applied": applied, "ignored": ignored, "unmatched": unmatched}[result]
	}
	if p.order == nil {
		p.Add(e)
		return unmatched
	}
	a = w.accounts[*p.order]
	before := p.Payment(e.Provider, e.PaymentID, a.id, a.amount)
	p.Add(e)
	after := p.Payment(e.Provider, e.PaymentID, a.id, a.amount)
	w.settle(a, e.Kind == checkout.PaymentRefundFailed)
	if e.Amount.Currency != "" && e.Amount.Currency != p.currency {
		return unmatched
	}
	if before.Returned != after.Returned || before.Unsent != after.Unsent {
		return applied
	}
	return append(applied, checkout.PaymentIgnored) // a refund row may be new without any effect on the sums
}

// succeed adds a success to its payment, and returns the result.
func (w *world) succeed(a *account, p *payer, e checkout.PaymentEvent) string {
	if p.order != nil && (*p.order != a.id || p.currency != e.Amount.Currency) {
		return "unmatched" // one payment cannot pay two orders, or be in two currencies
	}
	before := p.Payment(e.Provider, e.PaymentID, a.id, a.amount)
	p.Add(e)
	after := p.Payment(e.Provider, e.PaymentID, a.id, a.amount)
	isNew := p.order == nil
	if isNew {
		p.order, p.currency = &a.id, e.Amount.Currency
		a.paid = append(a.paid, p)
	}
	if (isNew || after.Received != before.Received || after.Exact != before.Exact) && (e.Amount.Amount > 0 || e.Amount == a.amount) {
		return "applied"
	}
	return "ignored"
}
