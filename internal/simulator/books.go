package simulator

import (
	"math"
	"time"
)

// forever is later than everything.
const forever = time.Duration(math.MaxInt64)

// rounding is how much an instant of the contract, in whole milliseconds, may be off, twice.
const rounding = 2 * time.Millisecond

// book is what one shopper knows: its attempts to get a hold, and what became of the hold that it got.
type book struct {
	arrived  bool
	attempts []*attempt
	looked   int
	looks    []answer // only those with something wrong
}

// attempt is one idempotency key, and every answer to it.
type attempt struct {
	key     string
	qty     int64
	answers []answer
	hold    *hold // nil: none that the shopper knows of
}

// uncertain reports whether the server may have placed a hold that no answer told of: busy may also be the answer when
// the server lost the database's.
func (a *attempt) uncertain() bool {
	if a.hold != nil {
		return false
	}
	for _, answer := range a.answers {
		if answer.lost() || answer.busy() {
			return true
		}
	}
	return false
}

func (a *attempt) firstSent() time.Duration {
	first := forever
	for _, answer := range a.answers {
		first = min(first, answer.sent)
	}
	return first
}

// lastLost is when the last request without an answer was given up, 0 if there is none.
func lastLost(answers []answer) (at time.Duration) {
	for _, a := range answers {
		if a.lost() {
			at = max(at, a.received)
		}
	}
	return at
}

// learn books an answer to the key's request, and the hold when it tells of one for the first time.
func (a *attempt) learn(answer answer) {
	a.answers = append(a.answers, answer)
	if answer.ok() && answer.body.ID != "" {
		if a.hold == nil {
			a.hold = &hold{id: answer.body.ID, qty: a.qty, ttl: answer.body.ExpiresAt.Sub(answer.body.CreatedAt), known: answer.received, granted: answer.body}
		}
		a.hold.known = min(a.hold.known, answer.received) // two answers may come in either order
	}
	if a.hold != nil {
		a.hold.asked = a.firstSent()
	}
}

// hold is one that was granted, and everything that was done about it.
type hold struct {
	id    string
	qty   int64
	asked time.Duration // it was placed at the earliest then
	known time.Duration // and at the latest then
	ttl   time.Duration
	acts  []act

	granted body // the answer that told of it first

	window     time.Duration // how long its order waits for its payment; 0: no answer told
	finalHold  *answer       // what the server says of it at the end
	finalOrder *answer
}

// earliestEnd is the first instant at which the hold may have expired: no clock but the shopper's, and no difference
// between clocks, is in it.
func (h *hold) earliestEnd() time.Duration { return h.asked + h.ttl - rounding }

// latestEnd is when it has expired at the latest.
func (h *hold) latestEnd() time.Duration { return h.known + h.ttl + rounding }

func (h *hold) orderID() string {
	if len(h.id) < len("hold_") {
		return ""
	}
	return "ord_" + h.id[len("hold_"):]
}

// act is one request about a hold, its order or its payment.
type act struct {
	answer
	event string // the event's id, of a payment event
	kind  string // its type
	text  []byte // its body
	right bool   // its amount is the order's
}

func (h *hold) did(a act) { h.acts = append(h.acts, a) }

// firstSent is when an act of which it is true was first sent, forever if there is none.
func (h *hold) firstSent(is func(a *act) bool) time.Duration {
	first := forever
	for i := range h.acts {
		if is(&h.acts[i]) {
			first = min(first, h.acts[i].sent)
		}
	}
	return first
}

// sentBefore reports whether such an act had been sent when the given instant came.
func (h *hold) sentBefore(at time.Duration, is func(a *act) bool) bool { return h.firstSent(is) < at }

// any reports whether there is such an act.
func (h *hold) any(is func(a *act) bool) bool { return h.firstSent(is) < forever }

// What acts can be.
func isRelease(a *act) bool  { return a.op == Release }
func isOrder(a *act) bool    { return a.op == Order }
func isCancel(a *act) bool   { return a.op == Cancel }
func isSuccess(a *act) bool  { return a.kind == succeeded }
func isRight(a *act) bool    { return a.kind == succeeded && a.right }
func isWrong(a *act) bool    { return a.kind == succeeded && !a.right }
func isFailure(a *act) bool  { return a.kind == failed }
func isRefund(a *act) bool   { return a.kind == refunded }
func isApplied(a *act) bool  { return a.body.Result == "applied" }
func isDone(a *act) bool     { return a.ok() }
func isMatched(a *act) bool  { return a.ok() && a.body.Result != "unmatched" }
func isOrdering(a *act) bool { return isOrder(a) || isSuccess(a) }

// both is true of an act of which two things are.
func both(one, other func(a *act) bool) func(a *act) bool {
	return func(a *act) bool { return one(a) && other(a) }
}

// orderedBy is when an answer first showed an order that waits for its payment: it was made of the active hold, so the
// units had been reserved until then. forever: none did.
func (h *hold) orderedBy() time.Duration {
	at := forever
	for i := range h.acts {
		if a := &h.acts[i]; isOrder(a) && a.ok() && a.body.state() == "pending_payment" {
			at = min(at, a.received)
		}
	}
	return at
}

// paidBy is when an answer first showed the order paid, forever if none did.
func (h *hold) paidBy() time.Duration {
	at := forever
	for i := range h.acts {
		if a := &h.acts[i]; a.ok() && (a.body.OrderStatus == "paid" || (a.op != LookHold && a.body.state() == "paid")) {
			at = min(at, a.received)
		}
	}
	if h.finalOrder != nil && h.finalOrder.body.state() == "paid" {
		at = min(at, h.finalOrder.received)
	}
	return at
}

// sold reports whether the server says at the end that the units are sold: a refund does not put them back on sale.
func (h *hold) sold() bool {
	if h.finalOrder == nil {
		return false
	}
	status, reason := h.finalOrder.body.state(), h.finalOrder.body.Reason
	return status == "paid" || (status == "refunded" && reason == "")
}

// span is a time in which units were surely taken.
type span struct {
	from, to time.Duration
	hold     *hold
}

// taken returns when the hold's units surely were reserved or sold: from an answer that said so to the first instant at
// which anything could have ended it.
func (h *hold) taken() (spans []span) {
	end := h.earliestEnd()
	if h.orderedBy() < forever && h.window > 0 {
		end = h.firstSent(isOrder) + h.window - rounding
	}
	end = min(end, h.firstSent(isRelease), h.firstSent(isCancel), h.firstSent(isFailure), h.firstSent(isWrong))
	if h.known < end {
		spans = append(spans, span{h.known, end, h})
	}
	if paid := h.paidBy(); paid < forever && end < forever {
		spans = append(spans, span{max(paid, end), forever, h})
		if paid < end { // sold before it could have ended, so it never did
			spans[0].to = forever
			spans = spans[:1]
		}
	}
	return spans
}
