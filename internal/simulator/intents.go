package simulator

import (
	"context"
	"net/http"
	"sync"
	"time"

	"flashsale/pkg/checkout"
	"flashsale/pkg/payments"
)

// The types of the payment events.
const (
	succeeded = payments.StandardSucceeded
	failed    = payments.StandardFailed
	refunded  = payments.StandardRefunded

	refundFailed  = payments.StandardRefundFailed
	disputed      = payments.StandardDisputed
	disputeClosed = payments.StandardDisputeClosed
)

// carryOut follows the shopper's intent once it has a hold.
func (v *visit) carryOut(ctx context.Context, h *hold) {
	switch v.plan.Intent {
	case PaysFirst:
		v.pay(ctx, h, 0, succeeded, 0)
		v.think()
		v.do(ctx, h, Order)
	case Waits:
		v.waitWithin(h.known, h.ttl)
		if v.do(ctx, h, Order) {
			v.waitWithin(h.orderedBy(), h.window)
			v.pay(ctx, h, 0, succeeded, 0)
		}
	case Releases:
		v.do(ctx, h, Release)
		v.think()
		v.do(ctx, h, Release)
	case LetsHoldLapse:
		if h.ttl > patience {
			return // it leaves
		}
		v.waitWithin(h.known, h.ttl)
		v.do(ctx, h, LookHold) // still active
		if v.waitUntilAfter(h.latestEnd()) {
			v.do(ctx, h, Order) // too late
		}
	case PaysLapsedHold:
		if v.waitUntilAfter(h.latestEnd()) {
			v.pay(ctx, h, 0, succeeded, 0)
		}
	default:
		if v.do(ctx, h, Order) {
			v.think()
			v.withOrder(ctx, h)
		}
	}
}

// withOrder follows the shopper's intent once it has an order.
func (v *visit) withOrder(ctx context.Context, h *hold) {
	switch v.plan.Intent {
	case LetsOrderLapse:
		if h.window <= patience {
			v.waitWithin(h.orderedBy(), h.window)
		}
		v.do(ctx, h, LookOrder)
	case PaysLapsedOrder:
		if !v.waitUntilAfter(h.orderedBy() + h.window) {
			v.do(ctx, h, Cancel)
		}
		v.pay(ctx, h, 0, succeeded, 0)
	case Declined:
		v.pay(ctx, h, 0, failed, 0)
	case DeclinedThenPays:
		v.pay(ctx, h, 0, failed, 0)
		v.think()
		v.pay(ctx, h, 1, succeeded, 0)
	case ReleasesOrdered:
		v.do(ctx, h, Release)
		v.think()
		v.pay(ctx, h, 0, succeeded, 0)
	case CancelsPaid:
		v.pay(ctx, h, 0, succeeded, 0)
		v.think()
		v.do(ctx, h, Cancel)
	case Cancels:
		v.do(ctx, h, Cancel)
		v.think()
		v.do(ctx, h, Cancel)
	case CancelsAndPays:
		v.do(ctx, h, Cancel)
		v.pay(ctx, h, 0, succeeded, 0)
	case WrongAmount:
		v.pay(ctx, h, 0, succeeded, -1)
	case Refunded:
		v.pay(ctx, h, 0, succeeded, 0)
		v.think()
		v.pay(ctx, h, 1, refunded, 0)
	case PaysTwice:
		v.pay(ctx, h, 0, succeeded, 0)
		v.think()
		v.pay(ctx, h, 1, succeeded, 0)
	case PartlyRefunded:
		v.pay(ctx, h, 0, succeeded, 0)
		v.think()
		v.pay(ctx, h, 1, refunded, 1-h.qty*price) // one minor unit goes back
	case RefundFails:
		v.pay(ctx, h, 0, succeeded, 0)
		v.think()
		v.pay(ctx, h, 1, refunded, 0)
		v.think()
		v.pay(ctx, h, 2, refundFailed, 0)
	case Disputes:
		v.pay(ctx, h, 0, succeeded, 0)
		v.think()
		v.pay(ctx, h, 1, disputed, 0)
		v.think()
		v.pay(ctx, h, 2, disputeClosed, 0)
	case OutOfOrder:
		v.pay(ctx, h, 1, refunded, 0)
		v.pay(ctx, h, 0, succeeded, 0)
		v.pay(ctx, h, 2, failed, 0)
	default:
		v.pay(ctx, h, 0, succeeded, 0)
	}
}

// waitWithin delays the next step by a fraction of a time limit, unless the limit is too long to wait for.
func (v *visit) waitWithin(from, limit time.Duration) {
	if from == forever || limit > patience {
		v.think()
		return
	}
	v.due = max(v.due, from+time.Duration(v.plan.Fraction*float64(limit)))
}

// waitUntilAfter delays the next step until after an instant; it returns false if that is too long to wait for.
func (v *visit) waitUntilAfter(at time.Duration) bool {
	if at == forever || at-v.due > patience {
		return false
	}
	v.due = max(v.due, at+100*time.Millisecond)
	return true
}

// pay delivers a payment event as often as the plan says, at once or one after another. Like a provider it retries each delivery
// until there is a response. off is the difference from the right amount.
func (v *visit) pay(ctx context.Context, h *hold, event int, kind string, off int64) {
	id := v.plan.eventID(v.Product, event)
	text, says := v.event(h, event, kind, off)
	deliver := func(v *visit, add func(action)) {
		v.step(ctx, v.delivery(id, text), func(a response) {
			add(action{response: a, event: id, kind: kind, text: text, right: off == 0, says: says})
		})
	}
	if !v.plan.AtOnce {
		for n := range v.plan.Deliveries {
			if n > 0 {
				v.think()
			}
			deliver(v, h.add)
		}
		return
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range v.plan.Deliveries {
		other := *v // each delivery has its own due time
		all.Go(func() {
			deliver(&other, func(a action) {
				mu.Lock()
				defer mu.Unlock()
				h.add(a)
			})
		})
	}
	all.Wait()
	v.due = v.clock.now()
}

// event is the body of a payment event, the same in all of its deliveries, and what it says. Refunds and disputes are of
// the first payment.
func (v *visit) event(h *hold, event int, kind string, off int64) ([]byte, checkout.PaymentEvent) {
	payment := event
	if kind != succeeded && kind != failed {
		payment = 0
	}
	amount := h.qty*price + off
	says := checkout.PaymentEvent{
		EventID: v.plan.eventID(v.Product, event), PaymentID: "pay_" + v.plan.eventID(v.Product, payment), Subject: &checkout.ID{},
		Kind: kinds[kind], Amount: checkout.Money{Amount: amount, Currency: currency},
	}
	data := payments.StandardData{PaymentID: says.PaymentID, OrderID: h.orderID(), Amount: &amount, Currency: currency}
	switch kind {
	case refunded, refundFailed:
		says.RefundID = "re_" + says.PaymentID
		data.RefundID = says.RefundID
	case disputed, disputeClosed:
		says.RefundID = "dispute:" + says.PaymentID
		if kind == disputeClosed {
			data.Outcome = "lost"
		}
	}
	if v.plan.ByHold {
		data.OrderID, data.HoldID = "", h.id
	}
	return payments.StandardBody(kind, time.Now(), data), says
}

var kinds = map[string]checkout.PaymentKind{
	succeeded: checkout.PaymentSucceeded, failed: checkout.PaymentFailed, refunded: checkout.PaymentRefunded,
	refundFailed: checkout.PaymentRefundFailed, disputed: checkout.PaymentDisputed, disputeClosed: checkout.PaymentDisputeLost,
}

// delivery is one delivery of an event. It is signed again because a signature is valid for only a few minutes.
func (s *simulation) delivery(id string, text []byte) request {
	return request{
		op: Pay, method: http.MethodPost, path: "/payments/webhook", body: text, header: s.Signer.Sign(id, time.Now(), text),
	}
}
