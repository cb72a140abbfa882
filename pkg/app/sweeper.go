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
	// auditTimeout limits one audit of the changes.
	auditTimeout = 30 * time.Second
	// fullAuditTimeout limits one full audit, whose cost grows with the number of rows.
	fullAuditTimeout = 5 * time.Minute
	fullAuditCheck   = time.Hour // between two looks whether a full audit is due
	pruneInterval    = time.Second
)

// Sweeper does the periodic work of a checkout: sweeps, and beside them audits and prunings. `flashsale run` runs it until
// it stops, the expire function for most of a minute. Concurrent sweepers are harmless.
type Sweeper struct {
	// Sweep reclaims due stock in limited batches. It is tried again after an error or a panic.
	Sweep func(ctx context.Context) error
	// Retry applies stored events again; nil: never.
	Retry func(ctx context.Context) error
	// Audit checks what is open or changed, and records what it finds.
	Audit func(ctx context.Context) error
	// FullAudit checks everything if that is due; nil: never.
	FullAudit func(ctx context.Context) error
	// Prune deletes a limited number of old rows, and returns whether there are more; nil: never. It runs after each audit,
	// and then once a second while there are more.
	Prune func(ctx context.Context) (more bool, err error)
	// The intervals between two starts. A sweep or an audit that takes longer is followed by the next one at once.
	SweepInterval, AuditInterval time.Duration
	Logger                       *slog.Logger
}

// Run sweeps and audits at once and then at every interval, until ctx ends. It logs when sweeps begin to fail and when
// they work again. It returns the error of the last sweep that ctx did not cut short.
func (s *Sweeper) Run(ctx context.Context) error {
	var background sync.WaitGroup
	background.Go(func() {
		every(ctx, s.AuditInterval, func() {
			next, done := context.WithTimeout(ctx, s.AuditInterval-3*pruneInterval/2) // not into the next audit
			defer done()
			s.audit(ctx, s.Audit, auditTimeout)
			s.prune(next)
		})
	})
	if s.FullAudit != nil {
		background.Go(func() { every(ctx, fullAuditCheck, func() { s.audit(ctx, s.FullAudit, fullAuditTimeout) }) })
	}
	if s.Retry != nil {
		background.Go(func() { every(ctx, s.SweepInterval, func() { s.retry(ctx) }) })
	}
	defer background.Wait()

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

func (s *Sweeper) retry(ctx context.Context) {
	if err := recovered(ctx, s.Retry); err != nil && ctx.Err() == nil {
		s.Logger.ErrorContext(ctx, "retrying payment events failed", "error", err.Error())
	}
}

func (s *Sweeper) audit(ctx context.Context, audit func(context.Context) error, limit time.Duration) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := recovered(limited, audit); err != nil && ctx.Err() == nil {
		s.Logger.ErrorContext(ctx, "audit failed", "error", err.Error())
	}
}

// prune prunes once, and then once a second while there is more, until ctx ends or it fails.
func (s *Sweeper) prune(ctx context.Context) {
	if s.Prune == nil || ctx.Err() != nil {
		return
	}
	more := false
	pruning, stop := context.WithCancel(ctx)
	defer stop()
	every(pruning, pruneInterval, func() {
		err := recovered(pruning, func(ctx context.Context) (err error) {
			more, err = s.Prune(ctx)
			return err
		})
		if err != nil && ctx.Err() == nil {
			s.Logger.ErrorContext(ctx, "pruning failed", "error", err.Error())
		}
		if err != nil || !more {
			stop()
		}
	})
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
