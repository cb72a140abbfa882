package simulator

import "fmt"

// evidence is everything that the checks see. Tests write it by hand.
type evidence struct {
	Options
	histories   []*history
	samples     []Sample  // of the product, in order
	probe       *attempt  // one more hold at the end; nil: no units were left to try
	leftovers   Sample    // when it was tried
	final       Sample    // the product at the end
	auditBefore []Finding // the sale
	auditAfter  []Finding
	owed        map[string]int64 // by order, in minor units, as the server lists it at the end; nil: the list is not complete
}

// attempts returns every attempt of every shopper.
func (e *evidence) attempts() (all []*attempt) {
	for _, b := range e.histories {
		all = append(all, b.attempts...)
	}
	return all
}

// attemptsAndProbe also returns the simulation's own attempt at the end.
func (e *evidence) attemptsAndProbe() []*attempt {
	if e.probe == nil {
		return e.attempts()
	}
	return append(e.attempts(), e.probe)
}

// holds returns every hold that a shopper knows of.
func (e *evidence) holds() (all []*hold) {
	for _, b := range e.histories {
		all = append(all, b.holds()...)
	}
	return all
}

// responses calls see with every response, and its subject.
func (e *evidence) responses(see func(a *response, subject string)) {
	for _, b := range e.histories {
		for i := range b.badLooks {
			see(&b.badLooks[i], e.Product)
		}
		for i := range b.foreign {
			see(&b.foreign[i].response, b.foreign[i].request)
		}
		for i := range b.lists {
			see(&b.lists[i], "a shopper's list")
		}
	}
	for _, a := range e.attemptsAndProbe() {
		for i := range a.responses {
			see(&a.responses[i], "key "+a.key)
		}
		if a.hold == nil {
			continue
		}
		for _, act := range a.hold.actions {
			see(&act.response, a.hold.id)
		}
		for _, final := range []*response{a.hold.finalHold, a.hold.finalOrder} {
			if final != nil {
				see(final, a.hold.id)
			}
		}
	}
}

// maxEvidence limits how many cases of a broken invariant a report shows. It counts all of them.
const maxEvidence = 10

// Check is the result for one invariant.
type Check struct {
	Name     string   `json:"name"`
	Says     string   `json:"says"` // the invariant in words
	Holds    bool     `json:"holds"`
	LookedAt int      `json:"looked_at"`
	Broken   int      `json:"broken"`
	Evidence []string `json:"evidence"` // the first cases

	Requests []string `json:"requests,omitempty"` // the ids of the requests in the evidence, to find them in the server's log
	Cause    string   `json:"cause,omitempty"`    // from that log
}

// looks counts one thing that the check examined.
func (c *Check) looks() { c.LookedAt++ }

// breaks records a case in which the invariant does not hold.
func (c *Check) breaks(format string, args ...any) {
	c.Broken++
	if len(c.Evidence) < maxEvidence {
		c.Evidence = append(c.Evidence, fmt.Sprintf(format, args...))
	}
}

// invariants are all checks, in the order of a purchase. Every check is sound: it reports only what no delay, lost
// response or other customer can explain.
var invariants = []struct {
	name, says string
	run        func(e *evidence, c *Check)
}{
	{"no_internal_error", "No response is an internal error.", (*evidence).checkInternal},
	{"answers_are_the_contracts", "Every response is one that the contract allows for its operation.", (*evidence).checkContract},
	{"one_key_one_hold", "One idempotency key makes one hold, and every response to the key shows that hold.", (*evidence).checkKeys},
	{"grants_are_true", "Every grant shows the product, the quantity and the times that the server keeps, and all holds last equally long.", (*evidence).checkGrants},
	{"holds_are_there", "The server still has every hold that it granted, with its product and quantity.", (*evidence).checkHoldsThere},
	{"no_hold_ends_early", "No hold and no order ends by time before its time is over, and no hold outlasts its time.", (*evidence).checkEarly},
	{"holds_end_for_a_reason", "A hold is ordered, released or expired only if its shopper caused it or its time is over.", (*evidence).checkHoldEnds},
	{"orders_are_their_holds", "A hold makes at most one order, with its id, product and quantity, at price × quantity.", (*evidence).checkOrders},
	{"orders_end_for_a_reason", "An order is paid, cancelled or due for a refund only if an action leads to that state.", (*evidence).checkOrderEnds},
	{"paid_once", "Each order whose units are sold has a payment of its amount.", (*evidence).checkPaidOnce},
	{"no_money_is_lost", "Every successful payment made its order paid, or shows as a refund due, for a true reason.", (*evidence).checkMoney},
	{"nobody_is_out_of_pocket", "Money that is not the price of units sold went back to its shopper, or is listed as owed.", (*evidence).checkPurses},
	{"events_apply_once", "A payment event is applied at most once, however often it is delivered.", (*evidence).checkEvents},
	{"sold_out_is_true", "No shopper is told \"sold out\" while units are certainly left.", (*evidence).checkSoldOut},
	{"never_oversold", "At no instant do the shoppers certainly have more units than the stock.", (*evidence).checkOversold},
	{"limit_is_kept", "No shopper ever has more units than the limit: held, ordered and sold.", (*evidence).checkLimitKept},
	{"limit_is_true", "The limit refuses no shopper who would stay within it.", (*evidence).checkLimitTrue},
	{"shoppers_reach_their_own", "A shopper gets 404 for others' holds and orders, and its list has all of its own.", (*evidence).checkOwn},
	{"stock_adds_up", "In every read of the product, available + reserved + sold is the stock, and none is negative.", (*evidence).checkAddsUp},
	{"reads_are_fresh", "A read of the product is at most two seconds old (five, for a slow machine).", (*evidence).checkFresh},
	{"sold_is_what_was_paid", "The server's count of units sold is the sum of the paid orders.", (*evidence).checkSold},
	{"reserved_is_what_is_held", "The server's count of reserved units is the sum of active holds and unpaid orders: the others have returned.", (*evidence).checkReserved},
	{"leftovers_can_be_bought", "If the server shows units as available at the end, a shopper can hold one.", (*evidence).checkLeftovers},
	{"audit", "The audit recomputes every counter from the rows, and finds nothing that it had not found before the sale.", (*evidence).checkAudit},
}

// check runs every check.
func (e *evidence) check() []Check {
	checks := make([]Check, len(invariants))
	for i, invariant := range invariants {
		c := &checks[i]
		*c = Check{Name: invariant.name, Says: invariant.says, Evidence: []string{}}
		invariant.run(e, c)
		c.Holds = c.Broken == 0
	}
	return checks
}

// auditLimit is how many findings of one check an audit lists at most.
const auditLimit = 100

// checkAudit ignores everything that was broken before the sale, even if others make it worse meanwhile. If the list
// from before was cut off, only findings about this sale's product, holds and orders are certainly new.
func (e *evidence) checkAudit(c *Check) {
	before, listed := map[Finding]bool{}, map[string]int{}
	for _, f := range e.auditBefore {
		before[Finding{Check: f.Check, Entity: f.Entity}] = true // without the detail, because its numbers change
		listed[f.Check]++
	}
	ours := map[string]bool{e.Product: true}
	for _, h := range e.holds() {
		ours[h.id], ours[h.orderID()] = true, true
	}
	c.looks()
	for _, f := range e.auditAfter {
		if ours[f.Entity] || (!before[Finding{Check: f.Check, Entity: f.Entity}] && listed[f.Check] < auditLimit) {
			c.breaks("%s: %s: %s", f.Check, f.Entity, f.Detail)
		}
	}
}
