package simulator

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// Sample is the stock as the server showed it.
type Sample struct {
	At        float64 `json:"at_s"` // seconds since the opening
	Available int64   `json:"available"`
	Held      int64   `json:"held"` // reserved: held, or ordered and not yet paid
	Sold      int64   `json:"sold"`

	answer answer
}

// observer is somebody who reads the product again and again, beside the shoppers.
type observer struct {
	client  *client
	clock   clock
	path    string
	every   time.Duration
	mu      sync.Mutex
	samples []Sample
}

// closely is how often the observer looks in the first ten seconds.
const closely = 100 * time.Millisecond

func newObserver(url string, clock clock, product string, duration time.Duration) *observer {
	return &observer{
		client: newClient(url, clock, 1), clock: clock, path: "/products/" + product,
		every: max(closely*2, duration/400),
	}
}

func (o *observer) run(ctx context.Context) {
	for {
		began := o.clock.now()
		o.look(ctx)
		every := o.every
		if began < 10*time.Second {
			every = closely
		}
		if !o.clock.until(ctx, began+every) {
			return
		}
	}
}

// look reads the product once. An answer that did not come, or was a refusal, is nothing to look at.
func (o *observer) look(ctx context.Context) {
	a := o.client.send(ctx, request{op: Look, method: http.MethodGet, path: o.path, timeout: answerTimeout})
	if a.status != http.StatusOK || a.body.Available == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.samples = append(o.samples, Sample{
		At: a.received.Seconds(), Available: *a.body.Available, Held: a.body.Reserved, Sold: a.body.Sold, answer: a,
	})
}

// last returns the latest sample.
func (o *observer) last() Sample {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.samples) == 0 {
		return Sample{}
	}
	return o.samples[len(o.samples)-1]
}

// all returns every sample.
func (o *observer) all() []Sample {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.samples[:len(o.samples):len(o.samples)]
}

// Glance is what somebody sees who looks on.
type Glance struct {
	Phase     string // opening, spike, tail, draining, checking
	Elapsed   time.Duration
	Stock     int64
	Available int64
	Held      int64
	Sold      int64
	Shoppers  int // in all
	Arrived   int
	Inside    int            // have come and not gone yet
	Rate      float64        // requests a second, since the last glance
	P50, P99  float64        // of the steps that ended since then, in milliseconds
	Refusals  map[string]int // by code, since the opening
}

// measure cuts the ticks of the time series, and lets somebody look on.
func (r *rush) measure(ctx context.Context) {
	nextTick, nextGlance, lastGlance := r.meter.tick, r.ShowEvery, time.Duration(0)
	for r.clock.until(ctx, min(nextTick, nextGlance)) {
		now := r.clock.now()
		if now >= nextTick {
			r.meter.cut()
			nextTick = now - now%r.meter.tick + r.meter.tick
		}
		if now >= nextGlance {
			if r.Show != nil {
				r.Show(r.glance(now - lastGlance))
			}
			lastGlance = now
			nextGlance = now - now%r.ShowEvery + r.ShowEvery
		}
	}
}

func (r *rush) glance(since time.Duration) Glance {
	requests, p, refusals := r.meter.glance()
	s := r.observer.last()
	phase, _ := r.phase.Load().(string)
	arrived, done := int(r.arrived.Load()), int(r.done.Load())
	return Glance{
		Phase: phase, Elapsed: r.clock.now(), Stock: r.Sale.Stock, Available: s.Available, Held: s.Held, Sold: s.Sold,
		Shoppers: len(r.shoppers), Arrived: arrived, Inside: arrived - done,
		Rate: float64(requests) / max(since.Seconds(), 0.001), P50: p.P50, P99: p.P99, Refusals: refusals,
	}
}
