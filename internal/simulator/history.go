package simulator

import (
	"math"
	"time"

	"flashsale/pkg/checkout"
)

// forever is later than every instant.
const forever = time.Duration(math.MaxInt64)

// rounding bounds the error of a duration between two of the contract's timestamps, which are whole milliseconds.
const rounding = 2 * time.Millisecond

// history is everything that one shopper did and saw.
type history struct {
	arrived  bool
	greedy   bool
	token    string // of its sign-in
	attempts []*attempt
	looks    int        // at the product
	badLooks []response // only those that a check has to see: there are too many to keep all
	foreign  []foreign  // what it tried with others' holds and orders
	lists    []response // the pages of its list of holds at the end; none: it was not read
}

// foreign is a request about another shopper's hold or order.
type foreign struct {
	response
	request string // its method and path
}

// holds returns the holds that the shopper knows of.
func (b *history) holds() (all []*hold) {
	for _, a := range b.attempts {
		if a.hold != nil {
			all = append(all, a.hold)
		}
	}
	return all
}

// attempt is one idempotency key with every response to it, or one request without a key.
type attempt struct {
	key       string // empty: none
	token     string // of the shopper's sign-in
	qty       int64
	responses []response
	hold      *hold // nil: the shopper knows of none
}

// uncertain reports whether the server may have placed a hold that no response showed. A busy response counts too: the
// server may have lost the database's response.
func (a *attempt) uncertain() bool {
	if a.hold != nil {
		return false
	}
	for _, r := range a.responses {
		if r.lost() || r.busy() {
			return true
		}
	}
	return false
}

func (a *attempt) firstSent() time.Duration {
	first := forever
	for _, r := range a.responses {
		first = min(first, r.sent)
	}
	return first
}

func (a *attempt) refused() bool {
	for _, r := range a.responses {
		if r.body.Code == "sold_out" {
			return true
		}
	}
	return false
}

// add records a response, and the hold if this response is the first that shows it.
func (a *attempt) add(r response) {
	a.responses = append(a.responses, r)
	if r.ok() && r.body.ID != "" {
		if a.hold == nil {
			a.hold = &hold{id: r.body.ID, token: a.token, qty: a.qty, ttl: r.body.ExpiresAt.Sub(r.body.CreatedAt), known: r.received, granted: r.body}
		}
		a.hold.known = min(a.hold.known, r.received) // two responses may arrive in either order
	}
	if a.hold != nil {
		a.hold.asked = a.firstSent()
	}
}

// hold is a granted hold with every action on it.
type hold struct {
	id      string
	token   string // of its shopper's sign-in
	qty     int64
	asked   time.Duration // the server placed it no earlier
	known   time.Duration // the server placed it no later
	ttl     time.Duration
	actions []*action

	granted body          // of the first response that showed it
	window  time.Duration // its order's time to pay; 0: no response showed it

	finalHold, finalOrder *response // the server's state at the end
}

// earliestEnd is the first instant at which the hold may have expired. Only the shopper's clock is in it, so no
// difference between clocks matters.
func (h *hold) earliestEnd() time.Duration { return h.asked + h.ttl - rounding }

// latestEnd is the last instant at which the hold may have been active.
func (h *hold) latestEnd() time.Duration { return h.known + h.ttl + rounding }

// earliestFree is the first instant at which the server may have freed the units by time alone.
func (h *hold) earliestFree() time.Duration {
	if h.orderedBy() < forever && h.window > 0 {
		return h.firstSent(isOrder) + h.window - rounding
	}
	return h.earliestEnd()
}

func (h *hold) orderID() string {
	if len(h.id) < len("hold_") {
		return ""
	}
	return "ord_" + h.id[len("hold_"):]
}

func (h *hold) finalOrderState() string {
	if h.finalOrder == nil {
		return ""
	}
	return h.finalOrder.body.state()
}

// action is one request about a hold, its order or its payment.
type action struct {
	response
	event string // a payment event's id
	kind  string // its type
	text  []byte // its body
	right bool   // its amount is the order's
	says  checkout.PaymentEvent
}

// add records an action, and the order's time to pay if the response shows it.
func (h *hold) add(a action) {
	h.actions = append(h.actions, &a)
	if a.ok() && !a.body.PayBy.IsZero() && h.window == 0 {
		h.window = a.body.PayBy.Sub(a.body.CreatedAt)
	}
}

// firstSent is when the first action that matches was sent, forever if there is none.
func (h *hold) firstSent(matches func(a *action) bool) time.Duration {
	first := forever
	for _, a := range h.actions {
		if matches(a) {
			first = min(first, a.sent)
		}
	}
	return first
}

// any reports whether an action matches.
func (h *hold) any(matches func(a *action) bool) bool { return h.firstSent(matches) < forever }

// The kinds of actions.
func isRelease(a *action) bool   { return a.op == Release }
func isOrder(a *action) bool     { return a.op == Order }
func isCancel(a *action) bool    { return a.op == Cancel }
func isSuccess(a *action) bool   { return a.kind == succeeded }
func isRight(a *action) bool     { return a.kind == succeeded && a.right }
func isWrong(a *action) bool     { return a.kind == succeeded && !a.right }
func isFailure(a *action) bool   { return a.kind == failed }
func isRefund(a *action) bool    { return a.kind == refunded && a.right }
func isRefundOff(a *action) bool { return a.kind == refundFailed }
func isLost(a *action) bool      { return a.kind == disputeClosed }

// isStored reports whether the server has kept a payment event, and not applied it yet.
func (a *action) isStored() bool { return a.body.Result == string(checkout.PaymentStored) }

func isApplied(a *action) bool  { return a.body.Result == "applied" }
func isOK(a *action) bool       { return a.ok() }
func isMatched(a *action) bool  { return a.ok() && a.body.Result != "unmatched" }
func isOrdering(a *action) bool { return isOrder(a) || isSuccess(a) }
func isFreeing(a *action) bool {
	return isRelease(a) || isCancel(a) || isFailure(a) || isWrong(a) || isRefund(a)
} // a refund may come before its payment

func both(one, other func(a *action) bool) func(a *action) bool {
	return func(a *action) bool { return one(a) && other(a) }
}

// orderedBy is when a response first showed the order unpaid: the units were reserved until then. It is forever if no
// response did.
func (h *hold) orderedBy() time.Duration {
	at := forever
	for _, a := range h.actions {
		if isOrder(a) && a.ok() && a.body.state() == "pending_payment" {
			at = min(at, a.received)
		}
	}
	return at
}

// paidBy is when a response first showed the order paid, forever if none did.
func (h *hold) paidBy() time.Duration {
	at := forever
	for _, a := range h.actions {
		if a.ok() && (a.body.OrderStatus == "paid" || (a.op != LookHold && a.body.state() == "paid")) {
			at = min(at, a.received)
		}
	}
	if h.finalOrderState() == "paid" {
		at = min(at, h.finalOrder.received)
	}
	return at
}

// sold reports whether the units are sold at the end. A refund does not put them back on sale, even one that failed; a
// payment that was refunded before it arrived takes none.
func (h *hold) sold() bool {
	state := h.finalOrderState()
	return state == "paid" || ((state == "refunded" || (state == "refund_due" && h.any(isRefundOff))) && h.paidBy() < forever)
}

// span is a time in which units were certainly taken.
type span struct {
	from, to time.Duration
	hold     *hold
}

// taken returns when the hold's units were certainly reserved or sold: from a response that showed it to the first instant
// at which anything may have freed them.
func (h *hold) taken() (spans []span) {
	end := min(h.earliestFree(), h.firstSent(isFreeing))
	paid := h.paidBy()
	if paid < end { // sold before anything could free them
		return []span{{h.known, forever, h}}
	}
	if h.known < end {
		spans = append(spans, span{h.known, end, h})
	}
	if paid < forever {
		spans = append(spans, span{paid, forever, h})
	}
	return spans
}
