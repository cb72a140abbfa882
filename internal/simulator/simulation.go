package simulator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The product of a simulated sale.
const (
	price    = 4999
	currency = "USD"
	maxQty   = 4

	maxPerShopper = maxQty // with sign-in: greedy shoppers want more
)

// Offer is the product that the simulation puts on sale.
type Offer struct {
	ID            string
	Name          string
	Price         int64 // minor units
	Currency      string
	Stock         int64
	MaxQtyPerHold int64
	MaxPerShopper *int64 // nil: no limit
}

// Finding is one finding of an audit.
type Finding struct {
	Check  string `json:"check"`
	Entity string `json:"entity"`
	Detail string `json:"detail"`
}

// Operator does the operator's part of a sale.
type Operator interface {
	// PutOnSale creates a product.
	PutOnSale(ctx context.Context, o Offer) error
	// Audit recomputes the ledger from its rows. It returns the first hundred findings of each of its checks.
	Audit(ctx context.Context) ([]Finding, error)
	// Owed returns what is owed by order, in minor units, or nil if there is more than it can list.
	Owed(ctx context.Context) (map[string]int64, error)
}

// Signer signs payment events by Standard Webhooks, with a secret that the server accepts.
type Signer interface {
	Sign(id string, at time.Time, body []byte) http.Header
}

// Options are the settings of a simulation.
type Options struct {
	Sale     Sale
	URL      string // of the server, without /v1
	Product  string // a new product's id
	Operator Operator
	Signer   Signer
	// SignIn returns the bearer token of the shopper with a name; the server must accept it. nil: the shoppers are
	// anonymous, the product has no limit per shopper, and greedy shoppers behave like the others.
	SignIn func(name string) (token string)
	// Show is called every ShowEvery (a second if it is zero) with the progress; nil shows nothing.
	Show      func(Progress)
	ShowEvery time.Duration
	// HoldTTL is how long the server's holds last; zero if that is not known.
	HoldTTL time.Duration
	// Quiet is longer than the server works on any request. After it, a request without a response has either taken
	// effect or never will. Ten seconds if it is zero.
	Quiet time.Duration
	// TakenBack is how late freed stock may return before that counts as a defect. 15 seconds if it is zero: the
	// promise is two, but the machine may be slow.
	TakenBack time.Duration
	// Silence is how long the server may leave all requests without a response, after the last arrival, before it counts
	// as dead. Twelve seconds if it is zero: a server that restarts is back by then.
	Silence time.Duration
	// Closing GiveUp ends the simulation soon, with an error. It may be nil.
	GiveUp <-chan struct{}
}

// errStopped ends a simulation that has no result yet.
var errStopped = errors.New("interrupted before the sale was checked: there is no result")

// simulation is a sale in progress.
type simulation struct {
	evidence
	shoppers []Shopper
	clock    clock
	client   *client
	meter    *meter
	observer *observer
	recent   recentHolds

	arrived, done atomic.Int64
	closed        atomic.Int64 // when arrivals ended; 0 before
	phase         atomic.Value // string
	unresolved    atomic.Int64 // requests at the end that got no response
}

// Run plays a sale to its end and checks it. When ctx ends during the sale, new arrivals stop, visits in progress finish,
// and the checks still run. When it ends during the checks, or the server is dead by then, Run gives up. The error says
// why there is no result; a broken invariant is in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	s := newSimulation(o)
	defer s.close()
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	work, giveUp := context.WithCancelCause(context.WithoutCancel(ctx)) // an interrupt ends neither visits nor checks
	defer giveUp(nil)
	began := time.Now()
	s.close()
	s.start(began)
	var beside sync.WaitGroup
	watching, stopWatching := context.WithCancel(work)
	defer stopWatching()
	beside.Go(func() { s.observer.run(watching, s.lookRequest()) })
	beside.Go(func() { s.measure(watching) })
	beside.Go(func() { s.watch(watching, giveUp) })
	interrupted := s.play(ctx, work)
	played := s.clock.now()
	if ctx.Err() == nil { // no arrivals are left for an interrupt to stop
		defer context.AfterFunc(ctx, func() { giveUp(errStopped) })()
	}
	s.settle(work)
	stopWatching()
	beside.Wait()
	after, err := o.Operator.Audit(work)
	if work.Err() != nil {
		return nil, context.Cause(work)
	}
	if err != nil {
		return nil, fmt.Errorf("auditing after the sale: %w", err)
	}
	if n := s.unresolved.Load(); n > 0 {
		return nil, fmt.Errorf("the server did not respond to %d requests at the end: the sale cannot be checked", n)
	}
	if s.owed, err = s.Operator.Owed(context.WithoutCancel(ctx)); err != nil {
		return nil, fmt.Errorf("listing the money owed after the sale: %w", err)
	}
	s.samples, s.auditAfter = s.observer.all(), after
	return s.report(began, played, interrupted), nil
}

func newSimulation(o Options) *simulation {
	o.ShowEvery = cmp.Or(o.ShowEvery, time.Second)
	o.Quiet, o.TakenBack = cmp.Or(o.Quiet, 10*time.Second), cmp.Or(o.TakenBack, 15*time.Second)
	o.Silence = cmp.Or(o.Silence, 12*time.Second)
	s := &simulation{evidence: evidence{Options: o}, shoppers: Draw(o.Sale)}
	s.histories = make([]*history, len(s.shoppers))
	for i := range s.histories {
		s.histories[i] = &history{}
	}
	s.phase.Store("opening")
	s.start(time.Now())
	return s
}

// start sets the clock, and everything that measures by it.
func (s *simulation) start(at time.Time) {
	s.clock.start = at
	s.client = newClient(s.URL, s.clock, maxConnections)
	s.meter = newMeter(s.clock, tickOf(s.Sale.Duration))
	s.observer = newObserver(s.URL, s.clock, s.Sale.Duration)
}

func (s *simulation) close() {
	s.client.close()
	s.observer.client.close()
}

// ask sends a request of the simulation's own, with a few retries.
func (s *simulation) ask(ctx context.Context, q request) (a response) {
	for tries := range 5 {
		if tries > 0 {
			s.clock.until(ctx, s.clock.now()+time.Duration(tries)*300*time.Millisecond)
		}
		if a = s.client.send(ctx, q); (!a.lost() && !a.busy()) || ctx.Err() != nil {
			break
		}
	}
	return a
}

// play starts each visit at its time, and waits for the last to end. It returns whether an interrupt stopped arrivals.
func (s *simulation) play(ctx, work context.Context) (interrupted bool) {
	order := make([]int, len(s.shoppers))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(s.shoppers[a].Arrives, s.shoppers[b].Arrives) })
	var visits sync.WaitGroup
	s.phase.Store("spike")
	for _, i := range order {
		plan := &s.shoppers[i]
		if plan.Arrives > s.Sale.Spike {
			s.phase.Store("tail")
		}
		if !s.clock.until(ctx, plan.Arrives) {
			interrupted = true
			break
		}
		v := &visit{simulation: s, plan: plan, history: s.histories[i], due: plan.Arrives}
		s.arrived.Add(1)
		visits.Go(func() {
			v.run(work)
			s.done.Add(1)
		})
	}
	s.closed.Store(int64(s.clock.now()))
	s.phase.Store("draining")
	visits.Wait()
	return interrupted
}

// watch gives up when the server is dead or GiveUp is closed. Nothing else would end the simulation soon then, because
// every request at the end has retries.
func (s *simulation) watch(watching context.Context, giveUp context.CancelCauseFunc) {
	pulse := time.NewTicker(s.Silence / 50)
	defer pulse.Stop()
	for {
		select {
		case <-watching.Done():
			return
		case <-s.GiveUp:
			giveUp(errStopped)
			return
		case <-pulse.C:
			if s.serverIsDead() {
				giveUp(fmt.Errorf("the server at %s no longer responds: the sale cannot be checked", s.URL))
				return
			}
		}
	}
}

// serverIsDead reports whether no request got a response for too long. The observer sends requests all the time. Until
// arrivals end, the server has time to restart.
func (s *simulation) serverIsDead() bool {
	closed := time.Duration(s.closed.Load())
	last := max(closed, s.client.lastResponse(), s.observer.client.lastResponse())
	return closed > 0 && s.clock.now()-last > s.Silence
}
