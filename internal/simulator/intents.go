package simulator

import (
	"context"
	"net/http"
	"sync"
	"time"

	"flashsale/pkg/payments"
)

// The types of the payment events.
const (
	succeeded = payments.StandardSucceeded
	failed    = payments.StandardFailed
	refunded  = payments.StandardRefunded
)

// carryOut does what the shopper has in mind with its hold.
func (v *visit) carryOut(ctx context.Context, h *hold) {
	switch v.plan.Intent {
	case PaysFirst:
		v.pay(ctx, h, 0, succeeded, 0)
		v.thinks()
		v.order(ctx, h)
	case Waits:
		v.lingers(h.known, h.ttl)
		if v.order(ctx, h) {
			v.lingers(h.orderedBy(), h.window)
			v.pay(ctx, h, 0, succeeded, 0)
		}
	case Releases:
		v.release(ctx, h)
		v.thinks()
		v.release(ctx, h)
	case LetsHoldLapse:
		v.letHoldLapse(ctx, h)
	case PaysLapsedHold:
		if v.lapses(h.latestEnd()) {
			v.pay(ctx, h, 0, succeeded, 0)
		}
	default:
		if v.order(ctx, h) {
			v.thinks()
			v.withOrder(ctx, h)
		}
	}
}

// letHoldLapse looks at the hold while it must still be there, and tries to order when it cannot be any more.
func (v *visit) letHoldLapse(ctx context.Context, h *hold) {
	if h.ttl > patience {
		return // just goes away
	}
	v.lingers(h.known, h.ttl)
	v.about(ctx, h, lookHoldRequest(h))
	if v.lapses(h.latestEnd()) {
		v.order(ctx, h)
	}
}

// withOrder does what the shopper has in mind with its order.
func (v *visit) withOrder(ctx context.Context, h *hold) {
	switch v.plan.Intent {
	case Pays:
		v.pay(ctx, h, 0, succeeded, 0)
	case LetsOrderLapse:
		if h.window <= patience {
			v.lingers(h.orderedBy(), h.window)
		}
		v.about(ctx, h, lookOrderRequest(h))
	case PaysLapsedOrder:
		if !v.lapses(h.orderedBy() + h.window) {
			v.cancel(ctx, h)
		}
		v.pay(ctx, h, 0, succeeded, 0)
	case Declined:
		v.pay(ctx, h, 0, failed, 0)
	case DeclinedThenPays:
		v.pay(ctx, h, 0, failed, 0)
		v.thinks()
		v.pay(ctx, h, 1, succeeded, 0)
	case ReleasesOrdered:
		v.release(ctx, h)
		v.thinks()
		v.pay(ctx, h, 0, succeeded, 0)
	case CancelsPaid:
		v.pay(ctx, h, 0, succeeded, 0)
		v.thinks()
		v.cancel(ctx, h)
	case Cancels:
		v.cancel(ctx, h)
		v.thinks()
		v.cancel(ctx, h)
	case CancelsAndPays:
		v.cancel(ctx, h)
		v.pay(ctx, h, 0, succeeded, 0)
	case WrongAmount:
		v.pay(ctx, h, 0, succeeded, -1)
	case Refunded:
		v.pay(ctx, h, 0, succeeded, 0)
		v.thinks()
		v.pay(ctx, h, 1, refunded, 0)
	case OutOfOrder:
		v.pay(ctx, h, 1, refunded, 0)
		v.pay(ctx, h, 0, succeeded, 0)
		v.pay(ctx, h, 2, failed, 0)
	}
}

// lingers puts the next step off until a part of a time limit has passed, if that is worth waiting for.
func (v *visit) lingers(from, limit time.Duration) {
	if from == forever || limit > patience {
		v.thinks()
		return
	}
	v.due = max(v.due, from+time.Duration(v.plan.Fraction*float64(limit)))
}

// lapses puts the next step off until after a time limit; false when that is too far away.
func (v *visit) lapses(at time.Duration) bool {
	if at == forever || at-v.due > patience {
		return false
	}
	v.due = max(v.due, at+100*time.Millisecond)
	return true
}

// pay has a payment event delivered: as often as the plan says, at once or one after the other, and each delivery again
// until it is answered, as a provider does. off is added to the right amount.
func (v *visit) pay(ctx context.Context, h *hold, event int, kind string, off int64) {
	id, text := v.plan.eventID(v.product, event), v.event(h, event, kind, off)
	deliver := func(v *visit, learn func(act)) {
		v.step(ctx, v.delivery(id, text), func(a answer) {
			learn(act{answer: a, event: id, kind: kind, text: text, right: off == 0})
		})
	}
	if !v.plan.AtOnce {
		for n := range v.plan.Deliveries {
			if n > 0 {
				v.thinks()
			}
			deliver(v, h.did)
		}
		return
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range v.plan.Deliveries {
		other := *v // a delivery has a due time of its own
		all.Go(func() {
			deliver(&other, func(a act) {
				mu.Lock()
				defer mu.Unlock()
				h.did(a)
			})
		})
	}
	all.Wait()
	v.due = v.clock.now()
}

// event is the body of an event, the same in all of its deliveries.
func (v *visit) event(h *hold, event int, kind string, off int64) []byte {
	amount := h.qty*v.price.Amount + off
	data := payments.StandardData{
		PaymentID: "pay_" + v.plan.eventID(v.product, event), OrderID: h.orderID(), Amount: &amount, Currency: v.price.Currency,
	}
	if v.plan.ByHold {
		data.OrderID, data.HoldID = "", h.id
	}
	return payments.StandardBody(kind, time.Now(), data)
}

// delivery is one delivery of an event: signed anew, since a signature is good for a few minutes only.
func (s *stage) delivery(id string, text []byte) request {
	return request{
		op: Pay, method: http.MethodPost, path: "/payments/webhook", body: text, timeout: answerTimeout,
		header: s.signer.Sign(id, time.Now(), text),
	}
}
