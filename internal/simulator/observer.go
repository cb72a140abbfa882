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
	Held      int64   `json:"held"` // reserved by holds and unpaid orders
	Sold      int64   `json:"sold"`

	response response
}

// observer reads the product continually, beside the shoppers.
type observer struct {
	client  *client
	clock   clock
	every   time.Duration
	mu      sync.Mutex
	samples []Sample
}

const (
	opening      = 10 * time.Second // when a sale is decided
	openingEvery = 100 * time.Millisecond
)

func newObserver(url string, clock clock, duration time.Duration) *observer {
	return &observer{client: newClient(url, clock, 1), clock: clock, every: max(openingEvery*2, duration/400)}
}

func (o *observer) run(ctx context.Context, look request) {
	for {
		began := o.clock.now()
		o.sample(o.client.send(ctx, look))
		every := o.every
		if began < opening {
			every = openingEvery
		}
		if !o.clock.until(ctx, began+every) {
			return
		}
	}
}

// sample records a response, unless it was lost or a refusal.
func (o *observer) sample(a response) {
	if a.status != http.StatusOK || a.body.Available == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.samples = append(o.samples, Sample{
		At: a.received.Seconds(), Available: *a.body.Available, Held: a.body.Reserved, Sold: a.body.Sold, response: a,
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

// Progress is the state of a sale in progress, for a live view.
type Progress struct {
	Phase     string // opening, spike, tail, draining, checking
	Elapsed   time.Duration
	Stock     int64
	Available int64
	Held      int64
	Sold      int64
	Shoppers  int // in all
	Arrived   int
	Active    int            // have arrived and not left
	Rate      float64        // requests per second since the last progress report
	P50, P99  float64        // of the steps since then, in milliseconds
	Refusals  map[string]int // by code, since the opening
}

// measure ends the ticks of the time series, and shows the progress.
func (s *simulation) measure(ctx context.Context) {
	nextTick, nextShow, lastShow := s.meter.tick, s.ShowEvery, time.Duration(0)
	for s.clock.until(ctx, min(nextTick, nextShow)) {
		now := s.clock.now()
		if now >= nextTick {
			s.meter.cut(s.active())
			nextTick = now - now%s.meter.tick + s.meter.tick
		}
		if now >= nextShow {
			if s.Show != nil {
				s.Show(s.progress(now - lastShow))
			}
			lastShow = now
			nextShow = now - now%s.ShowEvery + s.ShowEvery
		}
	}
}

// active is how many shoppers have arrived and not left.
func (s *simulation) active() int {
	done := s.done.Load() // read first, so that the difference is never negative
	return int(s.arrived.Load() - done)
}

func (s *simulation) progress(since time.Duration) Progress {
	requests, steps, refusals := s.meter.progress()
	sample := s.observer.last()
	phase, _ := s.phase.Load().(string)
	return Progress{
		Phase: phase, Elapsed: s.clock.now(), Stock: s.Sale.Stock, Available: sample.Available, Held: sample.Held, Sold: sample.Sold,
		Shoppers: len(s.shoppers), Arrived: int(s.arrived.Load()), Active: s.active(),
		Rate: float64(requests) / max(since.Seconds(), 0.001), P50: steps.P50, P99: steps.P99, Refusals: refusals,
	}
}
