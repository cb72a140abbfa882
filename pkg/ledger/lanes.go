package ledger

import (
	"context"
	"encoding/hex"
	"fmt"
	"sync"
	"sync/atomic"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/semaphore"

	"flashsale/pkg/checkout"
)

// Calls share the connections in lanes: a queue of holds delays no batch and no order, a queue of orders no payment, and no row that is locked
// for long takes the connections of other products. A lane is first in, first out, and limits how many of its connections one
// product may use. docs/decisions.md, "Calls share the connections in lanes", has the reason for 8 of 12.
var (
	holdLane  = laneSize{connections: 12, perProduct: 8}
	batchLane = laneSize{connections: 12, perProduct: 4} // one batch of a product at a time, and others beside one that is late
	orderLane = laneSize{connections: 12, perProduct: 8}
	payLane   = laneSize{connections: 12, perProduct: 8}
	sweepLane = laneSize{connections: 4, perProduct: 2}
	eventLane = laneSize{connections: 4, perProduct: 4} // stores events alone: only their own rows are locked
	retryLane = laneSize{connections: 4, perProduct: 4} // stored events, which nobody waits for
	readLane  = laneSize{connections: 6, perProduct: 6} // reads lock nothing, so no row stops them
)

var laneSizes = []*laneSize{&holdLane, &batchLane, &orderLane, &payLane, &sweepLane, &eventLane, &retryLane, &readLane}

type laneSize struct{ connections, perProduct int64 }

// route says which lane a routine takes, and which of its arguments tells the product: its id, or the hold's, or the payment's
// (after the provider's name, which comes first).
type route struct {
	lane                   *laneSize
	product, hold, payment int
}

const none = -1

var routes = map[string]route{
	"place_hold":     {&holdLane, 1, none, none},
	"place_holds":    {&batchLane, 0, none, none},
	"release_hold":   {&holdLane, none, 0, none},
	"create_order":   {&orderLane, none, 0, none},
	"block_shopper":  {&orderLane, none, none, none},
	"cancel_order":   {&orderLane, none, 0, none},
	"apply_event":    {&payLane, none, 4, 5},
	"apply_payments": {&payLane, 0, none, none},
	"record_refund":  {&payLane, none, none, 2},
	"put_product":    {&orderLane, 0, none, none},
	"delete_product": {&orderLane, 0, none, none},
	"keep_event":     {&eventLane, none, none, none},
	"postpone_event": {&eventLane, none, none, none},
	"reject_event":   {&eventLane, none, none, none},
	"retry_event":    {&retryLane, none, none, none},
	"expire_due":     {&sweepLane, 0, none, none},
	"prune_ended":    {&sweepLane, 0, none, none},
	"prune_events":   {&sweepLane, none, none, none},
	"move_marks":     {&sweepLane, none, none, none},
	"mend_mark":      {&sweepLane, 0, none, none},
	"record_audit":   {&sweepLane, none, none, none},
	"snapshot":       {&readLane, none, none, none},
}

// unknownProduct stands for all products that the process does not know. Together they may use as much of a lane as one product.
const unknownProduct = "?"

// maxConns is the size of the connection pool: one connection for each place in a lane.
func maxConns() (n int) {
	for _, size := range laneSizes {
		n += int(size.connections)
	}
	return n
}

// lanes are the queues in front of the connection pool.
type lanes struct {
	of       map[*laneSize]*lane
	products *lru.Cache[checkout.ID, string] // of the latest holds
}

// knownHolds is how many holds a process remembers the product of.
const knownHolds = 1 << 16

func newLanes() *lanes {
	products, err := lru.New[checkout.ID, string](knownHolds)
	if err != nil {
		panic(err) // the size is not positive
	}
	l := &lanes{of: map[*laneSize]*lane{}, products: products}
	for _, size := range laneSizes {
		l.of[size] = newLane(*size)
	}
	return l
}

func newLane(size laneSize) *lane {
	return &lane{size: size, slots: semaphore.NewWeighted(size.connections), products: map[string]*share{}}
}

type lane struct {
	size  laneSize
	slots *semaphore.Weighted
	calls atomic.Int64 // waiting or running

	mu       sync.Mutex
	products map[string]*share
}

// share is what one product may use of a lane, while some call uses it.
type share struct {
	slots *semaphore.Weighted
	users int
}

// enter waits for a place in the lane, first for one of the product's. An empty product has no limit. leave gives it back.
func (l *lane) enter(ctx context.Context, product string) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, acquireTimeout)
	defer cancel()
	l.calls.Add(1)
	leaveProduct := func() {}
	if product != "" {
		s := l.share(product)
		if err := s.slots.Acquire(ctx, 1); err != nil {
			l.drop(product)
			l.calls.Add(-1)
			return nil, fmt.Errorf("waiting in the queue of product %s for a connection: %w", product, err)
		}
		leaveProduct = func() { s.slots.Release(1); l.drop(product) }
	}
	if err := l.slots.Acquire(ctx, 1); err != nil {
		leaveProduct()
		l.calls.Add(-1)
		return nil, fmt.Errorf("waiting in the queue for a connection: %w", err)
	}
	return func() { l.slots.Release(1); leaveProduct(); l.calls.Add(-1) }, nil
}

func (l *lane) share(product string) *share {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.products[product]
	if s == nil {
		s = &share{slots: semaphore.NewWeighted(l.size.perProduct)}
		l.products[product] = s
	}
	s.users++
	return s
}

func (l *lane) drop(product string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.products[product]; s.users > 1 {
		s.users--
	} else {
		delete(l.products, product)
	}
}

// enter waits for a place in the routine's lane.
func (l *Ledger) enter(ctx context.Context, routine string, args []any) (leave func(), err error) {
	if l.lanes == nil {
		return func() {}, nil
	}
	way := routes[routine]
	lane, product := l.lanes.of[way.lane], ""
	switch {
	case way.product != none:
		product, _ = args[way.product].(string)
	case way.hold == none && way.payment == none, lane.calls.Load() == 0: // alone, it delays no other product
	default:
		product = l.productOf(ctx, way, args)
	}
	return lane.enter(ctx, product)
}

// productOf returns the product of the hold or of the payment that a call names.
func (l *Ledger) productOf(ctx context.Context, way route, args []any) string {
	if way.hold != none {
		if id, ok := args[way.hold].([]byte); ok && id != nil {
			return l.productOfHold(ctx, checkout.ID(id))
		}
	}
	if way.payment == none {
		return unknownProduct
	}
	found, err := collect(ctx, l, "looking up a payment's product", scanOne[string], `
		SELECT h.product_id FROM payments p JOIN holds h ON h.id = p.order_id
		WHERE p.provider = ? AND p.payment_id = ?`, args[0], args[way.payment])
	if err != nil || len(found) == 0 {
		return unknownProduct
	}
	return found[0]
}

func (l *Ledger) productOfHold(ctx context.Context, id checkout.ID) string {
	if product, ok := l.lanes.products.Get(id); ok {
		return product
	}
	found, err := collect(ctx, l, "looking up a hold's product", scanOne[string],
		"SELECT product_id FROM holds WHERE id = UNHEX(?)", hex.EncodeToString(id[:]))
	if err != nil || len(found) == 0 {
		return unknownProduct
	}
	l.lanes.products.Add(id, found[0])
	return found[0]
}

// remember keeps the product of a hold for later calls about it.
func (l *Ledger) remember(h *checkout.Hold) {
	if l.lanes != nil && h != nil {
		l.lanes.products.Add(h.ID, h.ProductID)
	}
}
