package ledger

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flashsale/pkg/checkout"
)

// These tests are inside the package because they need the queue of holds without a database.

// slowLedger takes a millisecond for a call. stuck calls take longer.
type slowLedger struct {
	takes   time.Duration // a call
	mu      sync.Mutex
	alone   []int   // qty of each hold that went alone: its number
	batches [][]int // of each batch
	largest int     // bytes of p_holds
	placed  map[checkout.ID]bool
	stuck   map[int]time.Duration // how long the n-th call takes, from 0 on
	refuse  error                 // of batches
}

func newSlowLedger() (*slowLedger, *holdGroups) {
	l := &slowLedger{takes: time.Millisecond, placed: map[checkout.ID]bool{}, stuck: map[int]time.Duration{}}
	g := newHoldGroups(nil)
	g.alone, g.together = l.placeHold, l.placeHolds
	return l, g
}

// call waits as long as the call takes.
func (l *slowLedger) call() {
	l.mu.Lock()
	takes, ok := l.stuck[len(l.alone)+len(l.batches)-1]
	l.mu.Unlock()
	if !ok {
		takes = l.takes
	}
	time.Sleep(takes)
}

func (l *slowLedger) placeHold(_ context.Context, r checkout.HoldRequest) (result, error) {
	l.mu.Lock()
	l.alone = append(l.alone, int(r.Qty))
	l.mu.Unlock()
	l.call()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.placed[r.ID] = true
	return result{hold: &checkout.Hold{ID: r.ID}}, nil
}

func (l *slowLedger) placeHolds(_ context.Context, _ holdKey, holds []checkout.HoldRequest) (shared[result], error) {
	var numbers []int
	for _, h := range holds {
		numbers = append(numbers, int(h.Qty))
	}
	rows, _ := holdRows(holds)
	l.mu.Lock()
	l.largest = max(l.largest, len(rows))
	l.batches = append(l.batches, numbers)
	l.mu.Unlock()
	l.call()
	if l.refuse != nil {
		return shared[result]{}, l.refuse
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range holds {
		if l.placed[h.ID] {
			return shared[result]{}, nil
		}
	}
	var all shared[result]
	for _, h := range holds {
		l.placed[h.ID] = true
		all.responses = append(all.responses, &result{hold: &checkout.Hold{ID: h.ID}})
	}
	return all, nil
}

// crowd sends holds, numbered from 1 on, and waits until each is in a call or in the queue before the next.
type crowd struct {
	t      *testing.T
	groups *holdGroups
	wg     sync.WaitGroup
	mu     sync.Mutex
	took   map[int]time.Duration
}

func (c *crowd) send(change func(*checkout.HoldRequest), numbers ...int) {
	for _, n := range numbers {
		r := checkout.HoldRequest{ID: checkout.ID{byte(n >> 8), byte(n)}, ProductID: "hot", Qty: int64(n), TTL: time.Minute, Price: &checkout.Money{Amount: 1, Currency: "USD"}}
		if change != nil {
			change(&r)
		}
		c.wg.Go(func() {
			start := time.Now()
			got, err := c.groups.do(context.Background(), r)
			if err != nil || got.hold.ID != r.ID {
				c.t.Errorf("hold %d got %+v (%v), expected a result of its own", n, got, err)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			c.took[n] = time.Since(start)
		})
		synctest.Wait()
	}
}

func upto(n int) (numbers []int) {
	for i := range n {
		numbers = append(numbers, i+1)
	}
	return numbers
}

func inCrowd(t *testing.T, do func(l *slowLedger, c *crowd)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l, g := newSlowLedger()
		c := &crowd{t: t, groups: g, took: map[int]time.Duration{}}
		do(l, c)
		c.wg.Wait()
		time.Sleep(time.Minute) // until stuck calls have ended
		g.mu.Lock()
		defer g.mu.Unlock()
		if len(g.of) != 0 {
			t.Errorf("the idle queue still knows %d groups", len(g.of))
		}
	})
}

func TestHoldsShareTheNextCall(t *testing.T) {
	inCrowd(t, func(l *slowLedger, c *crowd) {
		c.send(nil, upto(300)...)
		c.wg.Wait()
		if len(l.alone) != 1 || len(l.batches) != 2 || len(l.batches[0]) != maxBatch || len(l.batches[1]) != 300-1-maxBatch {
			t.Errorf("%d holds went alone, and there were the batches %v; expected 1, and batches of %d and %d", len(l.alone), l.batches, maxBatch, 300-1-maxBatch)
			return
		}
		for i, n := range append(l.batches[0], l.batches[1]...) {
			if n != i+2 {
				t.Errorf("hold %d came at position %d, expected the order of arrival", n, i+2)
			}
		}
	})
}

func TestHoldWithoutCompanyGoesAlone(t *testing.T) {
	inCrowd(t, func(l *slowLedger, c *crowd) {
		for n := range 3 {
			c.send(nil, n+1)
			c.wg.Wait()
		}
		c.send(func(r *checkout.HoldRequest) { r.ProductID = "another" }, 4)
		c.send(nil, 5)
		c.wg.Wait()
		if len(l.alone) != 5 || len(l.batches) != 0 {
			t.Errorf("%d holds went alone and there were %d batches, expected 5 and none", len(l.alone), len(l.batches))
		}
		for n, took := range c.took {
			if took != time.Millisecond {
				t.Errorf("hold %d took %v, expected its own call alone", n, took)
			}
		}
	})
}

// A statement of more than 16 KB would pin a connection of RDS Proxy.
func TestBatchFitsIntoAStatement(t *testing.T) {
	for name, tc := range map[string]struct {
		keyed   func(n int64) bool
		shopper bool
		batches int // for 300 holds
	}{
		"without keys":       {func(int64) bool { return false }, false, 2},
		"one with a key":     {func(n int64) bool { return n == 200 }, false, 2},
		"half with keys":     {func(n int64) bool { return n%2 == 0 }, false, 2},
		"keys":               {func(int64) bool { return true }, false, 3},
		"keys and shoppers":  {func(int64) bool { return true }, true, 4},
		"a key and shoppers": {func(n int64) bool { return n == 2 }, true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			inCrowd(t, func(l *slowLedger, c *crowd) {
				c.send(func(r *checkout.HoldRequest) {
					if tc.keyed(r.Qty) {
						r.Key = &checkout.IdempotencyKey{byte(r.Qty >> 8), byte(r.Qty)}
					}
					if tc.shopper {
						r.Shopper = checkout.Shopper{byte(r.Qty >> 8), byte(r.Qty), 1}
					}
				}, upto(300)...)
				c.wg.Wait()
				if len(l.batches) != tc.batches || l.largest > maxBatchBytes || l.largest < maxBatchBytes*3/4 {
					t.Errorf("%d batches of at most %d bytes, expected %d of at most %d", len(l.batches), l.largest, tc.batches, maxBatchBytes)
				}
			})
		})
	}
}

// Two holds with one key, or of one shopper under a limit, would refuse each other's batch.
func TestConflictingHoldsShareNoBatch(t *testing.T) {
	inCrowd(t, func(l *slowLedger, c *crowd) {
		limit := int64(2)
		c.send(func(r *checkout.HoldRequest) {
			r.Key = &checkout.IdempotencyKey{byte(r.Qty / 2)}
		}, upto(5)...) // 2 and 3, and 4 and 5, share a key
		c.send(func(r *checkout.HoldRequest) {
			r.ProductID, r.MaxPerShopper, r.Shopper = "limited", &limit, checkout.Shopper{1}
		}, 11, 12, 13)
		c.send(func(r *checkout.HoldRequest) { r.ProductID, r.MaxPerShopper = "limited", &limit }, 14)
		c.wg.Wait()
		if len(l.batches) != 1 || len(l.batches[0]) != 2 || len(l.alone) != 7 {
			t.Errorf("batches %v and %v alone, expected one batch of 2 and 4", l.batches, l.alone)
		}
	})
}

// Holds with one key can both wait if they are too far apart to share a batch.
// A hold that the limit per shopper refuses alone would spoil the batch of the others.
func TestHoldOverTheLimitSharesNoBatch(t *testing.T) {
	limit := int64(2)
	for qty, want := range map[int64]bool{2: true, 3: false} {
		r := checkout.HoldRequest{Shopper: checkout.Shopper{1}, Qty: qty, Price: &checkout.Money{}, MaxPerShopper: &limit}
		if _, ok := keyOfHold(r); ok != want {
			t.Errorf("a hold of %d units where %d are allowed may share a batch: %t, expected %t", qty, limit, ok, want)
		}
	}
}

func TestConflictsAreLookedForInOneBatch(t *testing.T) {
	inCrowd(t, func(l *slowLedger, c *crowd) {
		c.send(func(r *checkout.HoldRequest) { r.Key = &checkout.IdempotencyKey{byte((r.Qty - 2) % maxBatch), 1} }, upto(2+maxBatch)...)
		c.wg.Wait()
		if len(l.alone) != 1 {
			t.Errorf("%v went alone, expected only the first hold", l.alone)
		}
	})
}

// A database where every call is slow must not get more and more calls at once: they would wait for one row.
func TestSlowDatabaseGetsFewCalls(t *testing.T) {
	inCrowd(t, func(l *slowLedger, c *crowd) {
		l.takes = 300 * time.Millisecond
		for n := range 300 {
			c.send(nil, n+1)
			time.Sleep(10 * time.Millisecond)
		}
		c.wg.Wait()
		if most := 40; len(l.batches) > most {
			t.Errorf("%d batches in 3 s, expected at most %d", len(l.batches), most)
		}
	})
}

// A call that hangs delays its own holds only. The next batch starts beside it.
func TestStuckBatchDelaysOnlyItself(t *testing.T) {
	for name, calls := range map[string]int{"the first call": 0, "a batch": 1} {
		inCrowd(t, func(l *slowLedger, c *crowd) {
			l.stuck[calls] = 5 * time.Second
			c.send(nil, upto(20)...)
			time.Sleep(5 * time.Millisecond)
			c.send(nil, 21, 22, 23)
			time.Sleep(time.Second)
			c.send(nil, 24, 25, 26)
			c.wg.Wait()
			for n, took := range c.took {
				inStuckCall := n == 1 && calls == 0 || n > 1 && n <= 20 && calls == 1
				if limit := minLate + 5*time.Millisecond; !inStuckCall && took > limit {
					t.Errorf("%s hangs: hold %d took %v, expected at most %v", name, n, took, limit)
				}
				if limit := minLate + aloneAfter + 5*time.Millisecond; inStuckCall && calls == 1 && took > limit {
					t.Errorf("%s hangs: hold %d of it took %v, expected at most %v, by itself", name, n, took, limit)
				}
			}
		})
	}
}

// A hold may be in a batch before it begins to wait. If the batch hangs, it waits no longer than the others.
func TestHoldThatIsCutAtOnceWaitsNoLonger(t *testing.T) {
	inCrowd(t, func(_ *slowLedger, c *crowd) {
		lead, _ := c.groups.join(holdKey{}, checkout.HoldRequest{})
		_, h := c.groups.join(holdKey{}, checkout.HoldRequest{})
		c.groups.cut(holdKey{}, lead, 0)
		start := time.Now()
		_, ok := c.groups.await(context.Background(), holdKey{}, h)
		if took, limit := time.Since(start), maxLate+aloneAfter; ok || took > limit {
			t.Errorf("it waited %v, expected at most %v", took, limit)
		}
		c.groups.next(holdKey{}, lead)
	})
}

// A hold that cannot share its batch does not wait for the call of the others.
func TestHoldApartGoesAtOnce(t *testing.T) {
	inCrowd(t, func(l *slowLedger, c *crowd) {
		c.groups.together = func(ctx context.Context, key holdKey, holds []checkout.HoldRequest) (shared[result], error) {
			if holds[0].Qty == 2 {
				return shared[result]{apart: []int{1}}, nil
			}
			time.Sleep(time.Second)
			return l.placeHolds(ctx, key, holds)
		}
		c.send(nil, upto(5)...)
		c.wg.Wait()
		if limit := 5 * time.Millisecond; c.took[2] > limit || c.took[3] < time.Second {
			t.Errorf("the hold apart took %v and another %v, expected at most %v and a second", c.took[2], c.took[3], limit)
		}
	})
}

// If most of a batch is apart and few holds are left, another call for them would save little. Many share one, and so does a half.
func TestFewHoldsAreNotSentAgain(t *testing.T) {
	for name, c := range map[string]struct{ apart, left, placed int }{
		"few left":          {100, fewLeft, 0},
		"many left":         {100, fewLeft + 1, fewLeft + 1},
		"half of them left": {fewLeft, fewLeft, fewLeft},
	} {
		inCrowd(t, func(l *slowLedger, crowd *crowd) {
			crowd.groups.together = func(ctx context.Context, key holdKey, holds []checkout.HoldRequest) (shared[result], error) {
				if len(holds) == c.apart+c.left {
					return shared[result]{apart: upto(c.apart)}, nil
				}
				return l.placeHolds(ctx, key, holds)
			}
			crowd.send(nil, upto(1+c.apart+c.left)...)
			crowd.wg.Wait()
			placed := 0
			for _, batch := range l.batches {
				placed += len(batch)
			}
			if placed != c.placed || len(l.placed) != 1+c.apart+c.left {
				t.Errorf("%s: a batch placed %d, expected %d; %d holds are placed in all", name, placed, c.placed, len(l.placed))
			}
		})
	}
}

// After a batch that failed, each hold finds out by itself.
func TestHoldsOfAFailedBatchGoAlone(t *testing.T) {
	inCrowd(t, func(l *slowLedger, c *crowd) {
		l.refuse = errors.New("lost")
		c.send(nil, upto(10)...)
		c.wg.Wait()
		if len(l.alone) != 10 || len(l.placed) != 10 {
			t.Errorf("%d holds went alone and %d were placed, expected 10 of each", len(l.alone), len(l.placed))
		}
	})
}
