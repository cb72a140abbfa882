package stockview

import (
	"errors"
	"sync"

	"flashsale/pkg/checkout"
)

// batcher lets concurrent readers of a product share one call of the cache. In a rush thousands of requests read the
// same entry at once, and a call for each took a third of the server's CPU; with batches `flashsale run` refuses
// 30,000 holds per second on two cores.
//
// The first reader of an idle product reads at once, alone. Readers that arrive during that read form the next batch:
// they wait for its end, and then the first of them reads for all. Unlike singleflight, no reader gets the result of a
// read that began before it asked. A batched result is therefore as fresh as a read of the reader's own. One read per
// product is in flight at a time. A function in Lambda serves one request at a time, so it never waits here.
type batcher struct {
	mu sync.Mutex
	// next holds, per product with a read in flight, the batch that runs after it; nil means none is queued.
	next map[string]*batch
}

func newBatcher() *batcher { return &batcher{next: map[string]*batch{}} }

// batch is one read of the cache that several readers share.
type batch struct {
	keys  []string      // members of the set of used keys to look up, one per reader that has a key
	start chan struct{} // closed when the read before has ended, and the batch's first reader may read
	done  chan struct{} // closed when result and err are set
	batchResult
	err error
}

// batchResult is what one read of the cache returns.
type batchResult struct {
	product  *checkout.Product // nil: no usable entry
	usedKeys int64             // size of the set of used keys
	used     []bool            // per key of the batch: the set has it
}

// entryRead is one reader's part of a batchResult.
type entryRead struct {
	product  *checkout.Product // nil: no usable entry
	usedKeys int64             // size of the set of used keys
	keyUsed  bool              // the reader's key is in the set
}

// maxBatchKeys limits the keys of one read. A reader that finds the batch full reads alone.
const maxBatchKeys = 256

// errAbandoned is the error of a batch whose reader panicked.
var errAbandoned = errors.New("the read was abandoned")

// read returns the entry of a product and whether key ("" for none) is used. call reads the cache.
func (b *batcher) read(id, key string, call func(keys []string) (batchResult, error)) (entryRead, error) {
	b.mu.Lock()
	queued, inFlight := b.next[id]
	switch {
	case !inFlight:
		b.next[id] = nil
		b.mu.Unlock()
		alone := &batch{keys: keysOf(key), done: make(chan struct{}), err: errAbandoned}
		b.run(id, alone, call)
		return alone.readOf(key, 0)
	case queued != nil && len(queued.keys) == maxBatchKeys:
		b.mu.Unlock()
		alone := &batch{}
		alone.batchResult, alone.err = call(keysOf(key))
		return alone.readOf(key, 0)
	}
	first := queued == nil
	if first {
		queued = &batch{start: make(chan struct{}), done: make(chan struct{}), err: errAbandoned}
		b.next[id] = queued
	}
	position := len(queued.keys)
	queued.keys = append(queued.keys, keysOf(key)...)
	b.mu.Unlock()
	if first {
		select {
		case <-queued.start:
			b.mu.Lock()
			b.next[id] = nil // closed to further readers
			b.mu.Unlock()
			b.run(id, queued, call)
		case <-queued.done: // failed with the read before
		}
	}
	<-queued.done
	return queued.readOf(key, position)
}

// run reads for a batch and then starts the next one. After a failed read the next batch fails too: its readers have
// already waited one call's timeout.
func (b *batcher) run(id string, current *batch, call func(keys []string) (batchResult, error)) {
	defer func() { // also after a panic, so that no reader waits forever
		close(current.done)
		b.mu.Lock()
		defer b.mu.Unlock()
		next := b.next[id]
		if next == nil || current.err != nil {
			delete(b.next, id)
		}
		switch {
		case next == nil:
		case current.err != nil:
			next.err = current.err
			close(next.done)
		default:
			close(next.start)
		}
	}()
	current.batchResult, current.err = call(current.keys)
}

func keysOf(key string) []string {
	if key == "" {
		return nil
	}
	return []string{key}
}

// readOf returns the part of the reader whose key has a position in the batch.
func (b *batch) readOf(key string, position int) (entryRead, error) {
	if b.err != nil {
		return entryRead{}, b.err
	}
	return entryRead{
		product: b.product, usedKeys: b.usedKeys,
		keyUsed: key != "" && position < len(b.used) && b.used[position],
	}, nil
}
