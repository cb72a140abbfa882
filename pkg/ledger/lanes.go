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

// Calls share the connections in lanes: a queue of holds delays no order and no payment, and no row that is locked for
// long takes the connections of other products. A lane is first in, first out, and limits how many of its connections one
// product may use. The sizes are figures of docs/decisions.md, "Calls share the connections in lanes".
var (
	holdLane  = laneSize{connections: 12, perProduct: 8}
	orderLane = laneSize{connections: 12, perProduct: 8}
	sweepLane = laneSize{connections: 4, perProduct: 1}
	readLane  = laneSize{connections: 6, perProduct: 6} // reads lock nothing, so no row stops them
)

type laneSize struct{ connections, perProduct int64 }

// route says which lane a routine takes, and which of its arguments names the product, or the hold that knows it.
type route struct {
	lane          *laneSize
	product, hold int
}

const none = -1

var routes = map[string]route{
	"place_hold":    {&holdLane, 1, none},
	"release_hold":  {&holdLane, none, 0},
	"create_order":  {&orderLane, none, 0},
	"cancel_order":  {&orderLane, none, 0},
	"apply_event":   {&orderLane, none, 4},
	"keep_event":    {&orderLane, none, none},
	"reject_event":  {&orderLane, none, none},
	"record_refund": {&orderLane, none, none},
	"put_product":   {&orderLane, 0, none},
	"expire_due":    {&sweepLane, 0, none},
	"prune_ended":   {&sweepLane, 0, none},
	"prune_events":  {&sweepLane, none, none},
	"move_marks":    {&sweepLane, none, none},
	"mend_mark":     {&sweepLane, 0, none},
	"record_audit":  {&sweepLane, none, none},
	"snapshot":      {&readLane, none, none},
}

// maxConns is the size of the connection pool: one connection for each place in a lane.
func maxConns() int {
	return int(holdLane.connections + orderLane.connections + sweepLane.connections + readLane.connections)
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
	for _, size := range []*laneSize{&holdLane, &orderLane, &sweepLane, &readLane} {
		l.of[size] = &lane{size: *size, slots: semaphore.NewWeighted(size.connections), products: map[string]*share{}}
	}
	return l
}

type lane struct {
	size    laneSize
	slots   *semaphore.Weighted
	waiting atomic.Int64 // calls that wait or run

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
	l.waiting.Add(1)
	leaveProduct := func() {}
	if product != "" {
		s := l.share(product)
		if err := s.slots.Acquire(ctx, 1); err != nil {
			l.drop(product)
			l.waiting.Add(-1)
			return nil, fmt.Errorf("waiting in the queue of product %s for a connection: %w", product, err)
		}
		leaveProduct = func() { s.slots.Release(1); l.drop(product) }
	}
	if err := l.slots.Acquire(ctx, 1); err != nil {
		leaveProduct()
		l.waiting.Add(-1)
		return nil, fmt.Errorf("waiting in the queue for a connection: %w", err)
	}
	return func() { l.slots.Release(1); leaveProduct(); l.waiting.Add(-1) }, nil
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
	if way.product != none {
		product, _ = args[way.product].(string)
	} else if way.hold != none && lane.waiting.Load() > 1 { // alone in the lane, it cannot delay another product
		if id, ok := args[way.hold].([]byte); ok && id != nil {
			product = l.productOf(ctx, checkout.ID(id))
		}
	}
	return lane.enter(ctx, product)
}

// productOf returns the product of a hold, or "" if that is not known.
func (l *Ledger) productOf(ctx context.Context, id checkout.ID) string {
	if product, ok := l.lanes.products.Get(id); ok {
		return product
	}
	found, err := collect(ctx, l, "looking up a hold's product", scanOne[string],
		"SELECT product_id FROM holds WHERE id = UNHEX(?)", hex.EncodeToString(id[:]))
	if err != nil || len(found) == 0 {
		return ""
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
