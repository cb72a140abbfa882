package simulator

import (
	"net/http"
	"time"
)

func (r *rush) checkOrders(c *Check) {
	for _, h := range r.holds() {
		acts := h.acts
		if h.finalOrder != nil {
			acts = append(acts[:len(acts):len(acts)], act{answer: *h.finalOrder})
		}
		existed := false
		for i := range acts {
			a := &acts[i]
			if !a.ok() || (a.op != Order && a.op != LookOrder && a.op != Cancel) {
				continue
			}
			c.looks()
			existed = true
			if a.op == Order && a.status == http.StatusCreated && a.sent > h.latestEnd() {
				c.breaks("%s: granted at %s for %s, it was ordered at %s, after its time", h.id, seconds(h.known), h.ttl, seconds(a.received))
			}
			if b := a.body; b.ID != h.orderID() || b.HoldID != h.id || b.ProductID != r.product || b.Qty != h.qty ||
				b.Amount.Amount != h.qty*r.price.Amount || b.Amount.Currency != r.price.Currency {
				c.breaks("%s: the order of %d units at %d %s is %s of %s: %d units of %s for %d %s", h.id, h.qty, r.price.Amount, r.price.Currency,
					b.ID, b.HoldID, b.Qty, b.ProductID, b.Amount.Amount, b.Amount.Currency)
			}
		}
		if existed && h.finalOrder != nil && h.finalOrder.status == http.StatusNotFound {
			c.breaks("%s: the order was there, and is not any more", h.orderID())
		}
	}
}

// checkOrderEnds: an order is in no state that nothing the shopper did leads to.
func (r *rush) checkOrderEnds(c *Check) {
	for _, h := range r.holds() {
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
			"cancelled payment_timeout":  h.any(isOrder), // when, is checked elsewhere
			"refund_due amount_mismatch": h.any(isWrong),
			"refund_due late_payment":    h.any(isRight),
			"refunded ":                  h.any(isRight) && h.any(isRefund),
			"refunded amount_mismatch":   h.any(isWrong) && h.any(isRefund),
			"refunded late_payment":      h.any(isRight) && h.any(isRefund),
		}
		if !possible[state+" "+reason] {
			c.breaks("%s: it is %s %s, which nothing that its shopper did leads to", h.orderID(), state, reason)
		}
		if end := h.orderEndsBy(); state == "pending_payment" && h.finalOrder.sent > end+r.TakenBack {
			c.breaks("%s: its payment was due at %s, but it is %s", h.orderID(), seconds(end), state)
		}
		for i := range h.acts {
			if a := &h.acts[i]; isCancel(a) && a.ok() && a.sent > h.paidBy() {
				c.breaks("%s: it was paid at %s, and cancelled at %s", h.orderID(), seconds(h.paidBy()), seconds(a.received))
			}
		}
		if ended := h.any(both(isCancel, isDone)) || h.any(both(isFailure, isApplied)); ended && state == "pending_payment" {
			c.breaks("%s: its cancellation or the failure of its payment was confirmed, but it is %s", h.orderID(), state)
		}
	}
}

// orderEndsBy is when the payment of the hold's order is due at the latest, far away if no answer told.
func (h *hold) orderEndsBy() time.Duration {
	if h.window == 0 {
		return forever / 2
	}
	var last time.Duration
	for i := range h.acts {
		if a := &h.acts[i]; isOrder(a) {
			last = max(last, a.received)
		}
	}
	return last + h.window + rounding
}

// checkPaidOnce counts the events by which an order was paid. One that was applied while its answer was lost answers
// "duplicate" later, so the applied answers may be none, never two.
func (r *rush) checkPaidOnce(c *Check) {
	for _, h := range r.holds() {
		if h.finalOrder == nil || !h.sold() {
			continue
		}
		c.looks()
		applied, delivered := map[string]bool{}, false
		for i := range h.acts {
			a := &h.acts[i]
			if isRight(a) && isApplied(a) {
				applied[a.event] = true
			}
			delivered = delivered || isRight(a)
		}
		if len(applied) > 1 {
			c.breaks("%s: %d events paid it", h.orderID(), len(applied))
		}
		if !delivered {
			c.breaks("%s: it is paid, but no payment was made", h.orderID())
		}
	}
}

// checkMoney: what a successful payment must have led to.
func (r *rush) checkMoney(c *Check) {
	for _, h := range r.holds() {
		if !h.any(both(isSuccess, isMatched)) || h.finalOrder == nil || h.finalOrder.lost() {
			continue
		}
		c.looks()
		state, reason := h.finalOrder.body.state(), h.finalOrder.body.Reason
		switch {
		case state != "paid" && state != "refund_due" && state != "refunded":
			c.breaks("%s: a payment of it was confirmed, but it is %q %s %s", h.orderID(), state, reason, h.finalOrder.body.Code)
		case reason == "late_payment" && !h.late():
			c.breaks("%s: it is %s as paid too late, but its time cannot have been over and nobody had given its units up", h.orderID(), state)
		case reason == "" && !h.any(isRight):
			c.breaks("%s: it is %s, but only a wrong amount was paid", h.orderID(), state)
		}
		if due := h.refundDue(); due && state != "refunded" {
			c.breaks("%s: the refund of a payment was confirmed, but it is %s", h.orderID(), state)
		}
	}
}

// late reports whether the hold's units may have gone before a payment of it was done.
func (h *hold) late() bool {
	end := h.earliestEnd()
	if h.orderedBy() < forever && h.window > 0 {
		end = h.firstSent(isOrder) + h.window - rounding
	}
	var done time.Duration
	for i := range h.acts {
		if a := &h.acts[i]; isRight(a) {
			done = max(done, a.received)
		}
	}
	gone := func(a *act) bool { return isRelease(a) || isCancel(a) || isFailure(a) || isWrong(a) }
	return done > end || h.sentBefore(done, gone)
}

// refundDue reports whether a refund was confirmed that was sent after the payment had been.
func (h *hold) refundDue() bool {
	paid := forever
	for i := range h.acts {
		if a := &h.acts[i]; isSuccess(a) && a.ok() && (a.body.OrderStatus == "paid" || a.body.OrderStatus == "refund_due") {
			paid = min(paid, a.received)
		}
	}
	first := h.firstSent(isRefund)
	return first < forever && first > paid && h.any(both(isRefund, isMatched))
}

// checkEvents counts how often an event was applied.
func (r *rush) checkEvents(c *Check) {
	for _, h := range r.holds() {
		applied := map[string]int{}
		for i := range h.acts {
			a := &h.acts[i]
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
			c.breaks("%s: %d payments of it were ignored, though none had been applied", h.orderID(), n)
		}
	}
}

// ignoredSuccesses counts success events that were ignored although no other one can have been applied.
func (h *hold) ignoredSuccesses() (n int) {
	for i := range h.acts {
		a := &h.acts[i]
		other := func(b *act) bool { return isSuccess(b) && b.event != a.event }
		if isSuccess(a) && a.body.Result == "ignored" && !h.any(other) {
			n++
		}
	}
	return n
}
