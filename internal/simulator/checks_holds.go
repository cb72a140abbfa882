package simulator

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// contract is every response that an operation may give to the simulation's requests, which are well-formed and name
// existing things: a status, and a refusal's code.
var contract = map[Operation][]string{
	Look:      {"200", "304"},
	Place:     {"201", "200", "409 sold_out", "409 shopper_limit"}, // checkLimitTrue looks at the second
	LookHold:  {"200"},
	Release:   {"204", "409 hold_ordered"},
	Order:     {"201", "200", "409 hold_released", "410 hold_expired"},
	LookOrder: {"200", "404 order_not_found"},
	Cancel:    {"200", "409 order_not_cancellable"},
	Pay:       {"200", "202"}, // 202: a refund before its payment
	Foreign:   {"404 hold_not_found", "404 order_not_found"},
	ListHolds: {"200"},
}

// allowed reports whether the contract allows the response. Every operation may be busy, and internal errors have their
// own check.
func allowed(a response) bool {
	if a.lost() || a.busy() || a.status == http.StatusInternalServerError {
		return true
	}
	word := strconv.Itoa(a.status)
	if a.body.Code != "" {
		word += " " + a.body.Code
	}
	return slices.Contains(contract[a.op], word)
}

func (e *evidence) checkInternal(c *Check) {
	e.responses(func(a *response, subject string) {
		c.looks()
		if a.status == http.StatusInternalServerError {
			if a.body.RequestID != "" && len(c.Requests) < maxEvidence {
				c.Requests = append(c.Requests, a.body.RequestID)
			}
			c.breaks("%s: %s got the response %d %s at %s (request %s)", subject, a.op, a.status, a.body.Code, seconds(a.received), a.body.RequestID)
		}
	})
}

func (e *evidence) checkContract(c *Check) {
	e.responses(func(a *response, subject string) {
		c.looks()
		if !allowed(*a) {
			c.breaks("%s: %s got the response %d %s at %s, expected one of %v", subject, a.op, a.status, a.body.Code, seconds(a.received), contract[a.op])
		}
	})
}

// gateDelay bounds how long the gate may not know of a key that was granted (docs/decisions.md has the reason).
const gateDelay = 5 * time.Second

// checkKeys: after a grant, every response to the key shows that hold. Requests that overlap with the first may still have
// been refused.
func (e *evidence) checkKeys(c *Check) {
	owner := map[string]string{}
	for _, a := range e.attempts() {
		c.looks()
		if a.hold == nil {
			continue
		}
		if other, taken := owner[a.hold.id]; taken {
			c.breaks("%s: two keys got it, %s and %s", a.hold.id, other, a.key)
		}
		owner[a.hold.id] = a.key
		created := 0
		for _, r := range a.responses {
			switch {
			case r.ok() && r.body.ID != a.hold.id:
				c.breaks("key %s: it made two holds, %s and %s", a.key, a.hold.id, r.body.ID)
			case r.status == http.StatusCreated:
				created++
			case r.status == http.StatusOK && !r.replayed:
				c.breaks("key %s: the hold %s was replayed without Idempotent-Replayed", a.key, a.hold.id)
			case r.body.Code == "sold_out" && r.sent > a.hold.known+gateDelay:
				c.breaks("key %s: it has had the hold %s since %s, and was refused as sold out at %s", a.key, a.hold.id, seconds(a.hold.known), seconds(r.received))
			case r.body.Code == "shopper_limit" && r.sent > a.hold.known:
				c.breaks("key %s: it has had the hold %s since %s, and was refused by the limit at %s", a.key, a.hold.id, seconds(a.hold.known), seconds(r.received))
			}
		}
		if created > 1 {
			c.breaks("key %s: %d responses say that they created a hold", a.key, created)
		}
	}
}

// checkGrants compares each grant with the request, and with the hold at the end.
func (e *evidence) checkGrants(c *Check) {
	for _, a := range e.attempts() {
		h := a.hold
		if h == nil {
			continue
		}
		c.looks()
		for _, r := range a.responses {
			if b := r.body; r.ok() && (b.ProductID != e.Product || b.Qty != a.qty) {
				c.breaks("%s: the request was for %d units of %s, the grant is for %d of %q", h.id, a.qty, e.Product, b.Qty, b.ProductID)
			}
		}
		granted, final := h.granted, h.finalHold
		if final != nil && final.ok() && (!final.body.ExpiresAt.Equal(granted.ExpiresAt) || !final.body.CreatedAt.Equal(granted.CreatedAt)) {
			c.breaks("%s: the grant was from %s to %s, the server has %s to %s", h.id, granted.CreatedAt, granted.ExpiresAt, final.body.CreatedAt, final.body.ExpiresAt)
		}
		if expected := e.expectedTTL(); h.ttl < expected-rounding || h.ttl > expected+rounding {
			c.breaks("%s: it lasts %s, expected %s", h.id, h.ttl, expected)
		}
		for _, act := range h.actions {
			if act.op == LookHold && act.ok() && act.body.ID != h.id {
				c.breaks("%s: a read of it returned %s", h.id, act.body.ID)
			}
		}
	}
}

// expectedTTL is how long holds last: by the server's configuration if that is known, else like the first hold.
func (e *evidence) expectedTTL() time.Duration {
	if e.HoldTTL > 0 {
		return e.HoldTTL
	}
	return e.holds()[0].ttl
}

func (e *evidence) checkHoldsThere(c *Check) {
	for _, h := range e.holds() {
		c.looks()
		final := h.finalHold
		if final == nil || final.lost() || final.busy() {
			continue
		}
		if b := final.body; final.status != http.StatusOK || b.ID != h.id || b.ProductID != e.Product || b.Qty != h.qty {
			c.breaks("%s: the grant was for %d units of %s, the server responds %d %s with %d of %q", h.id, h.qty, e.Product,
				final.status, b.Code, b.Qty, b.ProductID)
		}
	}
}

// checkEarly finds holds and orders that expired before the earliest instant at which their time may have been over.
func (e *evidence) checkEarly(c *Check) {
	for _, h := range e.holds() {
		c.looks()
		for _, a := range h.actions {
			h.checkEarly(c, &a.response)
		}
		if h.finalHold != nil {
			h.checkEarly(c, h.finalHold)
			if h.finalHold.body.state() == "active" && h.finalHold.sent > h.latestEnd() {
				c.breaks("%s: granted at %s for %s, it was still active at %s", h.id, seconds(h.known), h.ttl, seconds(h.finalHold.sent))
			}
		}
		if h.finalOrder != nil {
			h.checkEarly(c, h.finalOrder)
		}
	}
}

func (h *hold) checkEarly(c *Check, a *response) {
	expired := a.body.Code == "hold_expired" || (a.op == LookHold && a.body.state() == "expired")
	if expired && a.received < h.earliestEnd() {
		c.breaks("%s: requested at %s and granted for %s, it had expired at %s", h.id, seconds(h.asked), h.ttl, seconds(a.received))
	}
	if a.body.Reason != "payment_timeout" || h.window == 0 {
		return
	}
	if first := h.firstSent(isOrdering); a.received < first+h.window-rounding {
		c.breaks("%s: ordered at %s at the earliest, with %s to pay, it had timed out at %s", h.orderID(), seconds(first), h.window, seconds(a.received))
	}
}

func (e *evidence) checkHoldEnds(c *Check) {
	for _, h := range e.holds() {
		c.looks()
		if h.finalHold == nil || h.finalHold.status != http.StatusOK {
			continue
		}
		state, ordered := h.finalHold.body.state(), h.orderedBy()
		if ordered < forever && state != "ordered" {
			c.breaks("%s: it had an order at %s, but it is %s", h.id, seconds(ordered), state)
		}
		for _, a := range h.actions {
			if isRelease(a) && a.ok() && a.sent > ordered {
				c.breaks("%s: it had an order at %s, and was released at %s", h.id, seconds(ordered), seconds(a.received))
			}
		}
		switch state {
		case "ordered":
			if !h.any(isOrdering) {
				c.breaks("%s: it is ordered, but no request ordered or paid it", h.id)
			}
		case "released":
			if !h.any(isRelease) {
				c.breaks("%s: it is released, but no request released it", h.id)
			}
		case "active", "expired":
			if at := h.releasedBy(); at < forever {
				c.breaks("%s: it was released in time at %s, but it is %s", h.id, seconds(at), state)
			}
		default:
			c.breaks("%s: it is %q, which is not a state of a hold", h.id, state)
		}
	}
}

// releasedBy is when a release succeeded that found the hold neither ordered nor expired, forever if none did.
func (h *hold) releasedBy() time.Duration {
	for _, a := range h.actions {
		if isRelease(a) && a.ok() && a.received < h.earliestEnd() && h.firstSent(isOrdering) >= a.received {
			return a.received
		}
	}
	return forever
}

func seconds(d time.Duration) string { return d.Round(time.Millisecond).String() }
