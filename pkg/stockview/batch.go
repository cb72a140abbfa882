package stockview

import (
	"errors"
	"sync"
)

// batcher lets concurrent callers of a product share one call of the cache, to which each brings items of type I. In a rush
// thousands of requests read the same entry at once, and a call for each took a third of the server's CPU. Of the writes of one
// entry, the latest is enough.
//
// The first caller of an idle product calls at once, alone. Callers that arrive during that call form the next batch: they
// wait for its end, and then the first of them calls for all. Unlike singleflight, no caller gets the result of a call that
// began before it asked. A batched result is therefore as fresh as that of a call of its own. One call per product is in
// flight at a time. A function in Lambda that serves one request at a time never waits here.
type batcher[I, R any] struct {
	// triesAgain makes a batch call even if the call before it failed. Writes need that: each has keys of its own. A read
	// can fail with the one before it: the ledger has the same state.
	triesAgain bool

	mu sync.Mutex
	// next holds, per product with a call in flight, the batch that runs after it; nil means none is queued.
	next map[string]*batch[I, R]
}

func newBatcher[I, R any](triesAgain bool) *batcher[I, R] {
	return &batcher[I, R]{triesAgain: triesAgain, next: map[string]*batch[I, R]{}}
}

// batch is one call of the cache that several callers share.
type batch[I, R any] struct {
	items  []I
	start  chan struct{} // closed when the call before has ended, and the batch's first caller may call
	done   chan struct{} // closed when result and err are set
	result R
	err    error
}

// maxBatchItems limits the items of one call. A caller that finds the batch full calls alone.
const maxBatchItems = 256

// errAbandoned is the error of a batch whose caller panicked.
var errAbandoned = errors.New("the call was abandoned")

// do makes a call about a product with the caller's items, or shares one. The caller's items begin at the position.
func (b *batcher[I, R]) do(id string, items []I, call func(items []I) (R, error)) (result R, position int, err error) {
	b.mu.Lock()
	queued, inFlight := b.next[id]
	switch {
	case !inFlight:
		b.next[id] = nil
		b.mu.Unlock()
		alone := &batch[I, R]{items: items, done: make(chan struct{}), err: errAbandoned}
		b.run(id, alone, call)
		return alone.result, 0, alone.err
	case queued != nil && len(queued.items) == maxBatchItems:
		b.mu.Unlock()
		result, err = call(items)
		return result, 0, err
	}
	first := queued == nil
	if first {
		queued = &batch[I, R]{start: make(chan struct{}), done: make(chan struct{}), err: errAbandoned}
		b.next[id] = queued
	}
	position = len(queued.items)
	queued.items = append(queued.items, items...)
	b.mu.Unlock()
	if first {
		select {
		case <-queued.start:
			b.mu.Lock()
			b.next[id] = nil // closed to further callers
			b.mu.Unlock()
			b.run(id, queued, call)
		case <-queued.done: // failed with the call before
		}
	}
	<-queued.done
	return queued.result, position, queued.err
}

// run calls for a batch and then starts the next one. After a failed call the next batch fails too, unless it tries again: its
// callers have already waited one call's timeout.
func (b *batcher[I, R]) run(id string, current *batch[I, R], call func(items []I) (R, error)) {
	defer func() { // also after a panic, so that no caller waits forever
		close(current.done)
		b.mu.Lock()
		defer b.mu.Unlock()
		next, failed := b.next[id], current.err != nil && !b.triesAgain
		if next == nil || failed {
			delete(b.next, id)
		}
		switch {
		case next == nil:
		case failed:
			next.err = current.err
			close(next.done)
		default:
			close(next.start)
		}
	}()
	current.result, current.err = call(current.items)
}
