package lambdaserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
)

const (
	// sweepEvery is how often a sweep begins; one that takes longer is followed at once by the next.
	sweepEvery = time.Second
	// sweepReserve is how long before the function's deadline the last sweep is over.
	sweepReserve = 4 * time.Second
	// sweepFor is how long an invocation without a deadline sweeps.
	sweepFor = 50 * time.Second
	// watchLimit bounds the audit, whose cost grows with the rows.
	watchLimit = 30 * time.Second
)

// Sweeper sweeps for most of the minute until its schedule, which cannot tick faster, starts it again. Two at once do no
// harm.
type Sweeper struct {
	// Sweep takes back what is due, in bounded batches; its error does not keep the next sweep from being tried.
	Sweep func(ctx context.Context) error
	// Watch audits and records what it found: once an invocation, beside the sweeps.
	Watch   func(ctx context.Context) error
	Metrics *Metrics
	Logger  *slog.Logger
}

// Start serves until Lambda ends the process.
func (s *Sweeper) Start() { lambda.Start(s.Invoke) }

// Invoke sweeps once a second until shortly before its deadline. What started it does not matter. It fails when its
// last sweep failed, so that Lambda's own metric of errors and the dead-letter queue show it.
func (s *Sweeper) Invoke(ctx context.Context, _ json.RawMessage) error {
	defer s.Metrics.Flush()
	end := time.Now().Add(sweepFor)
	if deadline, ok := ctx.Deadline(); ok {
		end = deadline.Add(-sweepReserve)
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()

	var watching sync.WaitGroup
	watching.Go(func() { s.watch(ctx) })
	defer watching.Wait()

	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	var last error
	for n := 1; n == 1 || ctx.Err() == nil; n++ {
		err := safely(ctx, s.Sweep)
		if ctx.Err() == nil || n == 1 { // one that the end of our time cut short says nothing
			if err != nil && last == nil {
				s.Logger.ErrorContext(ctx, "sweep failed", "error", err.Error())
			}
			if err == nil && last != nil {
				s.Logger.InfoContext(ctx, "sweep works again")
			}
			last = err
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	if last != nil {
		return errors.New("the last sweep failed; the log has why") // Lambda passes this on, so it says no more
	}
	return nil
}

func (s *Sweeper) watch(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, watchLimit)
	defer cancel()
	if err := safely(ctx, s.Watch); err != nil {
		s.Logger.ErrorContext(ctx, "audit failed", "error", err.Error())
	}
}

// safely turns a panic into an error.
func safely(ctx context.Context, do func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return do(ctx)
}
