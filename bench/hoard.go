package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"flashsale/pkg/checkout"
)

// pace is the timing of a hoarded sale: five seconds stand for a minute. The few milliseconds between two requests are then as
// small a share of it as a network's delay is of a real minute.
type pace struct {
	minute            time.Duration // the time that stands for a minute
	units, shoppers   int
	ttl, window, sale time.Duration
}

func (t *trial) pace() pace {
	p := pace{minute: 5 * time.Second, units: t.size(500, 50), shoppers: t.size(100, 10)}
	if t.options.Tiny {
		p.minute = 100 * time.Millisecond
	}
	p.ttl, p.window, p.sale = 2*p.minute, 15*p.minute, 45*p.minute
	if t.options.Tiny {
		p.sale = p.window
	}
	return p
}

// measure is a shop's protection against hoarders.
type measure struct {
	name       string
	maxQty     int64
	perShopper int64 // 0: shoppers need no sign-in
	orderLimit bool  // ORDER_LIMIT of three minutes
	perAddress int   // requests that an address may send in a minute; 0: any number
	operator   bool
}

// edgeDefault is the AddressRate of deploy/edge.yaml.
const edgeDefault = 300

// The measures. A shop that sets nothing has a max_qty_per_hold of 10.
var (
	noMeasure = measure{name: "none", maxQty: 10}
	smallHold = measure{name: "max_qty_per_hold 1", maxQty: 1}
	lateOrder = measure{name: "ORDER_LIMIT", maxQty: 10, orderLimit: true}
	edgeRate  = measure{name: "rate per address (emulated)", maxQty: 10, perAddress: edgeDefault}
	anonymous = measure{name: "these three", maxQty: 1, orderLimit: true, perAddress: edgeDefault}
	brake     = measure{name: "operator", maxQty: 10, operator: true}
	limited   = measure{name: "sign-in, max_per_shopper 2", maxQty: 10, perShopper: 2}
	both      = measure{name: "sign-in, max_per_shopper 2, ORDER_LIMIT", maxQty: 10, perShopper: 2, orderLimit: true}
	allOfThem = measure{name: "the same and operator", maxQty: 10, perShopper: 2, orderLimit: true, operator: true}
)

// hoarder is a client that tries to reserve all units without paying.
type hoarder struct {
	name      string
	addresses int
	accounts  func(units int) int // 0: anonymous
}

var (
	oneAddress   = hoarder{"anonymous, 1 address", 1, func(int) int { return 0 }}
	tenAddresses = hoarder{"anonymous, 10 addresses", 10, func(int) int { return 0 }}
	oneAccount   = hoarder{"1 account", 1, func(int) int { return 1 }}
	tenAccounts  = hoarder{"10 accounts", 10, func(int) int { return 10 }}
	eachAccount  = hoarder{"an account per unit", 10, func(units int) int { return units }}
)

// hoardCases are the pairs that can differ. Without required sign-in, an account matters only if an operator blocks it. With it, an
// anonymous hoarder gets nothing.
func hoardCases() (all []hoardCase) {
	add := func(hoarders []hoarder, measures ...measure) {
		for _, m := range measures {
			for _, h := range hoarders {
				all = append(all, hoardCase{m, h})
			}
		}
	}
	add([]hoarder{oneAddress, tenAddresses}, noMeasure, smallHold, lateOrder, edgeRate, anonymous)
	add([]hoarder{oneAddress, tenAddresses, oneAccount, tenAccounts, eachAccount}, brake)
	add([]hoarder{oneAddress, oneAccount, tenAccounts, eachAccount}, limited, both, allOfThem)
	return all
}

type hoardCase struct {
	measure measure
	hoarder hoarder
}

func (c hoardCase) name() string { return c.measure.name + ": " + c.hoarder.name }

// hoarded is the outcome of a case.
type hoarded struct {
	share    float64 // of the sale's units × time, that the hoarder kept
	bought   int     // shoppers who did
	attempts int     // of all shoppers
	requests int     // by the hoarder
}

// hoardedAtOnce is how many cases run side by side. Each is idle most of the time.
const hoardedAtOnce = 30

// runHoard plays a sale of 500 units to 100 shoppers beside a hoarder, once for each pair of a measure and a hoarder.
func runHoard(ctx context.Context, t *trial) error {
	cases := hoardCases()
	return t.alternate(ctx, func() {}, func(ctx context.Context) error {
		outcomes := make([]hoarded, len(cases))
		running, ctx := errgroup.WithContext(ctx)
		running.SetLimit(hoardedAtOnce)
		var opening sync.Mutex // one schema at a time: opening is CPU work, the rest is waiting
		for i, c := range cases {
			running.Go(func() error {
				opening.Lock()
				opened := sync.OnceFunc(opening.Unlock)
				defer opened()
				err := t.onSchema(func(ctx context.Context, s *site) (err error) {
					outcomes[i], err = s.hoard(ctx, c, opened)
					return err
				})(ctx)
				if err != nil {
					return fmt.Errorf("%s: %w", c.name(), err)
				}
				progress("%s: %.0f %% kept, %d bought", c.name(), 100*outcomes[i].share, outcomes[i].bought)
				return nil
			})
		}
		if err := running.Wait(); err != nil {
			return err
		}
		for i, c := range cases {
			o := outcomes[i]
			t.add(c.name(), "units kept by the hoarder, %", 100*o.share)
			t.add(c.name(), "shoppers who bought, %", 100*float64(o.bought)/float64(t.pace().shoppers))
			t.add(c.name(), "attempts per purchase", float64(o.attempts)/float64(o.bought))
			t.add(c.name(), "requests by the hoarder", float64(o.requests))
		}
		return nil
	})
}

// hoard plays one case. It calls opened once the sale is open.
func (s *site) hoard(ctx context.Context, c hoardCase, opened func()) (_ hoarded, err error) {
	p := s.pace()
	sale, err := s.openSale(ctx, c.measure, p)
	opened()
	if err != nil {
		return hoarded{}, err
	}
	defer func() { err = errors.Join(err, sale.close()) }()
	ctx, cancel := context.WithDeadline(ctx, sale.began.Add(p.sale))
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { sale.hoard(ctx, c.hoarder) })
	for n := range p.shoppers {
		all.Go(func() { sale.shop(ctx, n) })
	}
	if c.measure.operator {
		all.Go(func() { sale.operate(ctx) })
	}
	all.Wait()
	return sale.outcome(context.WithoutCancel(ctx))
}

// patience is how many times a shopper tries, once a minute.
const patience = 10

// shop is the visit of a shopper who wants one unit and pays within seconds.
func (s *sale) shop(ctx context.Context, n int) {
	random := rand.New(rand.NewPCG(1, uint64(n))) //nolint:gosec // G404, G115: shoppers must be repeatable, not secret
	within := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
	me := s.client(fmt.Sprintf("127.0.1.%d", 1+n), fmt.Sprint("shopper-", n))
	defer me.close()
	if sleep(ctx, within(s.pace.sale*8/10)) != nil {
		return
	}
	for range patience {
		s.count(func(o *hoarded) { o.attempts++ })
		hold, _, ok := me.place(ctx, 1)
		if ok && sleep(ctx, s.pace.minute/12+within(s.pace.minute/6)) == nil && me.order(ctx, hold) && s.pay(ctx, me, hold) {
			s.count(func(o *hoarded) { o.bought++ })
			return
		}
		if sleep(ctx, s.pace.minute/2+within(s.pace.minute)) != nil {
			return
		}
	}
}

// hoard holds all units that it can, orders them just before the holds expire, cancels the orders just before their time is
// over, and reserves the units again at once. Each slot does that with one hold at a time. Slots without a hold look for units, a
// hundred times a minute together.
func (s *sale) hoard(ctx context.Context, h hoarder) {
	accounts, units := h.accounts(s.pace.units), int64(s.pace.units)
	qty := s.measure.maxQty
	if s.measure.perShopper > 0 {
		qty = min(qty, s.measure.perShopper)
	}
	if accounts == s.pace.units {
		qty = 1
	}
	slots := int((units + qty - 1) / qty)
	if s.measure.perShopper > 0 && accounts > 0 { // more would only be refused
		slots = min(slots, accounts)
	}
	clients := make([]*client, max(h.addresses, accounts))
	for i := range clients {
		who := ""
		if accounts > 0 {
			who = fmt.Sprint("hoarder-", i%accounts)
		}
		clients[i] = s.client(fmt.Sprintf("127.0.2.%d", 1+i%h.addresses), who)
		clients[i].hoards = true
		defer clients[i].close()
	}
	var all sync.WaitGroup
	for n := range slots {
		all.Go(func() { s.slot(ctx, clients[n%len(clients)], qty, s.pace.minute*time.Duration(slots)/100) })
	}
	all.Wait()
}

// slot keeps one hold after another. Without one it looks for units now and then.
func (s *sale) slot(ctx context.Context, me *client, qty int64, idle time.Duration) {
	hold, ok := me.take(ctx, qty)
	for ctx.Err() == nil {
		switch {
		case !ok:
			_ = sleep(ctx, idle/2+rand.N(idle)) //nolint:gosec // G404: a pause, not a secret
			hold, ok = me.take(ctx, qty)
		case !s.stretch(ctx, me, hold):
			ok = false
		default:
			hold, ok = me.swap(ctx, hold, qty)
		}
	}
}

// take places a hold of qty units, or of those that are left.
func (c *client) take(ctx context.Context, qty int64) (hold string, ok bool) {
	hold, left, ok := c.place(ctx, qty)
	if !ok && left > 0 && left < qty {
		hold, _, ok = c.place(ctx, left)
	}
	return hold, ok
}

// stretch orders a hold just before it expires, and waits until the order is about to end.
func (s *sale) stretch(ctx context.Context, me *client, hold string) bool {
	random := rand.N[time.Duration] // so that slots do not act at the same instant
	if sleep(ctx, s.pace.ttl/2+random(s.pace.ttl/4)) != nil || !me.order(ctx, hold) {
		return false
	}
	order, ok := me.readOrder(ctx, hold)
	left := order.PayBy.Sub(order.CreatedAt)
	return ok && sleep(ctx, left*9/10-random(left/5)) == nil
}

// swap cancels an order and asks for its units at the same instant, so that others hardly have a chance.
func (c *client) swap(ctx context.Context, hold string, qty int64) (next string, ok bool) {
	cancelled := make(chan struct{})
	go func() {
		defer close(cancelled)
		c.cancel(ctx, hold)
	}()
	for done := false; !done && !ok && ctx.Err() == nil; {
		select {
		case <-cancelled:
			done = true // one last try
		default:
		}
		next, ok = c.take(ctx, qty)
	}
	<-cancelled
	return next, ok
}

// operate is the operator, once a minute from the fifth minute on. Holds and orders that are unpaid for two minutes end, and their
// shoppers are blocked if they are known.
func (s *sale) operate(ctx context.Context) {
	for wait := 5 * s.pace.minute; sleep(ctx, wait) == nil; wait = s.pace.minute {
		late, err := s.unpaid(ctx, 2*s.pace.minute)
		if err != nil {
			s.fail(err)
			return
		}
		by := checkout.Caller{Operator: true}
		for _, u := range late {
			if !u.shopper.Anonymous() {
				s.fail(s.site.ledger.BlockShopper(ctx, u.shopper, true, "bench"))
			}
			if u.ordered {
				_, err = s.app.Service.CancelOrder(ctx, by, u.id)
			} else {
				err = s.app.Service.ReleaseHold(ctx, by, u.id)
			}
			s.fail(err)
		}
	}
}

// fail keeps an operator's error, unless a shopper was faster or the sale is over.
func (s *sale) fail(err error) {
	ended := []checkout.Code{checkout.CodeOrderNotCancellable, checkout.CodeHoldOrdered}
	if err == nil || errors.Is(err, context.DeadlineExceeded) || slices.Contains(ended, checkout.CodeOf(err)) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = errors.Join(s.failed, err)
}
