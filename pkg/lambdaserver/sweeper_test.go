package lambdaserver_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flashsale/pkg/lambdaserver"
)

// panicAt is a sweep whose n-th run panics.
func panicAt(n int) func(int) error {
	return func(i int) error {
		if i == n {
			panic("bad row")
		}
		return nil
	}
}

func TestSweeper(t *testing.T) {
	always := func(err error) func(int) error { return func(int) error { return err } }
	away := errors.New("the database is away")
	for name, tc := range map[string]struct {
		limit  time.Duration   // until the function's deadline; 0: none
		takes  time.Duration   // one sweep
		sweep  func(int) error // by its number, from 1
		sweeps int
		fails  bool
		logs   []string
	}{
		"once a second until its reserve":       {limit: 58500 * time.Millisecond, sweep: always(nil), sweeps: 55},
		"without a deadline":                    {takes: 1500 * time.Millisecond, sweep: always(nil), sweeps: 34},
		"sweeps that take long":                 {limit: 58500 * time.Millisecond, takes: 2500 * time.Millisecond, sweep: always(nil), sweeps: 22},
		"hardly any time":                       {limit: time.Second, sweep: always(nil), sweeps: 1},
		"always failing is logged once":         {limit: 14500 * time.Millisecond, sweep: always(away), sweeps: 11, fails: true, logs: []string{"sweep failed"}},
		"failing and working again":             {limit: 14500 * time.Millisecond, sweep: func(n int) error { return map[int]error{3: away, 4: away}[n] }, sweeps: 11, logs: []string{"sweep failed", "sweep works again"}},
		"a panic does not stop the others":      {limit: 14500 * time.Millisecond, sweep: panicAt(2), sweeps: 11, logs: []string{"sweep failed", "sweep works again"}},
		"what its own end cuts off is no error": {limit: 14500 * time.Millisecond, takes: 4 * time.Second, sweep: always(nil), sweeps: 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				sweeps, watches := 0, 0
				s := &lambdaserver.Sweeper{
					Sweep: func(ctx context.Context) error {
						sweeps++
						if tc.takes > 0 {
							select {
							case <-time.After(tc.takes):
							case <-ctx.Done():
								return ctx.Err()
							}
						}
						return tc.sweep(sweeps)
					},
					Watch:   func(context.Context) error { watches++; return nil },
					Metrics: lambdaserver.NewMetrics("test", io.Discard), Logger: lambdaserver.NewLogger(&log, 0),
				}
				ctx := t.Context()
				start := time.Now()
				if tc.limit > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.limit)
					defer cancel()
				}
				err := s.Invoke(ctx, nil)
				if (err != nil) != tc.fails || sweeps != tc.sweeps || watches != 1 {
					t.Errorf("%v after %d sweeps and %d audits, want %d sweeps", err, sweeps, watches, tc.sweeps)
				}
				if took := time.Since(start); tc.limit > 4*time.Second && took != tc.limit-4*time.Second {
					t.Errorf("it took %v of %v", took, tc.limit)
				}
				for _, text := range tc.logs {
					if strings.Count(log.String(), text) != 1 {
						t.Errorf("log without one %q: %s", text, log.String())
					}
				}
				if len(tc.logs) == 0 && log.Len() > 0 {
					t.Errorf("log: %s", log.String())
				}
			})
		})
	}
}

// The audit may take longer than a sweep, hang, or panic: the sweeps go on, and the function ends in time.
func TestAuditKeepsNothingUp(t *testing.T) {
	for name, watch := range map[string]func(context.Context) error{
		"hangs":  func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"panics": func(context.Context) error { panic("audit") },
		"fails":  func(context.Context) error { return errors.New("audit") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				sweeps := 0
				s := &lambdaserver.Sweeper{
					Sweep: func(context.Context) error { sweeps++; return nil }, Watch: watch,
					Metrics: lambdaserver.NewMetrics("test", io.Discard), Logger: lambdaserver.NewLogger(&log, 0),
				}
				ctx, cancel := context.WithTimeout(t.Context(), 58500*time.Millisecond)
				defer cancel()
				if err := s.Invoke(ctx, nil); err != nil || sweeps != 55 || strings.Count(log.String(), "audit failed") != 1 {
					t.Errorf("%v, %d sweeps, log: %s", err, sweeps, log.String())
				}
				if name == "hangs" && !strings.Contains(log.String(), `"time":"2000-01-01T00:00:30Z"`) { // the bubble's clock
					t.Errorf("it was not ended after 30 s: %s", log.String())
				}
			})
		})
	}
}
