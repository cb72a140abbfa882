package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A load runs as many workers as it has connections, each of which sends its next call when it has the answer of the
// last (a closed loop): what is measured is how much goes through, and how long one call takes when that much does.
type load struct {
	workers int
	warmUp  time.Duration // runs at least so long before the clock starts: connections, caches
	length  time.Duration
	op      func(ctx context.Context, worker int) error
	// begin and end, which may be nil, are called when the clock starts and stops, to look at others' counters.
	begin, end func()
}

// Sample is what one run of a load measured.
type Sample struct {
	Rate   float64       `json:"rate"` // calls a second
	P50    time.Duration `json:"p50_ns"`
	P99    time.Duration `json:"p99_ns"`
	Max    time.Duration `json:"max_ns"`
	Failed int64         `json:"failed"`
}

// run drives the load. The clock starts when each worker has made a call: until then the queue is still growing. No call
// at all, and more than one in a hundred that fails, make the figure worthless: an error.
func (l load) run(ctx context.Context) (Sample, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		wait      sync.WaitGroup
		ready     sync.WaitGroup // until each worker has made a call
		measuring atomic.Bool
		failed    atomic.Int64
		firstErr  atomic.Pointer[error]
		all       = newHistogram()
		mu        sync.Mutex
	)
	ready.Add(l.workers)
	for worker := range l.workers {
		wait.Go(func() {
			warm := sync.OnceFunc(ready.Done)
			defer warm()
			own := newHistogram()
			for ; ctx.Err() == nil; warm() {
				start := time.Now()
				err := l.op(ctx, worker)
				took := time.Since(start)
				switch {
				case ctx.Err() != nil || !measuring.Load():
				case err != nil:
					failed.Add(1)
					firstErr.CompareAndSwap(nil, &err)
				default:
					_ = own.RecordValue(min(took, longest).Microseconds()) // within bounds by min
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all.Merge(own)
		})
	}
	err := sleep(ctx, l.warmUp)
	ready.Wait()
	if l.begin != nil {
		l.begin()
	}
	measuring.Store(true)
	start := time.Now()
	err = errors.Join(err, sleep(ctx, l.length))
	measuring.Store(false)
	took := time.Since(start)
	if l.end != nil {
		l.end()
	}
	cancel()
	wait.Wait()
	if err != nil {
		return Sample{}, err
	}
	s := sampleOf(all, took)
	s.Failed = failed.Load()
	if first := firstErr.Load(); first != nil && (s.Failed*100 > all.TotalCount() || all.TotalCount() == 0) {
		return s, fmt.Errorf("%d of %d calls failed, the first: %w", s.Failed, s.Failed+all.TotalCount(), *first)
	}
	if all.TotalCount() == 0 {
		return s, fmt.Errorf("no call was answered within %s", took.Round(time.Millisecond))
	}
	return s, nil
}

const longest = time.Minute

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, longest.Microseconds(), 3) }

func sampleOf(h *hdrhistogram.Histogram, took time.Duration) Sample {
	at := func(q float64) time.Duration { return time.Duration(h.ValueAtQuantile(q)) * time.Microsecond }
	return Sample{
		Rate: float64(h.TotalCount()) / took.Seconds(), P50: at(50), P99: at(99),
		Max: time.Duration(h.Max()) * time.Microsecond,
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
