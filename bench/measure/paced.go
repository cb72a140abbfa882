package bench

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// paced sends calls at a fixed rate, whether or not those before have been answered (an open loop), until stop is closed.
// A call's time counts from when it was due, so that a moment in which nothing is answered shows in all calls that fell
// into it.
type paced struct {
	every time.Duration
	op    func(ctx context.Context, n int) error
}

// pacedCalls bounds how many are under way; beyond, calls are late, and their times say so.
const pacedCalls = 256

func (p paced) run(ctx context.Context, stop <-chan struct{}) (Sample, error) {
	var (
		wait   sync.WaitGroup
		mu     sync.Mutex
		all    = newHistogram()
		failed error
		slots  = make(chan struct{}, pacedCalls)
		start  = time.Now()
	)
	for n := 0; ; n++ {
		due := start.Add(time.Duration(n) * p.every)
		if !waitUntil(ctx, due, stop) {
			break
		}
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			err := p.op(ctx, n)
			took := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = err
				return
			}
			_ = all.RecordValue(min(took, longest).Microseconds()) // within bounds by min
		})
	}
	wait.Wait()
	if err := ctx.Err(); err != nil {
		return Sample{}, err
	}
	if failed != nil {
		return Sample{}, fmt.Errorf("a call at a fixed rate: %w", failed)
	}
	return sampleOf(all, time.Since(start)), nil
}

// waitUntil waits; false when ctx or stop ended first.
func waitUntil(ctx context.Context, at time.Time, stop <-chan struct{}) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-stop:
		return false
	case <-timer.C:
		return true
	}
}

// after returns a channel that is closed after d.
func after(d time.Duration) <-chan struct{} {
	done := make(chan struct{})
	time.AfterFunc(d, func() { close(done) })
	return done
}
