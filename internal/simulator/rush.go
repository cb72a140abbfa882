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

// The product of a simulator.
const (
	price    = 4999
	currency = "USD"
	maxQty   = 4
)

// Offer is the product that a rush puts on sale.
type Offer struct {
	ID            string
	Name          string
	Price         int64 // minor units
	Currency      string
	Stock         int64
	MaxQtyPerHold int64
}

// Finding is something that an audit found.
type Finding struct {
	Check  string `json:"check"`
	Entity string `json:"entity"`
	Detail string `json:"detail"`
}

// Operator is what a rush needs of whoever operates the checkout.
type Operator interface {
	// PutOnSale creates a product.
	PutOnSale(ctx context.Context, o Offer) error
	// Audit recomputes the ledger from its rows and returns the invariants that do not hold, each check's first hundred.
	Audit(ctx context.Context) ([]Finding, error)
}

// Signer signs payment events by Standard Webhooks, with a secret that the server accepts.
type Signer interface {
	Sign(id string, at time.Time, body []byte) http.Header
}

// Options are what a rush is made of.
type Options struct {
	Sale     Sale
	URL      string // of the server, without /v1
	Product  string // a new product's id
	Operator Operator
	Signer   Signer
	Show     func(Glance) // is called every ShowEvery; nil: nobody looks on
	// ShowEvery is how often Show is called; a second when it is zero.
	ShowEvery time.Duration
	// HoldTTL is how long the server's holds last, if that is known.
	HoldTTL time.Duration
	// Quiet is longer than the server may work on a request: whatever a request without an answer did, it has done by
	// then. Ten seconds when it is zero.
	Quiet time.Duration
	// TakenBack is how long stock that is due may take to come back before that is a defect. 15 seconds when it is
	// zero: the promise is two, and the machine may be slow.
	TakenBack time.Duration
	// GiveUp is closed when nobody wants the result any more: Run then returns soon, with an error. nil: that never is.
	GiveUp <-chan struct{}
}

// ErrElsewhere means that the server at the URL is not the one that the operator and the signer belong to.
var ErrElsewhere = errors.New("the server is another one than this command's")

// rush is one in progress.
type rush struct {
	Options
	*stage
	shoppers []Shopper
	books    []*book
	observer *observer
	before   []Finding // what the audit found before

	arrived, done atomic.Int64
	closed        atomic.Int64 // when the last had come, or nobody came any more; 0 before
	phase         atomic.Value // string
	probe         *attempt     // the rush's own hold at the end; nil: there was nothing left to try
	left          Sample       // when it was tried
	counters      Sample       // the product at the end
	unanswered    atomic.Int64 // questions at the end
}

// Run plays a sale to its end and checks it. When ctx ends during the sale, nobody comes any more; who is there finishes,
// and the checks are made all the same. When it ends during the checks, or the server is dead by then, they are given up.
// The error says what could not be done; a broken invariant is in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	r := newRush(o)
	defer func() {
		r.client.close()
		r.observer.client.close()
	}()
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	// What is under way is finished and checked even after an interrupt.
	work, giveUp := context.WithCancelCause(context.WithoutCancel(ctx))
	defer giveUp(nil)
	began := time.Now()
	r.client.close()
	r.observer.client.close()
	r.clock.start = began
	r.restart()
	var beside sync.WaitGroup
	watching, stopWatching := context.WithCancel(work)
	beside.Go(func() { r.observer.run(watching) })
	beside.Go(func() { r.measure(watching) })
	beside.Go(func() { r.mind(watching, giveUp) })
	interrupted := r.play(ctx, work)
	played := r.clock.now()
	if ctx.Err() == nil { // there are no arrivals left for an interrupt to stop
		defer context.AfterFunc(ctx, func() { giveUp(errStopped) })()
	}
	r.settle(work)
	stopWatching()
	beside.Wait()
	after, err := o.Operator.Audit(work)
	if work.Err() != nil {
		return nil, context.Cause(work)
	}
	if err != nil {
		return nil, fmt.Errorf("auditing after the sale: %w", err)
	}
	if n := r.unanswered.Load(); n > 0 {
		return nil, fmt.Errorf("the server left %d questions at the end without an answer: the sale cannot be checked", n)
	}
	return r.report(began, played, interrupted, after), nil
}

func newRush(o Options) *rush {
	o.ShowEvery = cmp.Or(o.ShowEvery, time.Second)
	o.Quiet, o.TakenBack = cmp.Or(o.Quiet, 10*time.Second), cmp.Or(o.TakenBack, 15*time.Second)
	r := &rush{Options: o, shoppers: Draw(o.Sale)}
	r.stage = &stage{signer: o.Signer, product: o.Product, price: money{price, currency}}
	r.clock.start = time.Now()
	r.restart()
	r.books = make([]*book, len(r.shoppers))
	for i := range r.books {
		r.books[i] = &book{}
	}
	r.phase.Store("opening")
	return r
}

// restart makes everything that counts time anew.
func (r *rush) restart() {
	r.client = newClient(r.URL, r.clock, connections)
	r.meter = newMeter(r.clock, tickOf(r.Sale.Duration))
	r.observer = newObserver(r.URL, r.clock, r.product, r.Sale.Duration)
}

// tickOf keeps the number of points in a chart within reason.
func tickOf(duration time.Duration) time.Duration {
	return max(250*time.Millisecond, (duration / 200).Round(250*time.Millisecond))
}

// open puts the product on sale and makes sure that the server is the one that is meant.
func (r *rush) open(ctx context.Context) (err error) {
	if r.before, err = r.Operator.Audit(ctx); err != nil {
		return fmt.Errorf("auditing before the sale: %w", err)
	}
	if err := r.Operator.PutOnSale(ctx, Offer{
		ID: r.Product, Name: fmt.Sprintf("Rush of %d shoppers", r.Sale.Shoppers), Price: price, Currency: currency,
		Stock: r.Sale.Stock, MaxQtyPerHold: maxQty,
	}); err != nil {
		return fmt.Errorf("putting the product on sale: %w", err)
	}
	a := r.ask(ctx, request{op: Look, method: http.MethodGet, path: "/products/" + r.Product, timeout: answerTimeout})
	switch {
	case a.lost():
		return fmt.Errorf("no server answers at %s", r.URL)
	case a.status == http.StatusNotFound:
		return fmt.Errorf("%w: the product that was put on sale just now does not appear at %s; is that server on the database of MYSQL_DSN (or on this directory's)?", ErrElsewhere, r.URL)
	case a.status != http.StatusOK:
		return fmt.Errorf("%s answered %d %s when asked for the product", r.URL, a.status, a.body.Code)
	}
	// An event of a type that means nothing is recorded without effect, and shows whether the secret is the server's.
	a = r.ask(ctx, r.delivery("evt_"+r.Product+"_opens", []byte(`{"type":"simulator.opens","data":{}}`)))
	switch {
	case a.status == http.StatusUnauthorized, a.status == http.StatusNotFound:
		return fmt.Errorf("%w: it does not accept this command's webhook secret (%s); give both the same WEBHOOK_SECRETS, or stand in the directory of its `flashsale run`", ErrElsewhere, a.body.Code)
	case !a.ok():
		return fmt.Errorf("%s answered %s to a payment event", r.URL, a.word())
	}
	return nil
}

// ask sends a request of the rush's own until it is answered, at most a few times.
func (r *rush) ask(ctx context.Context, q request) (a answer) {
	for tries := range 5 {
		if tries > 0 {
			r.clock.until(ctx, r.clock.now()+time.Duration(tries)*300*time.Millisecond)
		}
		if a = r.client.send(ctx, q); (!a.lost() && !a.busy()) || ctx.Err() != nil {
			break
		}
	}
	return a
}

// play lets the shoppers come, each when its plan says, and waits until the last has gone. It returns whether they were
// stopped before all had come.
func (r *rush) play(ctx, work context.Context) (interrupted bool) {
	order := make([]int, len(r.shoppers))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(r.shoppers[a].Arrives, r.shoppers[b].Arrives) })
	var visits sync.WaitGroup
	r.phase.Store("spike")
	for _, i := range order {
		s := &r.shoppers[i]
		if s.Arrives > r.Sale.Spike {
			r.phase.Store("tail")
		}
		if !r.clock.until(ctx, s.Arrives) {
			interrupted = true
			break
		}
		v := &visit{stage: r.stage, plan: s, book: r.books[i], due: s.Arrives}
		r.arrived.Add(1)
		visits.Go(func() {
			v.run(work)
			r.done.Add(1)
		})
	}
	r.closed.Store(int64(r.clock.now()))
	r.phase.Store("draining")
	visits.Wait()
	return interrupted
}
