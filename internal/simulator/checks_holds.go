package simulator

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// contract is what an operation may answer to the requests that a rush sends, which are well-formed and name things that
// exist: a status, and the code of a refusal.
var contract = map[Operation][]string{
	Look:      {"200", "304"},
	Place:     {"201", "200", "409 sold_out"},
	LookHold:  {"200"},
	Release:   {"204", "409 hold_ordered"},
	Order:     {"201", "200", "409 hold_released", "410 hold_expired"},
	LookOrder: {"200", "404 order_not_found"},
	Cancel:    {"200", "409 order_not_cancellable"},
	Pay:       {"200"},
}

// allowed reports whether the contract has the answer. Busy may come from any operation, and an internal error has a
// check of its own.
func allowed(a answer) bool {
	if a.lost() || a.busy() || a.status == http.StatusInternalServerError {
		return true
	}
	word := strconv.Itoa(a.status)
	if a.body.Code != "" {
		word += " " + a.body.Code
	}
	return slices.Contains(contract[a.op], word)
}

// answers calls see with every answer in the books, and what it is about.
func (r *rush) answers(see func(a *answer, about string)) {
	attempts := r.attempts()
	if r.probe != nil {
		attempts = append(attempts, r.probe)
	}
	for _, b := range r.books {
		for i := range b.looks {
			see(&b.looks[i], r.product)
		}
	}
	for _, a := range attempts {
		for i := range a.answers {
			see(&a.answers[i], "key "+a.key)
		}
		if a.hold == nil {
			continue
		}
		for i := range a.hold.acts {
			see(&a.hold.acts[i].answer, a.hold.id)
		}
		for _, final := range []*answer{a.hold.finalHold, a.hold.finalOrder} {
			if final != nil {
				see(final, a.hold.id)
			}
		}
	}
}

func (r *rush) checkInternal(c *Check) {
	r.answers(func(a *answer, about string) {
		c.looks()
		if a.status == http.StatusInternalServerError {
			if a.body.RequestID != "" && len(c.Requests) < maxEvidence {
				c.Requests = append(c.Requests, a.body.RequestID)
			}
			c.breaks("%s: %s was answered %d %s at %s (request %s)", about, a.op, a.status, a.body.Code, seconds(a.received), a.body.RequestID)
		}
	})
}

func (r *rush) checkContract(c *Check) {
	r.answers(func(a *answer, about string) {
		c.looks()
		if !allowed(*a) {
			c.breaks("%s: %s was answered %d %s at %s, expected one of %v", about, a.op, a.status, a.body.Code, seconds(a.received), contract[a.op])
		}
	})
}

// checkKeys: after a grant, a key may only be answered with its hold. Requests that overlap with the first may still
// have been refused.
func (r *rush) checkKeys(c *Check) {
	owner := map[string]string{}
	for _, a := range r.attempts() {
		c.looks()
		if a.hold == nil {
			continue
		}
		if other, taken := owner[a.hold.id]; taken {
			c.breaks("%s: it was granted to two keys, %s and %s", a.hold.id, other, a.key)
		}
		owner[a.hold.id] = a.key
		created := 0
		for _, answer := range a.answers {
			switch {
			case answer.ok() && answer.body.ID != a.hold.id:
				c.breaks("key %s: it made two holds, %s and %s", a.key, a.hold.id, answer.body.ID)
			case answer.status == http.StatusCreated:
				created++
			case answer.status == http.StatusOK && !answer.replayed:
				c.breaks("key %s: the hold %s came again without Idempotent-Replayed", a.key, a.hold.id)
			case answer.body.Code == "sold_out" && answer.sent > a.hold.known+takesToShow:
				c.breaks("key %s: it has the hold %s since %s, and was refused as sold out at %s", a.key, a.hold.id, seconds(a.hold.known), seconds(answer.received))
			}
		}
		if created > 1 {
			c.breaks("key %s: %d answers say that they created a hold", a.key, created)
		}
	}
}

// takesToShow is how long the gate may not know of a key that was granted, at most (docs/decisions.md says when).
const takesToShow = 5 * time.Second

// checkGrants compares what the grant said with what was asked for, and with what the server keeps.
func (r *rush) checkGrants(c *Check) {
	for _, a := range r.attempts() {
		h := a.hold
		if h == nil {
			continue
		}
		c.looks()
		for i := range a.answers {
			if b := a.answers[i].body; a.answers[i].ok() && (b.ProductID != r.product || b.Qty != a.qty) {
				c.breaks("%s: asked for %d units of %s, the grant says %d of %q", h.id, a.qty, r.product, b.Qty, b.ProductID)
			}
		}
		said, kept := h.granted, h.finalHold
		if kept != nil && kept.ok() && (!kept.body.ExpiresAt.Equal(said.ExpiresAt) || !kept.body.CreatedAt.Equal(said.CreatedAt)) {
			c.breaks("%s: granted from %s to %s, the server has %s to %s", h.id, said.CreatedAt, said.ExpiresAt, kept.body.CreatedAt, kept.body.ExpiresAt)
		}
		if usual := r.usualTTL(); h.ttl < usual-rounding || h.ttl > usual+rounding {
			c.breaks("%s: it lasts %s, others %s", h.id, h.ttl, usual)
		}
		for i := range h.acts {
			if act := &h.acts[i]; act.op == LookHold && act.ok() && act.body.ID != h.id {
				c.breaks("%s: asked for it, the answer is of %s", h.id, act.body.ID)
			}
		}
	}
}

// usualTTL is how long holds last: as the server was told, if that is known, else as the first hold does.
func (r *rush) usualTTL() time.Duration {
	if r.HoldTTL > 0 {
		return r.HoldTTL
	}
	return r.holds()[0].ttl
}

func (r *rush) checkHoldsThere(c *Check) {
	for _, h := range r.holds() {
		c.looks()
		final := h.finalHold
		if final == nil || final.lost() || final.busy() {
			continue
		}
		if final.status != http.StatusOK || final.body.ID != h.id || final.body.ProductID != r.product || final.body.Qty != h.qty {
			c.breaks("%s: granted with %d units of %s, the server answers %d %s with %d of %q", h.id, h.qty, r.product,
				final.status, final.body.Code, final.body.Qty, final.body.ProductID)
		}
	}
}

// checkEarly: an end by time that was seen before the earliest instant at which the time can have been over.
func (r *rush) checkEarly(c *Check) {
	for _, h := range r.holds() {
		c.looks()
		for i := range h.acts {
			a := &h.acts[i]
			expired := a.body.Code == "hold_expired" || (a.op == LookHold && a.body.state() == "expired")
			if expired && a.received < h.earliestEnd() {
				c.breaks("%s: asked for at %s and granted for %s, it had expired at %s", h.id, seconds(h.asked), h.ttl, seconds(a.received))
			}
			r.checkEarlyOrder(c, h, &a.answer)
		}
		if f := h.finalHold; f != nil && f.body.state() == "expired" && f.received < h.earliestEnd() {
			c.breaks("%s: asked for at %s and granted for %s, it had expired at %s", h.id, seconds(h.asked), h.ttl, seconds(f.received))
		}
		if f := h.finalHold; f != nil && f.body.state() == "active" && f.sent > h.latestEnd() {
			c.breaks("%s: granted at %s for %s, it was still active at %s", h.id, seconds(h.known), h.ttl, seconds(f.sent))
		}
		if h.finalOrder != nil {
			r.checkEarlyOrder(c, h, h.finalOrder)
		}
	}
}

func (r *rush) checkEarlyOrder(c *Check, h *hold, a *answer) {
	if a.body.Reason != "payment_timeout" || h.window == 0 {
		return
	}
	if first := h.firstSent(isOrdering); a.received < first+h.window-rounding {
		c.breaks("%s: ordered at %s at the earliest, with %s to pay, its time was over at %s", h.orderID(), seconds(first), h.window, seconds(a.received))
	}
}

func (r *rush) checkHoldEnds(c *Check) {
	for _, h := range r.holds() {
		c.looks()
		if h.finalHold == nil || h.finalHold.status != http.StatusOK {
			continue
		}
		state := h.finalHold.body.state()
		if by := h.orderedBy(); by < forever && state != "ordered" {
			c.breaks("%s: its order was there at %s, but it is %s", h.id, seconds(by), state)
		}
		for i := range h.acts {
			if a := &h.acts[i]; isRelease(a) && a.ok() && a.sent > h.orderedBy() {
				c.breaks("%s: its order was there at %s, and it was released at %s", h.id, seconds(h.orderedBy()), seconds(a.received))
			}
		}
		switch state {
		case "ordered":
			if !h.any(isOrdering) {
				c.breaks("%s: it is ordered, but nobody ordered or paid it", h.id)
			}
		case "released":
			if !h.any(isRelease) {
				c.breaks("%s: it is released, but nobody released it", h.id)
			}
		case "active", "expired":
			if at, freed := h.freed(); freed {
				c.breaks("%s: it was released at %s, in its time, but is %s", h.id, seconds(at), state)
			}
		default:
			c.breaks("%s: it is %q, which is not a state of a hold", h.id, state)
		}
	}
}

// freed returns when a release was answered that must have released the hold: it was neither ordered nor over.
func (h *hold) freed() (time.Duration, bool) {
	for i := range h.acts {
		if a := &h.acts[i]; isRelease(a) && a.ok() && a.received < h.earliestEnd() && !h.sentBefore(a.received, isOrdering) {
			return a.received, true
		}
	}
	return 0, false
}

func seconds(d time.Duration) string { return d.Round(time.Millisecond).String() }
