package ledger

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"flashsale/pkg/checkout"
)

// groups places the holds of one product in batches: those that arrive while a call of theirs is under way share the next
// one, place_holds. No hold waits for company: one that finds no call under way is a plain place_hold. A batch only
// speeds up the usual outcome. Holds that it leaves out go through place_hold, each with its own id.
type groups struct {
	alone    func(context.Context, checkout.HoldRequest) (checkout.Receipt, error) // a call for one hold
	together func(groupKey, []checkout.HoldRequest) (holdsResult, error)

	mu sync.Mutex
	of map[groupKey]*group
}

// groupKey is what all holds of a batch have in common.
type groupKey struct {
	product, currency string
	price             int64
	perShopper        int64 // 0: no limit
	ttl               time.Duration
}

// group is the queue of one key while a call is under way.
type group struct {
	leader  *leader // runs the calls, one after the other
	waiting []*waitingHold
	usual   time.Duration // a moving average of how long a call takes
}

// leader is a token: a goroutine that has lost the lead makes no further calls.
type leader struct{ calledAt time.Time }

// waitingHold is a hold in the queue, or in the batch under way.
type waitingHold struct {
	request checkout.HoldRequest
	placed  chan checkout.Receipt // one receipt, or closed: the hold needs a place_hold of its own
}

// The limits of a batch. RDS Proxy pins its connection to a client that sends a statement of more than 16 KB.
const (
	maxBatch      = 256
	maxBatchBytes = 15 << 10
)

// A call is late after lateFactor times the usual duration, within these limits. Then the next batch starts beside it. Holds of
// a batch that is late for another aloneAfter go by themselves: its connection may be frozen. A batch that waits for a lock has
// failed by then. Before, its holds would only take connections to wait for the rows that it has locked.
const (
	lateFactor = 4
	minLate    = 20 * time.Millisecond
	maxLate    = 500 * time.Millisecond
	aloneAfter = lockWait + 500*time.Millisecond
)

func newGroups(l *Ledger) *groups {
	return &groups{alone: l.placeHold, together: l.placeHolds, of: map[groupKey]*group{}}
}

// place places a hold, in a batch if a call for its product is under way.
func (g *groups) place(ctx context.Context, r checkout.HoldRequest) (checkout.Receipt, error) {
	key, ok := keyOf(r)
	if !ok {
		return g.alone(ctx, r)
	}
	lead, h := g.join(key, r)
	if lead != nil {
		defer g.next(key, lead)
		return g.alone(ctx, r)
	}
	if h == nil {
		return g.alone(ctx, r)
	}
	if receipt, ok := g.await(ctx, key, h); ok {
		return receipt, nil
	}
	return g.alone(ctx, r)
}

// keyOf returns the group of a hold. A hold has none if its caller saw no price, or would be refused for missing sign-in.
func keyOf(r checkout.HoldRequest) (key groupKey, ok bool) {
	if r.Price == nil || r.MaxPerShopper != nil && (r.Shopper.Anonymous() || *r.MaxPerShopper < 1) {
		return groupKey{}, false
	}
	key = groupKey{product: r.ProductID, currency: r.Price.Currency, price: r.Price.Amount, ttl: r.TTL}
	if r.MaxPerShopper != nil {
		key.perShopper = *r.MaxPerShopper
	}
	return key, true
}

// join makes the caller the leader if no call is under way, or else puts the hold into the queue. It returns neither for a hold
// that must not share a batch with one that waits: of the same key, or of the same shopper where there is a limit.
func (g *groups) join(key groupKey, r checkout.HoldRequest) (*leader, *waitingHold) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := g.of[key]
	if q == nil {
		q = &group{leader: &leader{calledAt: time.Now()}}
		g.of[key] = q
		return q.leader, nil
	}
	if r.Key != nil || key.perShopper > 0 {
		mates := q.waiting[max(0, len(q.waiting)-maxBatch+1):] // those further ahead are in an earlier batch
		if slices.ContainsFunc(mates, func(w *waitingHold) bool { return conflict(&w.request, &r, key.perShopper > 0) }) {
			return nil, nil
		}
	}
	h := &waitingHold{r, make(chan checkout.Receipt, 1)}
	q.waiting = append(q.waiting, h)
	return nil, h
}

func conflict(a, b *checkout.HoldRequest, limited bool) bool {
	return limited && a.Shopper == b.Shopper || a.Key != nil && b.Key != nil && *a.Key == *b.Key
}

// await waits for the receipt of a hold in the queue. It returns false if the hold needs a call of its own.
func (g *groups) await(ctx context.Context, key groupKey, h *waitingHold) (checkout.Receipt, bool) {
	wait := g.takeOver(key)
	alone := time.Now().Add(min(wait, maxLate) + aloneAfter) // wait is longer for a hold that is in the batch under way already
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(alone) {
		alone = deadline
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case receipt, ok := <-h.placed:
			return receipt, ok
		case <-timer.C:
		}
		left := time.Until(alone)
		if left <= 0 {
			g.leave(key, h)
			return checkout.Receipt{}, false
		}
		timer.Reset(min(g.takeOver(key), left))
	}
}

// takeOver starts the next batch beside a call that is late. It returns when to look again.
func (g *groups) takeOver(key groupKey) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := g.of[key]
	if q == nil || len(q.waiting) == 0 {
		return aloneAfter // the hold is in the batch under way
	}
	late := min(max(lateFactor*q.usual, minLate), maxLate)
	if wait := late - time.Since(q.leader.calledAt); wait > 0 {
		return wait
	}
	q.leader = &leader{calledAt: time.Now()}
	go g.lead(key, q.leader, 0)
	return late
}

// leave takes a hold out of the queue, if it is still there.
func (g *groups) leave(key groupKey, h *waitingHold) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if q := g.of[key]; q != nil {
		q.waiting = slices.DeleteFunc(q.waiting, func(w *waitingHold) bool { return w == h })
	}
}

// next ends a leader's own call. The holds that wait get another goroutine, so that the caller has its response at once.
func (g *groups) next(key groupKey, lead *leader) {
	g.mu.Lock()
	defer g.mu.Unlock()
	took := time.Since(lead.calledAt)
	switch q := g.of[key]; {
	case q == nil: // another one took over, and is done
	case q.leader != lead: // another one took over
		q.learn(took)
	case len(q.waiting) == 0:
		delete(g.of, key)
	default:
		go g.lead(key, lead, took)
	}
}

// lead makes calls while holds wait, until another one takes over. took is the duration of the call before; 0: none.
func (g *groups) lead(key groupKey, lead *leader, took time.Duration) {
	for {
		runtime.Gosched() // lets those join that can run now, such as callers that just got their response
		batch := g.cut(key, lead, took)
		if batch == nil {
			return
		}
		g.send(key, batch)
		took = time.Since(lead.calledAt)
	}
}

// cut takes the next batch out of the queue. It returns nil if the leader's work is done.
func (g *groups) cut(key groupKey, lead *leader, took time.Duration) []*waitingHold {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := g.of[key]
	if q == nil {
		return nil
	}
	q.learn(took)
	if q.leader != lead {
		return nil
	}
	if len(q.waiting) == 0 {
		delete(g.of, key)
		return nil
	}
	n, bytes := 0, 0
	for n < min(len(q.waiting), maxBatch) {
		if bytes += maxRowBytes(q.waiting[n].request); bytes > maxBatchBytes {
			break
		}
		n++
	}
	batch := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	lead.calledAt = time.Now()
	return batch
}

// learn adds the duration of a call to the average; 0: there was none. Calls that were late count too: otherwise a database that
// becomes slow would get ever more calls at once.
func (q *group) learn(took time.Duration) {
	took = min(took, maxLate) // one call that hung says little about the next ones
	if q.usual == 0 {
		q.usual = took
	}
	if took > 0 {
		q.usual += (took - q.usual) / 4
	}
}

// send places a batch and hands out the receipts. It closes the channels of the holds that need a call of their own.
func (g *groups) send(key groupKey, batch []*waitingHold) {
	if len(batch) > 1 {
		batch = g.placeTogether(key, batch)
	}
	for _, h := range batch {
		close(h.placed)
	}
}

// placeTogether calls place_holds and returns the holds that are left out.
func (g *groups) placeTogether(key groupKey, batch []*waitingHold) []*waitingHold {
	requests := make([]checkout.HoldRequest, len(batch))
	for i, h := range batch {
		requests[i] = h.request
	}
	r, err := g.together(key, requests)
	if err != nil {
		return batch // each finds out for itself, by its own id
	}
	if len(r.apart) > 0 {
		var others []*waitingHold
		for i, h := range batch {
			if slices.Contains(r.apart, i+1) {
				close(h.placed) // now: the call of the others may get stuck
			} else {
				others = append(others, h)
			}
		}
		g.send(key, others)
		return nil
	}
	for i, receipt := range r.receipts(requests) {
		batch[i].placed <- receipt
	}
	return batch[r.placed:]
}
