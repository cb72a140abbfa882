package ledger

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"
)

// groups makes one call for several requests Q that arrive together. Requests of one key K that arrive while a call for K is under way
// share the next call. A request never waits for others to arrive: if no call is under way, it goes alone at once. A shared call
// handles only the usual outcomes; every other request goes alone, with its own id. R is the response to one request.
type groups[K comparable, Q, R any] struct {
	sharing[K, Q, R]

	mu sync.Mutex
	of map[K]*group[Q, R]
}

// sharing says which requests share a call, and makes the calls.
type sharing[K comparable, Q, R any] struct {
	alone    func(context.Context, Q) (R, error)              // a call for one request
	together func(context.Context, K, []Q) (shared[R], error) // a call for a batch

	keyOf    func(Q) (key K, ok bool)  // requests of one key share calls; not ok: it goes alone
	conflict func(key K, a, b *Q) bool // whether two must not share a batch
	rowBytes func(Q) (own, each int)   // at least the size of its part of the statement, and what it adds to each part
}

// shared is the result of a call for a batch.
type shared[R any] struct {
	responses []*R  // to each request; nil, or none at all: it needs a call of its own
	apart     []int // positions from 1 on, of requests that keep the others from sharing a call
}

// group is the queue of one key while a call is under way.
type group[Q, R any] struct {
	leader  *leader // runs the calls, one after the other
	waiting []*waiting[Q, R]
	usual   time.Duration // a moving average of how long a call takes
}

// leader is a token: a goroutine that has lost the lead makes no further calls.
type leader struct{ calledAt time.Time }

// waiting is a request in the queue, or in the batch under way.
type waiting[Q, R any] struct {
	request  Q
	response chan R // one response, or closed: the request needs a call of its own
}

// The limits of a batch. RDS Proxy pins its connection to a client that sends a statement of more than 16 KB.
const (
	maxBatch      = 256
	maxBatchBytes = 15 << 10
)

// A call is late after lateFactor times the usual duration, within these limits. The next batch then starts beside it. After another
// aloneAfter, the late batch's requests go alone, because its connection may be frozen. They do not go sooner: until its lock wait
// has failed, they would take connections and wait for the rows that it has locked.
const (
	lateFactor = 4
	minLate    = 20 * time.Millisecond
	maxLate    = 500 * time.Millisecond
	aloneAfter = lockWait + 500*time.Millisecond
)

// fewLeft is how many requests go alone when most of their batch is apart. A second shared call could fail again, and would cost them
// more than it saves. A lane has room for this many of one product (perProduct).
const fewLeft = 8

func newGroups[K comparable, Q, R any](s sharing[K, Q, R]) *groups[K, Q, R] {
	return &groups[K, Q, R]{sharing: s, of: map[K]*group[Q, R]{}}
}

// do makes the call for a request, with others if a call of the same key is under way.
func (g *groups[K, Q, R]) do(ctx context.Context, r Q) (R, error) {
	key, ok := g.keyOf(r)
	if !ok {
		return g.alone(ctx, r)
	}
	lead, w := g.join(key, r)
	if lead != nil {
		defer g.next(key, lead)
		return g.alone(ctx, r)
	}
	if w == nil {
		return g.alone(ctx, r)
	}
	if response, ok := g.await(ctx, key, w); ok {
		return response, nil
	}
	return g.alone(ctx, r)
}

// join makes the caller the leader if no call is under way, or else puts the request into the queue. It returns neither for a
// request that must not share a batch with one that waits.
func (g *groups[K, Q, R]) join(key K, r Q) (*leader, *waiting[Q, R]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := g.of[key]
	if q == nil {
		q = &group[Q, R]{leader: &leader{calledAt: time.Now()}}
		g.of[key] = q
		return q.leader, nil
	}
	w := &waiting[Q, R]{r, make(chan R, 1)}
	mates := q.waiting[max(0, len(q.waiting)-maxBatch+1):] // those further ahead are in an earlier batch
	if slices.ContainsFunc(mates, func(mate *waiting[Q, R]) bool { return g.conflict(key, &mate.request, &w.request) }) {
		return nil, nil
	}
	q.waiting = append(q.waiting, w)
	return nil, w
}

// await waits for the response to a request in the queue. It returns false if the request needs a call of its own.
func (g *groups[K, Q, R]) await(ctx context.Context, key K, w *waiting[Q, R]) (none R, ok bool) {
	wait := g.takeOver(key)
	alone := time.Now().Add(min(wait, maxLate) + aloneAfter) // wait is longer for a request that is in the batch under way already
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(alone) {
		alone = deadline
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case response, ok := <-w.response:
			return response, ok
		case <-timer.C:
		}
		left := time.Until(alone)
		if left <= 0 {
			g.leave(key, w)
			return none, false
		}
		timer.Reset(min(g.takeOver(key), left))
	}
}

// takeOver starts the next batch beside a call that is late. It returns when to look again.
func (g *groups[K, Q, R]) takeOver(key K) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := g.of[key]
	if q == nil || len(q.waiting) == 0 {
		return aloneAfter // the request is in the batch under way
	}
	late := min(max(lateFactor*q.usual, minLate), maxLate)
	if wait := late - time.Since(q.leader.calledAt); wait > 0 {
		return wait
	}
	q.leader = &leader{calledAt: time.Now()}
	go g.lead(key, q.leader, 0)
	return late
}

// leave takes a request out of the queue, if it is still there.
func (g *groups[K, Q, R]) leave(key K, left *waiting[Q, R]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if q := g.of[key]; q != nil {
		q.waiting = slices.DeleteFunc(q.waiting, func(w *waiting[Q, R]) bool { return w == left })
	}
}

// next ends a leader's own call. The requests that wait get another goroutine, so that the caller has its response at once.
func (g *groups[K, Q, R]) next(key K, lead *leader) {
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

// lead makes calls while requests wait, until another one takes over. took is the duration of the call before; 0: none.
func (g *groups[K, Q, R]) lead(key K, lead *leader, took time.Duration) {
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
func (g *groups[K, Q, R]) cut(key K, lead *leader, took time.Duration) []*waiting[Q, R] {
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
	n, bytes, each := 0, 0, 0
	for n < min(len(q.waiting), maxBatch) {
		own, every := g.rowBytes(q.waiting[n].request)
		bytes, each = bytes+own, max(each, every)
		if bytes+(n+1)*each > maxBatchBytes {
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
func (q *group[Q, R]) learn(took time.Duration) {
	took = min(took, maxLate) // one call that hung says little about the next ones
	if q.usual == 0 {
		q.usual = took
	}
	if took > 0 {
		q.usual += (took - q.usual) / 4
	}
}

// send makes the call for a batch and hands out the responses. It closes the channels of the requests that need a call of
// their own.
func (g *groups[K, Q, R]) send(key K, batch []*waiting[Q, R]) {
	if len(batch) > 1 {
		batch = g.share(key, batch)
	}
	for _, w := range batch {
		close(w.response)
	}
}

// share makes one call for several requests and returns those that are left out.
func (g *groups[K, Q, R]) share(key K, batch []*waiting[Q, R]) []*waiting[Q, R] {
	requests := make([]Q, len(batch))
	for i, w := range batch {
		requests[i] = w.request
	}
	ctx, cancel := context.WithTimeout(context.Background(), aloneAfter) // then they go alone: a later try could place what was refused
	defer cancel()
	got, err := g.together(ctx, key, requests)
	if err != nil {
		return batch // each finds out for itself, by its own id
	}
	if len(got.apart) > 0 {
		var others []*waiting[Q, R]
		for i, w := range batch {
			if slices.Contains(got.apart, i+1) {
				close(w.response) // now: the call of the others may get stuck
			} else {
				others = append(others, w)
			}
		}
		if len(others) <= fewLeft && len(others) < len(got.apart) {
			return others
		}
		g.send(key, others)
		return nil
	}
	var left []*waiting[Q, R]
	for i, w := range batch {
		if i < len(got.responses) && got.responses[i] != nil {
			w.response <- *got.responses[i]
		} else {
			left = append(left, w)
		}
	}
	return left
}
