package simulator

import (
	"net/http"
	"time"

	"flashsale/pkg/checkout"
)

func (e *evidence) checkOrders(c *Check) {
	for _, h := range e.holds() {
		actions, existed := h.actions, false
		if h.finalOrder != nil {
			actions = append(actions[:len(actions):len(actions)], &action{response: *h.finalOrder})
		}
		for _, a := range actions {
			if !a.ok() || (a.op != Order && a.op != LookOrder && a.op != Cancel) {
				continue
			}
			c.looks()
			existed = true
			if a.op == Order && a.status == http.StatusCreated && a.sent > h.latestEnd() {
				c.breaks("%s: granted at %s for %s, it was ordered at %s, after its time", h.id, seconds(h.known), h.ttl, seconds(a.received))
			}
			if b := a.body; b.ID != h.orderID() || b.HoldID != h.id || b.ProductID != e.Product || b.Qty != h.qty || b.Amount != (money{h.qty * price, currency}) {
				c.breaks("%s: the order of %d units at %d %s is %s of %s: %d units of %s for %d %s", h.id, h.qty, price, currency,
					b.ID, b.HoldID, b.Qty, b.ProductID, b.Amount.Amount, b.Amount.Currency)
			}
		}
		if existed && h.finalOrder != nil && h.finalOrder.status == http.StatusNotFound {
			c.breaks("%s: the order existed, and no longer does", h.orderID())
		}
	}
}

// checkOrderEnds finds orders in a state that no action led to.
func (e *evidence) checkOrderEnds(c *Check) {
	for _, h := range e.holds() {
		if h.finalOrder == nil || h.finalOrder.status != http.StatusOK {
			continue
		}
		c.looks()
		state, reason := h.finalOrder.body.state(), h.finalOrder.body.Reason
		possible := map[string]bool{
			"pending_payment ":           h.any(isOrder),
			"paid ":                      h.any(isRight),
			"cancelled customer":         h.any(isCancel),
			"cancelled payment_failed":   h.any(isFailure),
			"cancelled payment_timeout":  h.any(isOrder), // checkEarly looks at the time
			"refund_due amount_mismatch": h.any(isWrong),
			"refund_due late_payment":    h.any(isRight),
			"refunded ":                  h.any(isSuccess) && (h.any(isRefund) || h.any(isLost)),
		}
		if !possible[state+" "+reason] {
			c.breaks("%s: it is %s %s, and no action leads to that state", h.orderID(), state, reason)
		}
		if end := h.orderEndsBy(); state == "pending_payment" && h.finalOrder.sent > end+e.TakenBack {
			c.breaks("%s: its payment was due at %s, but it is %s", h.orderID(), seconds(end), state)
		}
		for _, a := range h.actions {
			if isCancel(a) && a.ok() && a.sent > h.paidBy() {
				c.breaks("%s: it was paid at %s, and cancelled at %s", h.orderID(), seconds(h.paidBy()), seconds(a.received))
			}
		}
		if ended := h.any(both(isCancel, isOK)) || h.any(both(isFailure, isApplied)); ended && state == "pending_payment" {
			c.breaks("%s: its cancellation or its failed payment was confirmed, but it is %s", h.orderID(), state)
		}
	}
}

// orderEndsBy is the latest instant at which the order's payment is due; far away if no response showed the time to pay.
func (h *hold) orderEndsBy() time.Duration {
	if h.window == 0 {
		return forever / 2
	}
	var last time.Duration
	for _, a := range h.actions {
		if isOrder(a) {
			last = max(last, a.received)
		}
	}
	return last + h.window + rounding
}

// checkPaidOnce looks for the payment of each order whose units are sold. checkPurses finds a second one that was kept.
func (e *evidence) checkPaidOnce(c *Check) {
	for _, h := range e.holds() {
		if !h.sold() {
			continue
		}
		c.looks()
		if !h.any(isRight) {
			c.breaks("%s: it is paid, but no payment was made", h.orderID())
		}
	}
}

// checkMoney compares the order with its confirmed payments and refunds.
func (e *evidence) checkMoney(c *Check) {
	for _, h := range e.holds() {
		if !h.any(both(isSuccess, isMatched)) || h.finalOrder == nil || h.finalOrder.lost() {
			continue
		}
		c.looks()
		state, reason := h.finalOrder.body.state(), h.finalOrder.body.Reason
		switch {
		case state != "paid" && state != "refund_due" && state != "refunded":
			c.breaks("%s: a payment of it was confirmed, but it is %q %s %s", h.orderID(), state, reason, h.finalOrder.body.Code)
		case reason == "late_payment" && !h.mayBeLate() && !h.any(isRefundOff):
			c.breaks("%s: it is %s as paid too late, but its units were certainly still reserved", h.orderID(), state)
		case state == "paid" && !h.any(isRight):
			c.breaks("%s: it is %s, but only a wrong amount was paid", h.orderID(), state)
		}
		if h.refundConfirmed() && state != "refunded" {
			c.breaks("%s: a refund of it was confirmed, but it is %s", h.orderID(), state)
		}
	}
}

// mayBeLate reports whether the units may have been free before a payment was complete.
func (h *hold) mayBeLate() bool {
	var paid time.Duration
	for _, a := range h.actions {
		switch {
		case isRight(a) && a.isStored(): // it takes effect later: the final order shows that it did
			paid = max(paid, h.finalOrder.sent)
		case isRight(a):
			paid = max(paid, a.received)
		}
	}
	return paid > h.earliestFree() || paid > h.firstSent(isFreeing)
}

// refundConfirmed reports whether the server confirmed a refund that was sent after it had confirmed the payment.
func (h *hold) refundConfirmed() bool {
	paid := forever
	for _, a := range h.actions {
		if isSuccess(a) && a.ok() && (a.body.OrderStatus == "paid" || a.body.OrderStatus == "refund_due") {
			paid = min(paid, a.received)
		}
	}
	first := h.firstSent(isRefund)
	return first < forever && first > paid && h.any(both(isRefund, isMatched)) && !h.any(isRefundOff)
}

// checkEvents counts how often each event was applied.
func (e *evidence) checkEvents(c *Check) {
	for _, h := range e.holds() {
		applied := map[string]int{}
		for _, a := range h.actions {
			if a.event == "" {
				continue
			}
			if _, seen := applied[a.event]; !seen {
				c.looks()
				applied[a.event] = 0
			}
			if isApplied(a) {
				applied[a.event]++
			}
		}
		for event, n := range applied {
			if n > 1 {
				c.breaks("%s: the event %s was applied %d times", h.orderID(), event, n)
			}
		}
		if n := h.ignoredSuccesses(); n > 0 {
			c.breaks("%s: %d payments of it were ignored, though no other payment was made", h.orderID(), n)
		}
	}
}

// ignoredSuccesses counts ignored payments of a hold that has no other payment.
func (h *hold) ignoredSuccesses() (n int) {
	for _, a := range h.actions {
		other := func(b *action) bool { return isSuccess(b) && b.event != a.event }
		if isSuccess(a) && a.body.Result == "ignored" && !h.any(other) {
			n++
		}
	}
	return n
}

// checkPurses holds each shopper's purse against the server: money that is not the price of units sold went back, or is
// listed as owed. The rules are those of pkg/checkout; whether a late payment got units is the server's to say.
func (e *evidence) checkPurses(c *Check) {
	for _, h := range e.holds() {
		tallies := map[string]*checkout.Tally{}
		paid := false
		for _, a := range h.actions {
			if !a.ok() || a.says.PaymentID == "" || a.says.Kind == checkout.PaymentFailed {
				continue
			}
			if tallies[a.says.PaymentID] == nil {
				tallies[a.says.PaymentID] = &checkout.Tally{}
			}
			tallies[a.says.PaymentID].Add(a.says)
			paid = paid || isSuccess(a)
		}
		if !paid || h.finalOrder == nil || !h.finalOrder.ok() {
			continue
		}
		c.looks()
		state, owed := h.finalOrder.body.state(), e.owed[h.orderID()]
		right := false
		for _, units := range []checkout.StockPlace{checkout.StockReserved, checkout.StockAvailable} {
			status, due := purse(tallies, units, h.qty*price)
			right = right || (state == string(status) && (owed == due || e.owed == nil))
		}
		if !right {
			c.breaks("%s: it is %s and %d is owed (minor units), which is not what its %d payments and their refunds say", h.orderID(), state, owed, len(tallies))
		}
	}
}

// purse returns an order's status and what is owed, as its events say. Units that are available were given to others.
func purse(tallies map[string]*checkout.Tally, units checkout.StockPlace, amount int64) (status checkout.OrderStatus, owed int64) {
	var all []checkout.Payment
	for id, t := range tallies {
		if p := t.Payment("", id, checkout.ID{}, checkout.Money{Amount: amount, Currency: currency}); p.Order != nil {
			all = append(all, p)
		}
	}
	units = checkout.Settle(units, amount, all, func() bool { return false })
	for _, p := range all {
		owed += p.Owed()
	}
	return checkout.StandingOf(units, amount, all, checkout.Standing{}).Status, owed
}
