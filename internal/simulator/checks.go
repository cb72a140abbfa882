package simulator

import "fmt"

// maxEvidence is how many cases of a broken invariant are told; all are counted.
const maxEvidence = 10

// Check is one invariant, and what was found about it.
type Check struct {
	Name     string   `json:"name"`
	Says     string   `json:"says"` // the invariant in words
	Holds    bool     `json:"holds"`
	LookedAt int      `json:"looked_at"`
	Broken   int      `json:"broken"`
	Evidence []string `json:"evidence"` // the first cases

	Requests []string `json:"requests,omitempty"` // the ids of those in the evidence, for who can read the server's log
	Cause    string   `json:"cause,omitempty"`    // what that log says of the first of them
}

// looks counts one thing that was looked at.
func (c *Check) looks() { c.LookedAt++ }

// breaks notes a case in which the invariant does not hold.
func (c *Check) breaks(format string, args ...any) {
	c.Broken++
	if len(c.Evidence) < maxEvidence {
		c.Evidence = append(c.Evidence, fmt.Sprintf(format, args...))
	}
}

// invariants is everything that is checked, in the order of a purchase. Every check is sound: it takes as the server's
// defect only what no delay, lost answer or other customer can explain.
var invariants = []struct {
	name, says string
	run        func(r *rush, c *Check)
}{
	{"no_internal_error", "No request was answered with an internal error.", (*rush).checkInternal},
	{"answers_are_the_contracts", "Every answer is one that the contract has for its operation.", (*rush).checkContract},
	{"one_key_one_hold", "One idempotency key made one hold, and every answer to it shows the same one.", (*rush).checkKeys},
	{"grants_are_true", "Every grant shows the product, the quantity and the times that the server keeps, and all holds last equally long.", (*rush).checkGrants},
	{"holds_are_there", "Every hold that was granted is at the server, with its product and quantity.", (*rush).checkHoldsThere},
	{"no_hold_ends_early", "No hold and no order ended before its time was over.", (*rush).checkEarly},
	{"holds_end_for_a_reason", "A hold is ordered, released or expired only if its shopper did that or its time was over.", (*rush).checkHoldEnds},
	{"orders_are_their_holds", "A hold made at most one order, with its id, product and quantity, at price × quantity.", (*rush).checkOrders},
	{"orders_end_for_a_reason", "An order is paid, cancelled or to be refunded only if something was done that does that.", (*rush).checkOrderEnds},
	{"paid_once", "Every paid order was paid by exactly one event.", (*rush).checkPaidOnce},
	{"no_money_is_lost", "Every successful payment made its order paid, or shows as a refund that is due, for a true reason.", (*rush).checkMoney},
	{"events_apply_once", "A payment event was applied at most once, however often it was delivered.", (*rush).checkEvents},
	{"sold_out_is_true", "Nobody was told \"sold out\" before enough had been asked for.", (*rush).checkSoldOut},
	{"never_oversold", "At no instant did the shoppers surely have more units than the stock.", (*rush).checkOversold},
	{"stock_adds_up", "Whenever the product was read, available + reserved + sold was the stock, and none was negative.", (*rush).checkAddsUp},
	{"reads_are_fresh", "Whoever reads the product again never sees it older than two seconds (five, for a machine that stumbles).", (*rush).checkFresh},
	{"sold_is_what_was_paid", "The units sold by the server's count are those of the paid orders.", (*rush).checkSold},
	{"reserved_is_what_is_held", "The units reserved by the server's count are those of active holds and unpaid orders: what ended is back.", (*rush).checkReserved},
	{"leftovers_can_be_bought", "What the server shows as available at the end can be held.", (*rush).checkLeftovers},
}

// check runs every check on the books, and adds what the audit found that it had not found before the sale.
func (r *rush) check(audit []Finding) []Check {
	checks := make([]Check, 0, len(invariants)+1)
	for _, i := range invariants {
		c := Check{Name: i.name, Says: i.says, Evidence: []string{}}
		i.run(r, &c)
		c.Holds = c.Broken == 0
		checks = append(checks, c)
	}
	c := Check{Name: "audit", Says: "The audit recomputes every counter from the rows, and finds nothing that it had not found before the sale.", Evidence: []string{}}
	r.checkAudit(&c, audit)
	c.Holds = c.Broken == 0
	return append(checks, c)
}

// auditLimit is how many findings of one check an audit lists at most.
const auditLimit = 100

// checkAudit leaves out what was broken before the sale: it is not this sale's doing, even if others make it worse
// meanwhile. Where an audit could not list all that was broken before, only findings of this sale's own product, holds and
// orders are sure to be new.
func (r *rush) checkAudit(c *Check, after []Finding) {
	before, listed := map[Finding]bool{}, map[string]int{}
	for _, f := range r.before {
		f.Detail = "" // it has numbers that change
		before[f] = true
		listed[f.Check]++
	}
	ours := map[string]bool{r.Product: true}
	for _, h := range r.holds() {
		ours[h.id], ours[h.orderID()] = true, true
	}
	c.looks()
	for _, f := range after {
		if ours[f.Entity] || (!before[Finding{Check: f.Check, Entity: f.Entity}] && listed[f.Check] < auditLimit) {
			c.breaks("%s: %s: %s", f.Check, f.Entity, f.Detail)
		}
	}
}
