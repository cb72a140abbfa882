package stockview

import (
	"errors"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"flashsale/pkg/checkout"
)

// This test is inside the package: from outside nobody can tell who shared a read with whom.

// slowCache answers when it is told to. Members with an even number are in its set.
type slowCache struct {
	mu    sync.Mutex
	asked [][]string
	begun chan struct{}
	end   chan error
}

func (c *slowCache) ask(members []string) (shown, error) {
	c.mu.Lock()
	c.asked = append(c.asked, members)
	version := int64(len(c.asked))
	c.mu.Unlock()
	c.begun <- struct{}{}
	err := <-c.end
	seen := shown{product: &checkout.Product{Version: version}, count: 7}
	for _, m := range members {
		n, _ := strconv.Atoi(m)
		seen.used = append(seen.used, n%2 == 0)
	}
	return seen, err
}

// waiting is how many keys wait for the next read.
func (g *gatherer) waiting(id string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next[id] == nil {
		return 0
	}
	return len(g.next[id].members)
}

// crowd lets n readers, each with a member of its own, come while a read is under way, and returns when all wait.
func crowd(g *gatherer, c *slowCache, n int, each func(reader int, s sight, err error)) *sync.WaitGroup {
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = g.read("p", "", c.ask) })
	<-c.begun
	for i := range n {
		wg.Go(func() {
			s, err := g.read("p", strconv.Itoa(i), c.ask)
			each(i, s, err)
		})
	}
	for g.waiting("p") < n {
		runtime.Gosched()
	}
	return &wg
}

func TestWhoWaitsSharesTheNextRead(t *testing.T) {
	g, c := &gatherer{next: map[string]*gathering{}}, &slowCache{begun: make(chan struct{}, 9), end: make(chan error, 9)}
	const readers = 100
	wg := crowd(g, c, readers, func(i int, s sight, err error) {
		if err != nil || s.product.Version != 2 || s.count != 7 || s.member != (i%2 == 0) {
			t.Errorf("reader %d got %+v %v", i, s, err)
		}
	})
	c.end <- nil
	c.end <- nil
	wg.Wait()
	if len(c.asked) != 2 || len(c.asked[0]) != 0 || len(c.asked[1]) != readers || len(g.next) != 0 {
		t.Errorf("%d reads, %v left", len(c.asked), g.next)
	}
}

func TestWhoWaitsForAFailedReadFailsWithIt(t *testing.T) {
	g, c := &gatherer{next: map[string]*gathering{}}, &slowCache{begun: make(chan struct{}, 9), end: make(chan error, 9)}
	broken := errors.New("broken")
	wg := crowd(g, c, 10, func(i int, _ sight, err error) {
		if !errors.Is(err, broken) {
			t.Errorf("reader %d got %v", i, err)
		}
	})
	c.end <- broken
	wg.Wait()
	if len(c.asked) != 1 || len(g.next) != 0 {
		t.Errorf("%d reads, %v left", len(c.asked), g.next)
	}
	c.end <- nil
	if _, err := g.read("p", "", c.ask); err != nil {
		t.Error(err)
	}
}

func TestFullReadLeavesTheRestAlone(t *testing.T) {
	g, c := &gatherer{next: map[string]*gathering{}}, &slowCache{begun: make(chan struct{}, 9), end: make(chan error, 9)}
	wg := crowd(g, c, maxGathered, func(i int, s sight, err error) {
		if err != nil || s.member != (i%2 == 0) {
			t.Errorf("reader %d got %+v %v", i, s, err)
		}
	})
	wg.Go(func() {
		if s, err := g.read("p", "1000", c.ask); err != nil || !s.member {
			t.Errorf("who came later got %+v %v", s, err)
		}
	})
	<-c.begun // while the first read is still under way
	for range 3 {
		c.end <- nil
	}
	wg.Wait()
	if len(c.asked) != 3 {
		t.Errorf("%d reads", len(c.asked))
	}
}
