package simulator

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// maxTries limits how often a shopper sends a request that gets no response or a busy one. settle resolves the rest.
const maxTries = 4

// patience is the longest time limit that a shopper waits for. On a server with longer limits it does not wait.
const patience = 20 * time.Second

// visit is one shopper in action.
type visit struct {
	*simulation
	plan    *Shopper
	history *history
	due     time.Duration // of the next step
	thought int           // how often it has thought
}

// run is the whole visit.
func (v *visit) run(ctx context.Context) {
	v.history.arrived, v.history.greedy, v.history.token = true, v.plan.Greedy && v.SignIn != nil, v.token(v.plan.name(v.Product))
	for range v.plan.Looks {
		v.step(ctx, v.lookRequest(), v.history.look)
		v.think()
	}
	if v.history.greedy {
		v.grab(ctx)
		return
	}
	if v.plan.Intent == OnlyLooks {
		return
	}
	for n := range v.plan.Attempts {
		a := v.attempt(v.plan.Qty, v.plan.key(v.Product, n))
		v.place(ctx, a)
		if a.hold != nil {
			v.recent.add(a)
			v.think()
			v.carryOut(ctx, a.hold)
			return
		}
		v.due += v.plan.ComesBack
	}
}

// attempt begins an attempt to get a hold.
func (v *visit) attempt(qty int64, key string) *attempt {
	a := &attempt{key: key, token: v.history.token, qty: qty}
	v.history.attempts = append(v.history.attempts, a)
	return a
}

// look counts a look at the product, and keeps the response only if a check has to see it.
func (b *history) look(r response) {
	b.looks++
	if !allowed(r) || r.status == http.StatusInternalServerError || (r.ok() && !consistent(r.body)) {
		b.badLooks = append(b.badLooks, r)
	}
}

// think delays the next step.
func (v *visit) think() {
	v.due += v.plan.Thinks[v.thought%len(v.plan.Thinks)]
	v.thought++
}

// step sends a request, with retries while the response is lost or busy, and records every response. The next step is due
// when this one has ended.
func (v *visit) step(ctx context.Context, r request, record func(response)) response {
	due := v.due
	a := v.once(ctx, r, due)
	record(a)
	for tries := 1; (a.lost() || a.busy()) && tries < maxTries && ctx.Err() == nil; tries++ {
		r.timeout = responseTimeout
		// The pause doubles each time, with jitter so that shoppers do not retry in step.
		pause := time.Duration(float64(uint(200)<<tries)*(0.5+rand.Float64())) * time.Millisecond //nolint:gosec // G404: a pause, not a secret
		if v.plan.HangsUp > 0 && tries == 1 && a.lost() {
			pause = 0
		}
		a = v.once(ctx, r, a.received+pause)
		record(a)
	}
	v.meter.step(r.op, a.received-due)
	v.due = a.received
	return a
}

// once sends a request when it is due.
func (v *visit) once(ctx context.Context, r request, due time.Duration) response {
	v.clock.until(ctx, due)
	ready := v.clock.now()
	a := v.client.send(ctx, r)
	v.meter.request(a, due, ready)
	return a
}

// place asks for a hold: some shoppers send the request twice at once, some hang up on the first.
func (v *visit) place(ctx context.Context, a *attempt) {
	r := v.placeRequest(a)
	r.timeout = v.plan.HangsUp
	if !v.plan.Twice {
		v.step(ctx, r, a.add)
		return
	}
	var mu sync.Mutex
	add := func(response response) {
		mu.Lock()
		defer mu.Unlock()
		a.add(response)
	}
	var second sync.WaitGroup
	due := v.due
	second.Go(func() { add(v.once(ctx, r, due)) })
	v.step(ctx, r, add)
	second.Wait()
	v.due = max(v.due, v.clock.now())
}

func (s *simulation) lookRequest() request {
	return request{op: Look, method: http.MethodGet, path: "/products/" + s.Product}
}

func (s *simulation) placeRequest(a *attempt) request {
	text, _ := json.Marshal(map[string]any{"product_id": s.Product, "qty": a.qty}) // a string and a number: cannot fail
	r := request{op: Place, method: http.MethodPost, path: "/holds", body: text, token: a.token}
	if a.key != "" {
		r.header = http.Header{"Idempotency-Key": {a.key}}
	}
	return r
}

// request is a request of the hold's shopper about the hold or its order.
func (h *hold) request(op Operation) request { return h.requestBy(op, h.token) }

func (h *hold) requestBy(op Operation, token string) request {
	switch op {
	case LookHold:
		return request{op: op, method: http.MethodGet, path: "/holds/" + h.id, token: token}
	case Release:
		return request{op: op, method: http.MethodDelete, path: "/holds/" + h.id, token: token}
	case Order:
		text, _ := json.Marshal(map[string]string{"hold_id": h.id}) // a string: cannot fail
		return request{op: op, method: http.MethodPost, path: "/orders", body: text, token: token}
	case Cancel:
		return request{op: op, method: http.MethodPost, path: "/orders/" + h.orderID() + "/cancel", token: token}
	}
	return request{op: LookOrder, method: http.MethodGet, path: "/orders/" + h.orderID(), token: token}
}

// do sends one request about a hold, records it, and returns whether it succeeded.
func (v *visit) do(ctx context.Context, h *hold, op Operation) bool {
	return v.step(ctx, h.request(op), func(a response) { h.add(action{response: a}) }).ok()
}
