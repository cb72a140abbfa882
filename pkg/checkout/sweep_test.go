package checkout_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flashsale/pkg/checkout"
)

// dueLedger has products with due holds. A call for one of them takes some time.
type dueLedger struct {
	checkout.Ledger
	takes []time.Duration // by product: a usual call, or one that waits for a locked row

	mu           sync.Mutex
	running, max int // calls at a time
	swept        map[string]time.Time
}

func (l *dueLedger) DueProducts(context.Context, int) (ids []string, err error) {
	for i := range l.takes {
		ids = append(ids, fmt.Sprint(i))
	}
	return ids, nil
}

func (l *dueLedger) ExpireDue(_ context.Context, id string, _ checkout.DueBatch) (checkout.SweepReceipt, error) {
	l.mu.Lock()
	l.running++
	l.max = max(l.max, l.running)
	l.mu.Unlock()
	var i int
	_, err := fmt.Sscan(id, &i)
	time.Sleep(l.takes[i]) // in the test's own time
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	l.swept[id] = time.Now()
	return checkout.SweepReceipt{Holds: 1}, err
}

// Calls side by side would take every core of a small database server from new holds. A locked product is the exception.
func TestSweepCallsRunOneAfterTheOther(t *testing.T) {
	t.Parallel()
	const usual, locked = 80 * time.Millisecond, 2 * time.Second
	for name, tc := range map[string]struct {
		locked     int           // products
		max        int           // calls at a time
		othersTook time.Duration // until the usual products were swept
	}{
		"usual calls":         {0, 1, 12 * usual},
		"a locked product":    {1, 2, 12*usual + 500*time.Millisecond},
		"two locked products": {2, 3, 12*usual + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				takes := slices.Concat(slices.Repeat([]time.Duration{locked}, tc.locked), slices.Repeat([]time.Duration{usual}, 12))
				l := &dueLedger{takes: takes, swept: map[string]time.Time{}}
				s := checkout.Service{Ledger: l, View: fakeView{}, Recorder: &sharedCounts{counts: counts{}}}
				start := time.Now()
				if err := s.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				var last time.Duration
				for i := range takes {
					at, ok := l.swept[fmt.Sprint(i)]
					if !ok {
						t.Errorf("product %d was not swept", i)
					} else if takes[i] == usual {
						last = max(last, at.Sub(start))
					}
				}
				if l.max != tc.max || last > tc.othersTook {
					t.Errorf("up to %d calls ran at a time, and the usual products took %v; expected %d and at most %v", l.max, last, tc.max, tc.othersTook)
				}
			})
		})
	}
}

// A sweep that is cut short makes no further calls, also while it waits for its turn.
func TestSweepThatIsCutShortMakesNoFurtherCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &dueLedger{takes: []time.Duration{200 * time.Millisecond, 0, 0, 0, 0}, swept: map[string]time.Time{}}
		s := checkout.Service{Ledger: l, View: fakeView{}, Recorder: &sharedCounts{counts: counts{}}}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_ = s.Sweep(ctx)
		if len(l.swept) != 1 {
			t.Errorf("%d calls were made, expected the one that ran when the sweep was cut short", len(l.swept))
		}
	})
}

// sharedCounts is a recorder for several goroutines.
type sharedCounts struct {
	counts
	mu sync.Mutex
}

func (c *sharedCounts) Record(m *checkout.Metric, value float64, labels ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Record(m, value, labels...)
}
