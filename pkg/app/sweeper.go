package app

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

const (
	sweepInterval = time.Second
	auditInterval = time.Minute
	// auditTimeout limits one audit, whose cost grows with the number of rows.
	auditTimeout = 30 * time.Second
)

// Sweeper does the periodic work of a checkout: sweeps, and audits beside them. `flashsale run` runs it until it stops,
// the expire function for most of a minute. Concurrent sweepers are harmless.
type Sweeper struct {
	// Sweep reclaims due stock in limited batches. It is tried again after an error or a panic.
	Sweep func(ctx context.Context) error
	// Audit checks every invariant and records what it finds.
	Audit func(ctx context.Context) error
	// The intervals between two starts. A sweep or an audit that takes longer is followed by the next one at once.
	SweepInterval, AuditInterval time.Duration
	Logger                       *slog.Logger
}

// Run sweeps and audits at once and then at every interval, until ctx ends. It logs when sweeps begin to fail and when
// they work again. It returns the error of the last sweep that ctx did not cut short.
func (s *Sweeper) Run(ctx context.Context) error {
	var auditing sync.WaitGroup
	auditing.Go(func() { every(ctx, s.AuditInterval, func() { s.audit(ctx) }) })
	defer auditing.Wait()

	var last error
	first := true
	every(ctx, s.SweepInterval, func() {
		err := recovered(ctx, s.Sweep)
		if ctx.Err() != nil && !first { // cut short: neither a failure nor a success
			return
		}
		first = false
		switch {
		case err != nil && last == nil:
			s.Logger.ErrorContext(ctx, "sweep failed", "error", err.Error())
		case err == nil && last != nil:
			s.Logger.InfoContext(ctx, "sweep works again")
		}
		last = err
	})
	return last
}

func (s *Sweeper) audit(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	if err := recovered(limited, s.Audit); err != nil && ctx.Err() == nil {
		s.Logger.ErrorContext(ctx, "audit failed", "error", err.Error())
	}
}

// every calls do at once and then at every interval, until ctx ends.
func every(ctx context.Context, interval time.Duration, do func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		do()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if ctx.Err() != nil { // both were ready
			return
		}
	}
}

// recovered turns a panic into an error.
func recovered(ctx context.Context, do func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return do(ctx)
}
