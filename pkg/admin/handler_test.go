package admin_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flashsale/pkg/admin"
)

// operator is an Operator that only migrates.
type operator struct {
	admin.Operator
	migrate func(context.Context) error
}

func (o operator) Migrate(ctx context.Context) error { return o.migrate(ctx) }

func TestPanicBecomesLoggedError(t *testing.T) {
	var log bytes.Buffer
	flushed := 0
	h := admin.Handler{
		Operator: operator{migrate: func(context.Context) error { panic("hunter2") }},
		Logger:   slog.New(slog.NewJSONHandler(&log, nil)), Flush: func() { flushed++ },
	}
	_, err := h.Invoke(t.Context(), []byte(`{"operation":"migrate"}`))
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(log.String(), "hunter2") || flushed != 1 {
		t.Errorf("Invoke returned %v, flushed %d times and logged %s, expected the cause only in the log, and one flush", err, flushed, log.String())
	}
}

// An operation ends before the function's deadline, so that its failure can be reported.
func TestOperationEndsBeforeItsFunction(t *testing.T) {
	for limit, want := range map[time.Duration]time.Duration{300 * time.Second: 280 * time.Second, 4 * time.Second: 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			h := admin.Handler{
				Operator: operator{migrate: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
				Logger:   slog.New(slog.DiscardHandler), Flush: func() {},
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			start := time.Now()
			if _, err := h.Invoke(ctx, []byte(`{"operation":"migrate"}`)); err == nil || time.Since(start) != want {
				t.Errorf("the operation ended with %v after %v, expected an error after %v of %v", err, time.Since(start), want, limit)
			}
		})
	}
}
