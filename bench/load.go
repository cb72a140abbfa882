package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"
)

// sample is the outcome of one load; times are in milliseconds.
type sample struct{ rate, p50, p99 float64 }

// closed is a closed loop: each worker sends its next call when the last one has returned. More than one failed call in a
// hundred is an error: such a figure is worthless.
func closed(ctx context.Context, workers int, length time.Duration, op func(context.Context) error) (sample, error) {
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		all     = newHistogram()
		failed  []error
	)
	start := time.Now()
	for range workers {
		running.Go(func() {
			own := newHistogram()
			for again := true; again; again = ctx.Err() == nil && time.Since(start) < length {
				called := time.Now()
				if err := op(ctx); err != nil {
					mu.Lock()
					failed = append(failed, err)
					mu.Unlock()
					continue
				}
				record(own, time.Since(called))
			}
			mu.Lock()
			defer mu.Unlock()
			all.Merge(own)
		})
	}
	running.Wait()
	s, n := sampleOf(all), all.TotalCount()
	s.rate = float64(n) / time.Since(start).Seconds()
	if int64(len(failed))*100 > n {
		return s, fmt.Errorf("%d calls failed, %d succeeded; the first error: %w", len(failed), n, failed[0])
	}
	return s, ctx.Err()
}

// paced is an open loop: a call is due every interval until stop is ready, whether or not earlier ones have returned.
// Times count from when a call was due, so a stall shows in all calls that fall into it.
func paced[T any](ctx context.Context, interval time.Duration, stop <-chan T, op func(ctx context.Context, n int) error) (sample, error) {
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

const longest = time.Minute

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, longest.Microseconds(), 3) }

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(d, longest).Microseconds()) // always within bounds
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
