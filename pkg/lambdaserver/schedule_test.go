package lambdaserver_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flashsale/pkg/checkout"
	"flashsale/pkg/lambdaserver"
)

func TestScheduledJobEndsBeforeItsDeadline(t *testing.T) {
	for name, c := range map[string]struct{ limit, want time.Duration }{
		"4 s before the deadline":   {58500 * time.Millisecond, 54500 * time.Millisecond},
		"at once with 1 s left":     {time.Second, 0},
		"50 s without any deadline": {0, 50 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if c.limit > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.limit)
					defer cancel()
				}
				var out bytes.Buffer
				job := lambdaserver.ScheduledJob{Metrics: lambdaserver.NewMetrics("test", &out)}
				job.Run = func(ctx context.Context) error {
					<-ctx.Done()
					job.Metrics.Record(checkout.SweepRuns, 1, "ok")
					return nil
				}
				start := time.Now()
				if err := job.Invoke(ctx, []byte(`{"any":"event"}`)); err != nil || time.Since(start) != c.want {
					t.Errorf("Invoke returned %v after %v, expected nil after %v", err, time.Since(start), c.want)
				}
				if !strings.Contains(out.String(), "flashsale_sweep_runs_total") {
					t.Errorf("the metrics were not flushed: %q", out.String())
				}
			})
		})
	}
}

func TestFailedJobHidesItsCause(t *testing.T) {
	job := lambdaserver.ScheduledJob{
		Run:     func(context.Context) error { return errors.New("hunter2") },
		Metrics: lambdaserver.NewMetrics("test", &bytes.Buffer{}),
	}
	if err := job.Invoke(t.Context(), nil); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Invoke returned %v, expected an error without the cause", err)
	}
}
