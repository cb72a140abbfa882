package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"
)

// load is a closed loop: each worker sends its next call when the last one has returned. It measures throughput, and how
// long a call takes at that throughput.
type load struct {
	workers int
	apart   int    // so many of the workers run beside the measured ones; their calls are only counted
	counts  string // the calls, in the plural
	warmUp  time.Duration
	length  time.Duration
	op      func(ctx context.Context, worker int) error

	window func(measure func() error) error // runs measure, to read other clocks and counters before and after
}

// sample is the outcome of one load; times are in milliseconds.
type sample struct{ rate, apart, p50, p99 float64 }

// run drives the load. The clock starts after the warm-up, when each worker has made a call. More than one failed call in
// a hundred is an error: such a figure is worthless.
func (l load) run(ctx context.Context) (sample, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		running, warm sync.WaitGroup
		measuring     atomic.Bool
		failed, apart atomic.Int64
		returned      atomic.Int64
		first         atomic.Pointer[error]
		mu            sync.Mutex
		all           = newHistogram()
	)
	warm.Add(l.workers)
	for worker := range l.workers {
		running.Go(func() {
			called := sync.OnceFunc(warm.Done)
			defer called()
			own := newHistogram()
			for ; ctx.Err() == nil; called() {
				start := time.Now()
				err := l.op(ctx, worker)
				switch {
				case ctx.Err() != nil || err == nil && !measuring.Load():
				case err != nil:
					failed.Add(1)
					first.CompareAndSwap(nil, &err)
				case worker < l.apart:
					apart.Add(1)
				default:
					returned.Add(1)
					record(own, time.Since(start))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all.Merge(own)
		})
	}
	err := sleep(ctx, l.warmUp)
	warm.Wait()
	var took float64
	err = errors.Join(err, l.window(func() error {
		measuring.Store(true)
		defer measuring.Store(false)
		start := time.Now()
		defer func() { took = time.Since(start).Seconds() }()
		err := sleep(ctx, l.length)
		for ; err == nil && returned.Load()+failed.Load() == 0; err = sleep(ctx, l.length/10) { // a slow machine gets more time
		}
		return err
	}))
	cancel()
	running.Wait()
	if n := failed.Load(); n*100 > all.TotalCount() {
		err = errors.Join(err, fmt.Errorf("%d calls failed, %d succeeded; the first error: %w", n, all.TotalCount(), *first.Load()))
	}
	s := sampleOf(all)
	s.rate, s.apart = float64(all.TotalCount())/took, float64(apart.Load())/took
	return s, err
}

// paced is an open loop: a call is due every interval until stop is closed, whether or not earlier ones have returned.
// Times count from when a call was due, so a stall shows in all calls that fall into it.
func paced(ctx context.Context, interval time.Duration, stop <-chan struct{}, op func(ctx context.Context, n int) error) (sample, error) {
	const maxCalls = 256 // at once; later ones start late, and their times say so
	all := newHistogram()
	var mu sync.Mutex
	calls, ctx := errgroup.WithContext(ctx)
	calls.SetLimit(maxCalls)
	start := time.Now()
	for n := 0; ; n++ {
		due := start.Add(time.Duration(n) * interval)
		select {
		case <-ctx.Done():
			return sample{}, errors.Join(calls.Wait(), ctx.Err())
		case <-stop:
			err := calls.Wait()
			return sampleOf(all), err
		case <-time.After(time.Until(due)):
		}
		calls.Go(func() error {
			err := op(ctx, n)
			mu.Lock()
			defer mu.Unlock()
			record(all, time.Since(due))
			return err
		})
	}
}

// pacedFor is paced for a fixed time.
func pacedFor(ctx context.Context, interval, length time.Duration, op func(ctx context.Context, n int) error) (sample, error) {
	stop := make(chan struct{})
	time.AfterFunc(length, func() { close(stop) })
	return paced(ctx, interval, stop, op)
}

const longest = time.Minute

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, longest.Microseconds(), 3) }

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d, 0), longest).Microseconds()) // always within bounds
}

func sampleOf(h *hdrhistogram.Histogram) sample {
	return sample{p50: float64(h.ValueAtQuantile(50)) / 1000, p99: float64(h.ValueAtQuantile(99)) / 1000}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
