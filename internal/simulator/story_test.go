package simulator

import (
	"slices"
	"strconv"
	"time"

	"flashsale/pkg/checkout"
)

const (
	testTTL    = 5 * time.Second
	testWindow = 10 * time.Second
	takes      = 10 * time.Millisecond // every request
	theEnd     = 60 * time.Second
)

// opened is the opening by the server's clock.
var opened = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// story is a sale written by hand: its evidence, and the parts that a test changes.
type story struct {
	evidence
	buyer, releaser, underpayer, canceller, declined, idler *hold
	refused                                                 *attempt
	lapsed, refunded, late                                  *hold
	grabbed                                                 *hold    // of the greedy shopper
	over                                                    *attempt // its next, which the limit refuses
	greedy                                                  *history
	holdsMade                                               int
}

func at(d time.Duration, op Operation, status int, b body) response {
	return response{op: op, sent: d, received: d + takes, status: status, body: b}
}

// place adds a shopper that gets a hold.
func (s *story) place(when time.Duration, qty int64) *hold {
	s.holdsMade++
	n := strconv.Itoa(s.holdsMade)
	a := &attempt{key: "key" + n, qty: qty}
	created := opened.Add(when)
	a.add(at(when, Place, 201, body{
		ID: "hold_" + n, ProductID: s.Product, Qty: qty, Status: "active", CreatedAt: created, ExpiresAt: created.Add(testTTL),
	}))
	s.histories = append(s.histories, &history{arrived: true, attempts: []*attempt{a}})
	return a.hold
}

// mergeLast gives the latest shopper's attempts to the greedy one.
func (s *story) mergeLast() {
	last := len(s.histories) - 1
	s.greedy.attempts = append(s.greedy.attempts, s.histories[last].attempts...)
	s.histories = s.histories[:last]
}

// attempt returns the attempt that got a hold.
func (s *story) attempt(h *hold) *attempt {
	return s.attempts()[slices.IndexFunc(s.attempts(), func(a *attempt) bool { return a.hold == h })]
}

func (s *story) orderBody(h *hold, state, reason string) body {
	return body{
		ID: h.orderID(), HoldID: h.id, ProductID: s.Product, Qty: h.qty, Status: state, Reason: reason, Amount: money{h.qty * price, currency},
		CreatedAt: opened, PayBy: opened.Add(testWindow),
	}
}

func (s *story) order(h *hold, when time.Duration) {
	h.add(action{response: at(when, Order, 201, s.orderBody(h, "pending_payment", ""))})
}

func (s *story) cancel(h *hold, when time.Duration) {
	h.add(action{response: at(when, Cancel, 200, s.orderBody(h, "cancelled", "customer"))})
}

func (s *story) pay(h *hold, when time.Duration, event, kind, result, status string) *action {
	h.add(action{response: at(when, Pay, 200, body{Result: result, OrderStatus: status}), event: event, kind: kind, right: true})
	return h.actions[len(h.actions)-1]
}

func (s *story) release(h *hold, when time.Duration) {
	h.add(action{response: at(when, Release, 204, body{})})
}

// end sets the state of a hold and its order at the end; an empty order state means that there is no order.
func (s *story) end(h *hold, state, orderState, reason string) {
	final := at(theEnd, LookHold, 200, h.granted)
	final.body.Status = state
	order := at(theEnd, LookOrder, 404, body{Code: "order_not_found"})
	if orderState != "" {
		order = at(theEnd, LookOrder, 200, s.orderBody(h, orderState, reason))
	}
	h.finalHold, h.finalOrder = &final, &order
}

func (s *story) sample(when time.Duration, version, available, reserved, sold int64) Sample {
	r := at(when, Look, 200, body{Stock: available + reserved + sold, Available: &available, Reserved: reserved, Sold: sold})
	r.version = version
	return Sample{At: r.received.Seconds(), Available: available, Held: reserved, Sold: sold, response: r}
}

// correctSale is a sale of ten units without a defect. Each invariant has something to look at.
func correctSale() *story {
	s := &story{evidence: evidence{Options: Options{Product: "p", Sale: Sale{Stock: 10}, HoldTTL: testTTL, TakenBack: 15 * time.Second, SignIn: func(name string) string { return name }}}}
	// Six shoppers take all ten units at once; a seventh is refused.
	s.buyer, s.releaser, s.underpayer = s.place(time.Second, 2), s.place(time.Second, 1), s.place(time.Second, 3)
	s.canceller, s.declined, s.idler = s.place(time.Second, 2), s.place(time.Second, 1), s.place(time.Second, 1)
	s.refused = &attempt{key: "refused", qty: 1}
	s.refused.add(at(1050*time.Millisecond, Place, 409, body{Code: "sold_out"}))
	s.histories = append(s.histories, &history{arrived: true, attempts: []*attempt{s.refused}, looks: 3})
	for _, h := range []*hold{s.buyer, s.underpayer, s.canceller, s.declined, s.idler} {
		s.order(h, 1100*time.Millisecond)
	}
	s.pay(s.buyer, 1200*time.Millisecond, "evt_buyer", succeeded, "applied", "paid")
	s.pay(s.buyer, 1300*time.Millisecond, "evt_buyer", succeeded, "duplicate", "paid")
	replay := at(30*time.Second, Place, 200, s.buyer.granted)
	replay.replayed = true
	s.attempt(s.buyer).add(replay)
	s.end(s.buyer, "ordered", "paid", "")
	s.release(s.releaser, 1500*time.Millisecond)
	s.end(s.releaser, "released", "", "")
	s.pay(s.underpayer, 1200*time.Millisecond, "evt_underpaid", succeeded, "applied", "refund_due").right = false
	s.end(s.underpayer, "ordered", "refund_due", "amount_mismatch")
	s.cancel(s.canceller, 1200*time.Millisecond)
	s.end(s.canceller, "ordered", "cancelled", "customer")
	s.pay(s.declined, 1200*time.Millisecond, "evt_declined", failed, "applied", "cancelled")
	s.end(s.declined, "ordered", "cancelled", "payment_failed")
	s.end(s.idler, "ordered", "cancelled", "payment_timeout")

	// Later, with units to spare.
	s.lapsed, s.refunded, s.late = s.place(20*time.Second, 2), s.place(20*time.Second, 1), s.place(20*time.Second, 1)
	s.lapsed.add(action{response: at(22*time.Second, LookHold, 200, s.lapsed.granted)})
	s.lapsed.add(action{response: at(26*time.Second, Order, 410, body{Code: "hold_expired"})})
	s.end(s.lapsed, "expired", "", "")
	s.order(s.refunded, 21*time.Second)
	s.pay(s.refunded, 22*time.Second, "evt_paid", succeeded, "applied", "paid")
	s.pay(s.refunded, 23*time.Second, "evt_refunded", refunded, "applied", "refunded")
	s.end(s.refunded, "ordered", "refunded", "")
	s.pay(s.late, 26*time.Second, "evt_late", succeeded, "applied", "refund_due")
	s.end(s.late, "expired", "refund_due", "late_payment")

	// A greedy shopper takes the limit and asks for more, without a key. It tries another shopper's hold.
	s.grabbed = s.place(35*time.Second, maxPerShopper)
	s.greedy = s.histories[len(s.histories)-1]
	s.over = &attempt{qty: 1}
	s.over.add(at(36*time.Second, Place, 409, body{Code: "shopper_limit", Limit: maxPerShopper, Yours: maxPerShopper}))
	s.greedy.greedy, s.greedy.attempts = true, append(s.greedy.attempts, s.over)
	s.greedy.foreign = []foreign{{at(36*time.Second, Foreign, 404, body{Code: "hold_not_found"}), "GET /holds/" + s.buyer.id}}
	s.release(s.grabbed, 37*time.Second)
	s.greedy.lists = []response{at(theEnd, ListHolds, 200, body{Data: []body{s.grabbed.granted}})}
	s.end(s.grabbed, "released", "", "")

	s.samples = []Sample{
		s.sample(0, 1, 10, 0, 0), s.sample(1500*time.Millisecond, 12, 6, 2, 2), s.sample(20*time.Second, 20, 8, 0, 2), s.sample(theEnd, 30, 7, 0, 3),
	}
	s.final, s.leftovers = s.samples[3], s.samples[3]
	s.probe = &attempt{key: "probe", qty: 1}
	created := opened.Add(theEnd)
	s.probe.add(at(theEnd, Place, 201, body{ID: "hold_probe", ProductID: "p", Qty: 1, CreatedAt: created, ExpiresAt: created.Add(testTTL)}))
	s.release(s.probe.hold, theEnd+time.Second)
	s.owed = map[string]int64{s.underpayer.orderID(): 3*price - 1, s.late.orderID(): price}
	s.auditBefore = []Finding{{Check: "reserved", Entity: "another-product", Detail: "off by 1"}}
	s.auditAfter = []Finding{{Check: "reserved", Entity: "another-product", Detail: "off by 2"}}
	return s
}

// tell fills in what the payment events say: a refund is of the hold's first payment.
func (s *story) tell() {
	for _, h := range s.holds() {
		first := ""
		for _, a := range h.actions {
			if a.event == "" {
				continue
			}
			a.says = checkout.PaymentEvent{EventID: a.event, PaymentID: "pay_" + a.event, Kind: kinds[a.kind], Subject: &checkout.ID{}, Amount: checkout.Money{Amount: h.qty * price, Currency: currency}}
			if !a.right {
				a.says.Amount.Amount--
			}
			if isSuccess(a) && first == "" {
				first = a.says.PaymentID
			}
			if a.kind == refunded {
				a.says.PaymentID, a.says.RefundID = first, a.event
			}
		}
	}
}

func (s *story) broken() (names []string) {
	s.tell()
	for _, c := range s.check() {
		if !c.Holds {
			names = append(names, c.Name)
		}
	}
	return names
}
