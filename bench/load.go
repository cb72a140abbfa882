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

// calls are the calls of one load.
type calls struct {
	mu     sync.Mutex
	times  *hdrhistogram.Histogram
	failed []error
}

const longest = time.Minute

func newCalls() *calls { return &calls{times: hdrhistogram.New(1, longest.Microseconds(), 3)} }

// add counts one call. Its time counts only if it succeeded.
func (c *calls) add(took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed = append(c.failed, err)
		return
	}
	_ = c.times.RecordValue(min(took, longest).Microseconds()) // always within bounds
}

// sample fails when more than one call in a hundred failed: such a figure is worthless.
func (c *calls) sample(took time.Duration) (sample, error) {
	n, failed := c.times.TotalCount(), len(c.failed)
	if int64(failed)*100 > n {
		return sample{}, fmt.Errorf("%d calls failed, %d succeeded; the first error: %w", failed, n, c.failed[0])
	}
	ms := func(quantile float64) float64 { return float64(c.times.ValueAtQuantile(quantile)) / 1000 }
	return sample{rate: float64(n) / took.Seconds(), p50: ms(50), p99: ms(99)}, nil
}

// closed is a closed loop: each worker sends its next call when the last one has returned.
func closed(ctx context.Context, workers int, length time.Duration, op func(context.Context) error) (sample, error) {
	all := newCalls()
	var running sync.WaitGroup
	start := time.Now()
	for range workers {
		running.Go(func() {
			for again := true; again; again = ctx.Err() == nil && time.Since(start) < length {
				called := time.Now()
				err := op(ctx)
				all.add(time.Since(called), err)
			}
		})
	}
	running.Wait()
	return all.sample(time.Since(start))
}

// paced is an open loop: a call is due every interval until stop is ready, whether or not earlier ones have returned.
// Times count from when a call was due, so a stall shows in all calls that fall into it.
func paced[T any](ctx context.Context, interval time.Duration, stop <-chan T, op func(ctx context.Context, n int) error) (sample, error) {
	const maxCalls = 256 // at once; later ones start late, and their times say so
	all := newCalls()
	running, ctx := errgroup.WithContext(ctx) // ends at the first failed call
	running.SetLimit(maxCalls)
	start := time.Now()
	for n := 0; ; n++ {
		due := start.Add(time.Duration(n) * interval)
		select {
		case <-ctx.Done():
			return sample{}, errors.Join(running.Wait(), ctx.Err())
		case <-stop:
			if err := running.Wait(); err != nil {
				return sample{}, err
			}
			return all.sample(time.Since(start))
		case <-time.After(time.Until(due)):
		}
		running.Go(func() error {
			err := op(ctx, n)
			all.add(time.Since(due), err)
			return err
		})
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
