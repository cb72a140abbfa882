package app_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flashsale/pkg/app"
)

var errDown = errors.New("the database is down")

// sweeper returns a Sweeper with the intervals of both servers, and its log.
func sweeper(sweep, audit func(context.Context) error) (*app.Sweeper, *bytes.Buffer) {
	log := &bytes.Buffer{}
	return &app.Sweeper{
		Sweep: sweep, Audit: audit, SweepInterval: time.Second, AuditInterval: time.Minute, Logger: slog.New(slog.NewJSONHandler(log, nil)),
	}, log
}

func TestSweeperSweepsUntilItsContextEnds(t *testing.T) {
	ok := func(int) error { return nil }
	for name, tc := range map[string]struct {
		limit    time.Duration   // until the context ends
		duration time.Duration   // of one sweep
		sweep    func(int) error // by its number, from 1
		sweeps   int
		audits   int
		fails    bool
		logs     []string // each exactly once
	}{
		"one sweep per second":                       {limit: 54500 * time.Millisecond, sweep: ok, sweeps: 55, audits: 1},
		"one audit per minute":                       {limit: 150500 * time.Millisecond, sweep: ok, sweeps: 151, audits: 3},
		"long sweeps follow each other":              {limit: 54500 * time.Millisecond, duration: 2500 * time.Millisecond, sweep: ok, sweeps: 22, audits: 1},
		"no time at all still sweeps once":           {sweep: ok, sweeps: 1, audits: 1},
		"continuous failure is logged once":          {limit: 10500 * time.Millisecond, sweep: func(int) error { return errDown }, sweeps: 11, audits: 1, fails: true, logs: []string{"sweep failed"}},
		"failure and recovery are logged once":       {limit: 10500 * time.Millisecond, sweep: func(n int) error { return map[int]error{3: errDown, 4: errDown}[n] }, sweeps: 11, audits: 1, logs: []string{"sweep failed", "sweep works again"}},
		"a failure at the end is returned":           {limit: 10500 * time.Millisecond, sweep: func(n int) error { return map[int]error{11: errDown}[n] }, sweeps: 11, audits: 1, fails: true, logs: []string{"sweep failed"}},
		"a panic does not stop the next sweep":       {limit: 10500 * time.Millisecond, sweep: panicAt(2), sweeps: 11, audits: 1, logs: []string{"sweep failed", "sweep works again"}},
		"a sweep cut short at the end is no failure": {limit: 10500 * time.Millisecond, duration: 4 * time.Second, sweep: ok, sweeps: 3, audits: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sweeps, audits := 0, 0
				s, log := sweeper(func(ctx context.Context) error {
					sweeps++
					select {
					case <-time.After(tc.duration):
					case <-ctx.Done():
						if tc.duration > 0 {
							return ctx.Err()
						}
					}
					return tc.sweep(sweeps)
				}, func(context.Context) error { audits++; return nil })
				ctx, cancel := context.WithTimeout(t.Context(), tc.limit)
				defer cancel()
				start := time.Now()
				err := s.Run(ctx)
				if (err != nil) != tc.fails || sweeps != tc.sweeps || audits != tc.audits {
					t.Errorf("Run returned %v after %d sweeps and %d audits, expected %d and %d, an error: %v", err, sweeps, audits, tc.sweeps, tc.audits, tc.fails)
				}
				if took := time.Since(start); took != tc.limit {
					t.Errorf("Run took %v, expected %v", took, tc.limit)
				}
				for _, text := range tc.logs {
					if n := strings.Count(log.String(), text); n != 1 {
						t.Errorf("%q was logged %d times, expected once: %s", text, n, log)
					}
				}
				if len(tc.logs) == 0 && log.Len() > 0 {
					t.Errorf("logged %s, expected nothing", log)
				}
			})
		})
	}
}

// panicAt is a sweep that panics in its n-th run.
func panicAt(n int) func(int) error {
	return func(i int) error {
		if i == n {
			panic("bad row")
		}
		return nil
	}
}

func TestFailingAuditDoesNotDelaySweeps(t *testing.T) {
	for name, audit := range map[string]func(context.Context) error{
		"hangs":  func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"panics": func(context.Context) error { panic("audit") },
		"fails":  func(context.Context) error { return errDown },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sweeps := 0
				s, log := sweeper(func(context.Context) error { sweeps++; return nil }, audit)
				ctx, cancel := context.WithTimeout(t.Context(), 54500*time.Millisecond)
				defer cancel()
				if err := s.Run(ctx); err != nil || sweeps != 55 || strings.Count(log.String(), "audit failed") != 1 {
					t.Errorf("Run returned %v after %d sweeps, expected nil, 55 sweeps and one failed audit in the log: %s", err, sweeps, log)
				}
				if name == "hangs" && !strings.Contains(log.String(), `"time":"2000-01-01T00:00:30Z"`) { // synctest's clock
					t.Errorf("the audit did not end after 30 s: %s", log)
				}
			})
		})
	}
}

// Pruning goes on once a second while there is more, until a second before the next audit. A failure ends it for the minute.
func TestSweeperPrunesAfterEachAudit(t *testing.T) {
	for name, tc := range map[string]struct {
		prune func(n int) (more bool, err error)
		want  int // in two minutes
		logs  int
	}{
		"nothing to prune": {func(int) (bool, error) { return false, nil }, 3, 0},
		"more twice":       {func(n int) (bool, error) { return n <= 2, nil }, 5, 0},
		"always more":      {func(int) (bool, error) { return true, nil }, 119, 0},
		"a failure":        {func(int) (bool, error) { return true, errDown }, 3, 3},
		"a panic":          {func(int) (bool, error) { panic("bad row") }, 3, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				prunings := 0
				s, log := sweeper(func(context.Context) error { return nil }, func(context.Context) error { return nil })
				s.Prune = func(context.Context) (bool, error) { prunings++; return tc.prune(prunings) }
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute+time.Millisecond)
				defer cancel()
				if err := s.Run(ctx); err != nil || prunings != tc.want || strings.Count(log.String(), "pruning failed") != tc.logs {
					t.Errorf("Run returned %v after %d prunings, expected nil and %d, and %d failures in the log: %s", err, prunings, tc.want, tc.logs, log)
				}
			})
		})
	}
}

func TestSweeperAuditsEverythingHourly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		audits := 0
		s, _ := sweeper(func(context.Context) error { return nil }, func(context.Context) error { return nil })
		s.FullAudit = func(context.Context) error { audits++; return nil }
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour+time.Minute)
		defer cancel()
		if err := s.Run(ctx); err != nil || audits != 3 {
			t.Errorf("Run returned %v after %d looks whether a full audit is due, expected nil and 3", err, audits)
		}
	})
}

func TestStoppingSweeperLogsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		untilStopped := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		n := 0
		s, log := sweeper(func(ctx context.Context) error {
			if n++; n == 1 {
				return nil
			}
			return untilStopped(ctx)
		}, untilStopped)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := s.Run(ctx); err != nil || log.Len() > 0 {
			t.Errorf("Run returned %v and logged %s, expected neither", err, log)
		}
	})
}
