package stockview

import (
	"errors"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"flashsale/pkg/checkout"
)

// These tests are inside the package because no result shows which readers shared a call.

// slowCache returns a result when it is told to. Its set of used keys has the even numbers.
type slowCache struct {
	mu    sync.Mutex
	calls [][]string
	begun chan struct{}
	end   chan error
}

func newSlowCache() *slowCache {
	return &slowCache{begun: make(chan struct{}, 9), end: make(chan error, 9)}
}

func (c *slowCache) call(keys []string) (cacheRead, error) {
	c.mu.Lock()
	c.calls = append(c.calls, keys)
	version := int64(len(c.calls))
	c.mu.Unlock()
	c.begun <- struct{}{}
	err := <-c.end
	result := cacheRead{product: &checkout.Product{Version: version}, usedKeys: 7}
	for _, key := range keys {
		n, _ := strconv.Atoi(key)
		result.used = append(result.used, n%2 == 0)
	}
	return result, err
}

type readBatcher = batcher[string, cacheRead]

// queued returns how many keys the next batch has.
func queued(b *readBatcher, id string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next[id] == nil {
		return 0
	}
	return len(b.next[id].items)
}

// read looks one key up.
func read(b *readBatcher, c *slowCache, key string) (entryRead, error) {
	result, position, err := b.do("p", []string{key}, c.call)
	if err != nil {
		return entryRead{}, err
	}
	return entryRead{result.product, result.usedKeys, result.used[position]}, nil
}

// startReaders starts n readers, each with its own key, during a read in flight. It returns once all of them wait.
func startReaders(b *readBatcher, c *slowCache, n int, check func(reader int, read entryRead, err error)) *sync.WaitGroup {
	var wg sync.WaitGroup
	wg.Go(func() { _, _, _ = b.do("p", nil, c.call) })
	<-c.begun
	for i := range n {
		wg.Go(func() {
			read, err := read(b, c, strconv.Itoa(i))
			check(i, read, err)
		})
	}
	for queued(b, "p") < n {
		runtime.Gosched()
	}
	return &wg
}

func TestWaitingReadersShareTheNextRead(t *testing.T) {
	b, c := newBatcher[string, cacheRead](false), newSlowCache()
	const readers = 100
	wg := startReaders(b, c, readers, func(i int, read entryRead, err error) {
		if err != nil || read.product.Version != 2 || read.usedKeys != 7 || read.keyUsed != (i%2 == 0) {
			t.Errorf("reader %d got %+v (%v), expected version 2, 7 used keys, its key used: %v", i, read, err, i%2 == 0)
		}
	})
	c.end <- nil
	c.end <- nil
	wg.Wait()
	if len(c.calls) != 2 || len(c.calls[0]) != 0 || len(c.calls[1]) != readers || len(b.next) != 0 {
		t.Errorf("%d cache calls and %v left over, expected 2 calls, all %d keys in the second", len(c.calls), b.next, readers)
	}
}

func TestWaitingReadersFailWithTheReadInFlight(t *testing.T) {
	b, c := newBatcher[string, cacheRead](false), newSlowCache()
	broken := errors.New("broken")
	wg := startReaders(b, c, 10, func(i int, _ entryRead, err error) {
		if !errors.Is(err, broken) {
			t.Errorf("reader %d got %v, expected the error of the read in flight", i, err)
		}
	})
	c.end <- broken
	wg.Wait()
	if len(c.calls) != 1 || len(b.next) != 0 {
		t.Errorf("%d cache calls and %v left over, expected 1 and nothing", len(c.calls), b.next)
	}
	c.end <- nil
	if _, _, err := b.do("p", nil, c.call); err != nil {
		t.Errorf("a later read failed: %v", err)
	}
}

// A lost write loses its own keys, and not those of the callers that wait for it.
func TestWaitingWritersTryAfterAFailedWrite(t *testing.T) {
	b, c := newBatcher[string, cacheRead](true), newSlowCache()
	const writers = 10
	wg := startReaders(b, c, writers, func(i int, written entryRead, err error) {
		if err != nil || written.product.Version != 2 {
			t.Errorf("writer %d got %+v (%v), expected its keys in the second write", i, written, err)
		}
	})
	c.end <- errors.New("broken")
	c.end <- nil
	wg.Wait()
	if len(c.calls) != 2 || len(c.calls[1]) != writers || len(b.next) != 0 {
		t.Errorf("%d cache calls and %v left over, expected 2 calls, all %d keys in the second", len(c.calls), b.next, writers)
	}
}

func TestReaderOfAFullBatchReadsAlone(t *testing.T) {
	b, c := newBatcher[string, cacheRead](false), newSlowCache()
	wg := startReaders(b, c, maxBatchItems, func(i int, read entryRead, err error) {
		if err != nil || read.keyUsed != (i%2 == 0) {
			t.Errorf("reader %d got %+v (%v), expected its key used: %v", i, read, err, i%2 == 0)
		}
	})
	wg.Go(func() {
		if read, err := read(b, c, "1000"); err != nil || !read.keyUsed {
			t.Errorf("the reader of a full batch got %+v (%v), expected its key used", read, err)
		}
	})
	<-c.begun // while the first read is still in flight
	for range 3 {
		c.end <- nil
	}
	wg.Wait()
	if len(c.calls) != 3 {
		t.Errorf("%d cache calls, expected 3", len(c.calls))
	}
}
