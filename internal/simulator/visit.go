package simulator

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// maxTries is how often a shopper sends a request that is not answered, or refused as busy. What remains unknown then is
// asked again at the end.
const maxTries = 4

// patience is how long a shopper waits for a time limit to pass. On a server with longer ones it does not wait.
const patience = 20 * time.Second

// stage is what all visits share.
type stage struct {
	client  *client
	clock   clock
	meter   *meter
	signer  Signer
	product string
	price   money
}

// visit is one shopper at work.
type visit struct {
	*stage
	plan  *Shopper
	book  *book
	due   time.Duration // when its next step is due
	think int           // thoughts so far
}

// run is the whole visit.
func (v *visit) run(ctx context.Context) {
	v.book.arrived = true
	for range v.plan.Looks {
		v.step(ctx, request{op: Look, method: http.MethodGet, path: "/products/" + v.product, timeout: answerTimeout}, v.sawProduct)
		v.thinks()
	}
	if v.plan.Intent == OnlyLooks {
		return
	}
	for n := range v.plan.Attempts {
		a := &attempt{key: v.plan.key(v.product, n), qty: v.plan.Qty}
		v.book.attempts = append(v.book.attempts, a)
		v.place(ctx, a)
		if a.hold != nil {
			v.thinks()
			v.carryOut(ctx, a.hold)
			return
		}
		v.due += v.plan.ComesBack
	}
}

// sawProduct counts a look, and keeps it only if something is wrong with it: there are too many to keep.
func (v *visit) sawProduct(a answer) {
	v.book.looked++
	if !allowed(a) || a.status == http.StatusInternalServerError || (a.ok() && !consistent(a.body)) {
		v.book.looks = append(v.book.looks, a)
	}
}

// thinks puts the next step off.
func (v *visit) thinks() {
	v.due += v.plan.Thinks[v.think%len(v.plan.Thinks)]
	v.think++
}

// step sends a request, again and again until it is answered with anything but busy, and books every answer. The next
// step is due from when this one ended.
func (v *visit) step(ctx context.Context, r request, learn func(answer)) answer {
	due := v.due
	a := v.once(ctx, r, due)
	learn(a)
	for tries := 1; (a.lost() || a.busy()) && tries < maxTries && ctx.Err() == nil; tries++ {
		r.timeout = answerTimeout
		// Twice as long each time, and not in step with the others.
		pause := time.Duration(float64(uint(200)<<tries)*(0.5+rand.Float64())) * time.Millisecond //nolint:gosec // G404: a pause, not a secret
		if v.plan.HangsUp > 0 && tries == 1 && a.lost() {
			pause = 0
		}
		a = v.once(ctx, r, a.received+pause)
		learn(a)
	}
	v.meter.stepped(r.op, a.received-due)
	v.due = a.received
	return a
}

// once sends a request when it is due.
func (v *visit) once(ctx context.Context, r request, due time.Duration) answer {
	v.clock.until(ctx, due)
	ready := v.clock.now()
	a := v.client.send(ctx, r)
	v.meter.sent(a, due, ready)
	return a
}

// place asks for a hold: perhaps twice at once, perhaps hanging up on the first request.
func (v *visit) place(ctx context.Context, a *attempt) {
	r := placeRequest(v.product, a)
	if v.plan.HangsUp > 0 {
		r.timeout = v.plan.HangsUp
	}
	if !v.plan.Twice {
		v.step(ctx, r, a.learn)
		return
	}
	var mu sync.Mutex
	learn := func(answer answer) {
		mu.Lock()
		defer mu.Unlock()
		a.learn(answer)
	}
	var second sync.WaitGroup
	due := v.due
	second.Go(func() { learn(v.once(ctx, r, due)) })
	v.step(ctx, r, learn)
	second.Wait()
	v.due = max(v.due, v.clock.now())
}

func placeRequest(product string, a *attempt) request {
	text, _ := json.Marshal(map[string]any{"product_id": product, "qty": a.qty}) // a string and a number: it cannot fail
	return request{
		op: Place, method: http.MethodPost, path: "/holds", body: text, timeout: answerTimeout,
		header: http.Header{"Idempotency-Key": {a.key}},
	}
}

// about does one thing about a hold, and books it.
func (v *visit) about(ctx context.Context, h *hold, r request) answer {
	return v.step(ctx, r, func(a answer) { h.did(act{answer: a}); h.learnWindow(a) })
}

func (h *hold) learnWindow(a answer) {
	if a.ok() && !a.body.PayBy.IsZero() && h.window == 0 {
		h.window = a.body.PayBy.Sub(a.body.CreatedAt)
	}
}

func lookHoldRequest(h *hold) request {
	return request{op: LookHold, method: http.MethodGet, path: "/holds/" + h.id, timeout: answerTimeout}
}

func lookOrderRequest(h *hold) request {
	return request{op: LookOrder, method: http.MethodGet, path: "/orders/" + h.orderID(), timeout: answerTimeout}
}

func (v *visit) release(ctx context.Context, h *hold) {
	v.about(ctx, h, request{op: Release, method: http.MethodDelete, path: "/holds/" + h.id, timeout: answerTimeout})
}

func (v *visit) cancel(ctx context.Context, h *hold) {
	v.about(ctx, h, request{op: Cancel, method: http.MethodPost, path: "/orders/" + h.orderID() + "/cancel", timeout: answerTimeout})
}

// order makes the order; false when there is none now.
func (v *visit) order(ctx context.Context, h *hold) bool {
	text, _ := json.Marshal(map[string]string{"hold_id": h.id}) // a string: it cannot fail
	return v.about(ctx, h, request{op: Order, method: http.MethodPost, path: "/orders", body: text, timeout: answerTimeout}).ok()
}
