package simulator

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestChecksAcceptCorrectSale(t *testing.T) {
	s := correctSale()
	s.tell()
	for _, c := range s.check() {
		if !c.Holds {
			t.Errorf("%s is broken by a correct sale: %v", c.Name, c.Evidence)
		}
		if c.LookedAt == 0 {
			t.Errorf("%s checked nothing: the sale does not exercise it", c.Name)
		}
	}
}

// defects are histories that a correct server cannot produce, each with the checks that must find it, and no others.
var defects = map[string]struct {
	make   func(s *story)
	breaks []string
}{
	"an internal error": {func(s *story) {
		s.refused.responses[0].status, s.refused.responses[0].body = 500, body{Code: "internal", RequestID: "r1"}
	}, []string{"no_internal_error"}},
	"a refusal that the contract does not have": {func(s *story) {
		s.refused.responses[0].body.Code = "sale_ended"
	}, []string{"answers_are_the_contracts"}},
	"a look at the product that the contract does not have": {func(s *story) {
		s.histories[0].look(at(time.Second, Look, 404, body{Code: "product_not_found"}))
	}, []string{"answers_are_the_contracts"}},
	"a key that made two holds": {func(s *story) {
		s.attempt(s.buyer).responses[1].body.ID = "hold_other"
	}, []string{"one_key_one_hold"}},
	"a hold that two keys got": {func(s *story) {
		s.attempt(s.lapsed).hold.id = s.refunded.id
		s.attempt(s.lapsed).responses[0].body.ID = s.refunded.id
		s.lapsed.actions[0].body.ID, s.lapsed.finalHold.body.ID = s.refunded.id, s.refunded.id
	}, []string{"one_key_one_hold"}},
	"a replay that does not say so": {func(s *story) {
		s.attempt(s.buyer).responses[1].replayed = false
	}, []string{"one_key_one_hold"}},
	"a replay that says it created the hold": {func(s *story) {
		s.attempt(s.buyer).responses[1].status = 201
	}, []string{"one_key_one_hold"}},
	"a replay that is refused long after the grant": {func(s *story) {
		s.attempt(s.buyer).responses[1] = at(30*time.Second, Place, 409, body{Code: "sold_out"})
	}, []string{"one_key_one_hold"}},
	"a grant of another quantity": {func(s *story) {
		s.attempt(s.buyer).responses[0].body.Qty = 1
	}, []string{"grants_are_true"}},
	"a hold whose times change": {func(s *story) {
		s.lapsed.finalHold.body.ExpiresAt = opened.Add(time.Hour)
	}, []string{"grants_are_true"}},
	"a hold that lasts a third of its time": {func(s *story) {
		s.lapsed.ttl = testTTL / 3
	}, []string{"grants_are_true"}},
	"a read that returns another hold": {func(s *story) {
		s.lapsed.actions[0].body.ID = "hold_other"
	}, []string{"grants_are_true"}},
	"a hold that is gone": {func(s *story) {
		*s.releaser.finalHold = at(theEnd, LookHold, 404, body{Code: "hold_not_found"})
	}, []string{"answers_are_the_contracts", "holds_are_there"}},
	"a hold whose quantity changes": {func(s *story) {
		s.releaser.finalHold.body.Qty = 4
	}, []string{"holds_are_there"}},
	"a hold that expires early": {func(s *story) {
		s.lapsed.actions[1].sent, s.lapsed.actions[1].received = 23*time.Second, 23*time.Second
	}, []string{"no_hold_ends_early"}},
	"a hold that never expires": {func(s *story) {
		s.lapsed.finalHold.body.Status = "active"
	}, []string{"no_hold_ends_early"}},
	"an order that times out early": {func(s *story) {
		s.idler.add(action{response: at(3*time.Second, LookOrder, 200, s.orderBody(s.idler, "cancelled", "payment_timeout"))})
	}, []string{"no_hold_ends_early"}},
	"a release without effect": {func(s *story) {
		s.releaser.finalHold.body.Status = "expired"
	}, []string{"holds_end_for_a_reason"}},
	"a hold that is released without a request": {func(s *story) {
		s.lapsed.finalHold.body.Status = "released"
	}, []string{"holds_end_for_a_reason"}},
	"a hold that is ordered without a request": {func(s *story) {
		s.releaser.finalHold.body.Status = "ordered"
	}, []string{"holds_end_for_a_reason"}},
	"a state that holds do not have": {func(s *story) {
		s.lapsed.finalHold.body.Status = "lost"
	}, []string{"holds_end_for_a_reason"}},
	"a release of an ordered hold": {func(s *story) {
		s.release(s.idler, 2*time.Second)
	}, []string{"holds_end_for_a_reason"}},
	"an order that leaves its hold active": {func(s *story) {
		s.buyer.finalHold.body.Status = "released"
	}, []string{"holds_end_for_a_reason"}},
	"an order at another price": {func(s *story) {
		s.buyer.finalOrder.body.Amount.Amount--
	}, []string{"orders_are_their_holds"}},
	"an order that is gone": {func(s *story) {
		s.end(s.canceller, "ordered", "", "")
	}, []string{"orders_are_their_holds"}},
	"an order of an expired hold": {func(s *story) {
		s.lapsed.actions[1].response = at(26*time.Second, Order, 201, s.orderBody(s.lapsed, "pending_payment", ""))
		s.end(s.lapsed, "ordered", "cancelled", "payment_timeout")
	}, []string{"orders_are_their_holds"}},
	"an order that is cancelled without a request": {func(s *story) {
		s.end(s.idler, "ordered", "cancelled", "customer")
	}, []string{"orders_end_for_a_reason"}},
	"an unpaid order that never ends": {func(s *story) {
		s.end(s.idler, "ordered", "pending_payment", "")
	}, []string{"orders_end_for_a_reason"}},
	"a cancellation without effect": {func(s *story) {
		s.canceller.finalOrder.body.Status, s.canceller.finalOrder.body.Reason = "pending_payment", ""
		s.canceller.finalOrder.sent = 2 * time.Second // while it is not yet due
	}, []string{"orders_end_for_a_reason"}},
	"a cancellation of a paid order": {func(s *story) {
		s.cancel(s.buyer, 2*time.Second)
	}, []string{"orders_end_for_a_reason"}},
	"a second payment that is not owed": {func(s *story) {
		s.pay(s.buyer, 2*time.Second, "evt_again", succeeded, "applied", "paid")
	}, []string{"nobody_is_out_of_pocket"}},
	"money owed that the server does not list": {func(s *story) {
		delete(s.owed, s.late.orderID())
	}, []string{"nobody_is_out_of_pocket"}},
	"an order that is paid without a payment": {func(s *story) {
		s.end(s.idler, "ordered", "paid", "")
	}, []string{"orders_end_for_a_reason", "paid_once", "sold_is_what_was_paid"}},
	"a payment without effect": {func(s *story) {
		s.end(s.late, "expired", "", "")
	}, []string{"no_money_is_lost"}},
	"a payment in time that counts as late": {func(s *story) {
		s.end(s.buyer, "ordered", "refund_due", "late_payment")
		s.final = s.sample(theEnd, 30, 9, 0, 1)
	}, []string{"no_money_is_lost", "nobody_is_out_of_pocket"}},
	"a wrong amount that pays": {func(s *story) {
		s.end(s.underpayer, "ordered", "paid", "")
		s.final = s.sample(theEnd, 30, 4, 0, 6)
	}, []string{"orders_end_for_a_reason", "paid_once", "no_money_is_lost", "nobody_is_out_of_pocket"}},
	"a refund without effect": {func(s *story) {
		s.end(s.refunded, "ordered", "paid", "")
	}, []string{"no_money_is_lost", "nobody_is_out_of_pocket"}},
	"an event that is applied twice": {func(s *story) {
		s.buyer.actions[2].body.Result = "applied"
	}, []string{"events_apply_once"}},
	"a payment that is ignored": {func(s *story) {
		s.late.actions[0].body.Result = "ignored"
	}, []string{"events_apply_once"}},
	"a refusal before anything was taken": {func(s *story) {
		s.refused.responses[0] = at(500*time.Millisecond, Place, 409, body{Code: "sold_out"})
	}, []string{"sold_out_is_true"}},
	"eleven units held at once": {func(s *story) {
		h := s.place(time.Second, 1)
		s.release(h, 3*time.Second)
		s.end(h, "released", "", "")
	}, []string{"never_oversold"}},
	"sold units that are held again": {func(s *story) {
		for range 2 {
			s.end(s.place(40*time.Second, 4), "expired", "", "")
		}
	}, []string{"never_oversold"}},
	"a shopper who has more than the limit": {func(s *story) {
		s.place(36*time.Second, 1)
		s.mergeLast()
		h := s.greedy.attempts[2].hold
		s.release(h, 37*time.Second)
		s.end(h, "released", "", "")
		s.greedy.lists[0].body.Data = append(s.greedy.lists[0].body.Data, h.granted)
	}, []string{"limit_is_kept"}},
	"a shopper who has more than the limit at the end, unseen before": {func(s *story) {
		s.grabbed.actions = nil // it is not released
		s.place(theEnd-2*time.Second, 1)
		s.mergeLast()
		h := s.greedy.attempts[2].hold
		s.order(h, theEnd-time.Second)
		s.end(h, "ordered", "pending_payment", "")
		s.end(s.grabbed, "active", "", "")
		s.final = s.sample(theEnd, 30, 2, 5, 3)
		s.greedy.lists = nil
	}, []string{"no_hold_ends_early", "limit_is_kept"}},
	"a refusal by the limit of a shopper who has given all back": {func(s *story) {
		s.over.responses[0].sent, s.over.responses[0].received = 38*time.Second, 38*time.Second
	}, []string{"limit_is_true"}},
	"a refusal by the limit of a shopper who never had a unit": {func(s *story) {
		s.refused.responses[0] = at(1050*time.Millisecond, Place, 409, body{Code: "shopper_limit", Limit: maxPerShopper})
	}, []string{"limit_is_true"}},
	"a refusal by another limit": {func(s *story) {
		s.over.responses[0].body.Limit = 1
	}, []string{"limit_is_true"}},
	"a refusal that says more than the shopper ever asked for": {func(s *story) {
		s.over.responses[0].body.Yours = 5
	}, []string{"limit_is_true"}},
	"a key whose hold is there, refused by the limit": {func(s *story) {
		s.attempt(s.grabbed).add(at(36*time.Second, Place, 409, body{Code: "shopper_limit", Limit: maxPerShopper, Yours: maxPerShopper}))
	}, []string{"one_key_one_hold"}},
	"another shopper's hold that can be read": {func(s *story) {
		s.greedy.foreign[0].response = at(36*time.Second, Foreign, 200, s.buyer.granted)
	}, []string{"answers_are_the_contracts", "shoppers_reach_their_own"}},
	"another shopper's hold in a list": {func(s *story) {
		s.greedy.lists[0].body.Data = append(s.greedy.lists[0].body.Data, s.buyer.granted)
	}, []string{"shoppers_reach_their_own"}},
	"a list without the shopper's own hold": {func(s *story) {
		s.greedy.lists[0].body.Data = nil
	}, []string{"shoppers_reach_their_own"}},
	"an internal error about another shopper's hold": {func(s *story) {
		s.greedy.foreign[0].response = at(36*time.Second, Foreign, 500, body{Code: "internal", RequestID: "r1"})
	}, []string{"no_internal_error"}},
	"counters that do not add up": {func(s *story) {
		*s.samples[1].response.body.Available++
	}, []string{"stock_adds_up"}},
	"counters that do not add up for a shopper": {func(s *story) {
		available := int64(-1)
		s.histories[0].look(at(time.Second, Look, 200, body{Stock: 10, Available: &available, Sold: 11}))
	}, []string{"stock_adds_up"}},
	"a read that is old": {func(s *story) {
		s.samples[3].response.version = 19
	}, []string{"reads_are_fresh"}},
	"a sold unit too many": {func(s *story) {
		s.final = s.sample(theEnd, 30, 6, 0, 4)
	}, []string{"sold_is_what_was_paid"}},
	"units that never return": {func(s *story) {
		s.final = s.sample(theEnd, 30, 5, 2, 3)
	}, []string{"reserved_is_what_is_held"}},
	"units that return while they are held": {func(s *story) {
		h := s.place(theEnd-time.Second, 1)
		s.end(h, "active", "", "")
	}, []string{"reserved_is_what_is_held"}},
	"units that return while they are ordered": {func(s *story) {
		h := s.place(theEnd-2*time.Second, 1)
		s.order(h, theEnd-time.Second)
		s.end(h, "ordered", "pending_payment", "")
	}, []string{"reserved_is_what_is_held"}},
	"leftovers that cannot be held": {func(s *story) {
		s.probe = &attempt{key: "probe", qty: 1}
		s.probe.add(at(theEnd, Place, 409, body{Code: "sold_out"}))
	}, []string{"leftovers_can_be_bought"}},
	"a new finding of the audit": {func(s *story) {
		s.auditAfter = append(s.auditAfter, Finding{Check: "sold", Entity: "p", Detail: "off by 1"})
	}, []string{"audit"}},
}

func TestEachDefectIsFoundByItsChecks(t *testing.T) {
	found := map[string]bool{}
	for name, defect := range defects {
		s := correctSale()
		defect.make(s)
		if diff := cmp.Diff(defect.breaks, s.broken()); diff != "" {
			t.Errorf("%s: expected broken checks (-), got (+):\n%s", name, diff)
		}
		for _, check := range defect.breaks {
			found[check] = true
		}
		for _, c := range s.check() {
			if !c.Holds && len(c.Evidence) == 0 {
				t.Errorf("%s: %s is broken without evidence", name, c.Name)
			}
		}
	}
	for _, i := range invariants {
		if !found[i.name] {
			t.Errorf("no defect breaks %s: the check may be unable to fail", i.name)
		}
	}
}

// Delays, lost responses and other customers explain these histories, so no check may report them.
func TestChecksAcceptDelaysAndLostResponses(t *testing.T) {
	for name, change := range map[string]func(s *story){
		"an attempt without a response may hold units": func(s *story) {
			s.histories = append(s.histories, &history{arrived: true, attempts: []*attempt{{key: "lost", qty: 4, responses: []response{at(0, Place, 0, body{})}}}})
		},
		"a busy attempt may hold units, so an early refusal is true": func(s *story) {
			s.histories = append(s.histories, &history{arrived: true, attempts: []*attempt{{key: "busy", qty: 10, responses: []response{at(0, Place, 503, body{Code: "busy"})}}}})
			s.refused.responses[0] = at(500*time.Millisecond, Place, 409, body{Code: "sold_out"})
		},
		"a refusal may overlap with the grant of the same key": func(s *story) {
			s.attempt(s.releaser).add(at(1010*time.Millisecond, Place, 409, body{Code: "sold_out"}))
		},
		"a payment's first response may be lost": func(s *story) {
			s.buyer.actions[1].response = at(1200*time.Millisecond, Pay, 0, body{})
		},
		"a payment that is only stored may count after a later cancellation": func(s *story) {
			s.pay(s.canceller, 1110*time.Millisecond, "evt_stored", succeeded, "stored", "pending_payment")
			s.end(s.canceller, "ordered", "refund_due", "late_payment")
			s.owed[s.canceller.orderID()] = s.canceller.qty * price
		},
		"an order's response may be lost, and the order time out": func(s *story) {
			s.lapsed.actions[1].response = at(24*time.Second, Order, 0, body{})
			s.end(s.lapsed, "ordered", "cancelled", "payment_timeout")
		},
		"a hold's end may be seen just before its time, by rounding": func(s *story) {
			s.lapsed.actions[1].sent, s.lapsed.actions[1].received = 25*time.Second, 25*time.Second-time.Millisecond
		},
		"a read may be four seconds old": func(s *story) {
			s.samples = append(s.samples, s.sample(theEnd+4*time.Second, 20, 8, 0, 2))
		},
		"an overdue hold may not be swept yet": func(s *story) {
			h := s.place(theEnd-testTTL-50*time.Millisecond, 1)
			s.end(h, "active", "", "")
			h.finalHold.sent = h.latestEnd()
			s.final = s.sample(theEnd, 30, 6, 1, 3)
		},
		"an unpaid order reserves its units": func(s *story) {
			h := s.place(theEnd-2*time.Second, 1)
			s.order(h, theEnd-time.Second)
			s.end(h, "ordered", "pending_payment", "")
			s.final = s.sample(theEnd, 30, 6, 1, 3)
		},
		"the server's hold time is not known": func(s *story) { s.HoldTTL = 0 },
		"a hold may be unreadable for a moment at the end": func(s *story) {
			*s.releaser.finalHold = at(theEnd, LookHold, 503, body{Code: "busy"})
		},
		"a refusal by the limit may count a request without a response": func(s *story) {
			s.greedy.attempts[0] = &attempt{qty: maxPerShopper, responses: []response{at(35*time.Second, Place, 0, body{})}}
			s.greedy.lists = nil
		},
		"a refusal by the limit may count units that a late payment took again": func(s *story) {
			s.over.responses[0].sent, s.over.responses[0].received = 39*time.Second, 39*time.Second
			s.pay(s.grabbed, 38*time.Second, "evt_late_grab", succeeded, "applied", "paid")
			s.end(s.grabbed, "released", "paid", "")
			s.final = s.sample(theEnd, 30, 3, 0, 7)
		},
		"the shoppers are anonymous": func(s *story) { s.SignIn = nil },
		"nothing is left to try":     func(s *story) { s.probe = nil },
		"the audit's list from before the sale was cut off": func(s *story) {
			for n := range auditLimit {
				s.auditBefore = append(s.auditBefore, Finding{Check: "sold", Entity: "old" + strconv.Itoa(n)})
			}
			s.auditAfter = append(s.auditAfter, Finding{Check: "sold", Entity: "unlisted"})
		},
	} {
		s := correctSale()
		change(s)
		s.tell()
		for _, c := range s.check() {
			if !c.Holds {
				t.Errorf("%s, but %s is broken: %v", name, c.Name, c.Evidence)
			}
		}
	}
}

// An event that the server has only stored may take effect at any time. So it is delivered again before the orders are read.
func TestStoredEventsStayOpen(t *testing.T) {
	h := &hold{}
	h.add(action{response: at(1, Pay, 202, body{Result: "stored"}), event: "evt_1"})
	if open := h.openEvents(); len(open) != 1 {
		t.Errorf("after a 202 stored, %d events are open, expected 1", len(open))
	}
	h.add(action{response: at(2, Pay, 200, body{Result: "applied"}), event: "evt_1"})
	if open := h.openEvents(); len(open) != 0 {
		t.Errorf("after a 200 applied, %d events are open, expected none", len(open))
	}
}
