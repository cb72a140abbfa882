package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"flashsale/pkg/app"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// runExpiry measures how fast stock returns, whether new holds slow down meanwhile, and whether old rows make it
// slower.
func runExpiry(ctx context.Context, t *trial) error {
	run := func(name string, products, old int) func(context.Context) error {
		return t.onSchema(func(ctx context.Context, s *site) error {
			for s.products < products {
				if _, err := s.product(ctx, fullStock); err != nil {
					return err
				}
			}
			if old > 0 {
				_, expired := s.holds(ctx, products, old/2, "expired", -24*time.Hour)
				_, ordered := s.holds(ctx, products, old/2, "ordered", -24*time.Hour)
				if err := errors.Join(expired, ordered); err != nil {
					return err
				}
			}
			return s.sweepAll(ctx, name)
		})
	}
	old := t.size(1_000_000, 2000)
	return t.alternate(ctx, func() {
		for _, n := range []string{"1 product", "100 products"} {
			t.add(n+", old rows", "share of the rate without, %", 100*t.last(n+", old rows", "holds/s")/t.last(n, "holds/s"))
		}
	}, run("1 product", 1, 0), run("1 product, old rows", 1, old), run("10 products", 10, 0), run("100 products", 100, 0), run("100 products, old rows", 100, old))
}

// sweepAll makes holds that are due and sweeps them while new holds are placed.
func (s *site) sweepAll(ctx context.Context, name string) (err error) {
	swept := &sweptHolds{}
	l, err := ledger.Open(s.appDSN, swept)
	if err != nil {
		return err
	}
	a := app.New(app.Config{HoldTTL: 24 * time.Hour, PaymentWindow: 15 * time.Minute},
		app.Deps{Ledger: l, CacheAddr: s.options.CacheAddr, Recorder: swept, Logger: slog.New(slog.DiscardHandler)})
	defer func() { err = errors.Join(err, a.Close()) }()
	const interval = 5 * time.Millisecond
	place := func(ctx context.Context, n int) error {
		_, _, err := a.Service.PlaceHold(ctx, checkout.Shopper{}, s.productID(n%s.products), 1, nil)
		return err
	}
	if _, err := paced(ctx, interval, time.After(s.length(time.Second)), place); err != nil { // the warm-up
		return err
	}
	idle, err := paced(ctx, interval, time.After(s.length(5*time.Second)), place)
	if err != nil {
		return err
	}
	due := s.size(100_000, 2000)
	if _, err := s.holds(ctx, s.products, due, "active", -time.Second); err != nil {
		return err
	}
	if err := sleep(ctx, s.length(2*time.Second)); err != nil { // the database server finishes its work on so many new rows
		return err
	}
	var busy sample
	var took time.Duration
	if _, err := s.watched(ctx, name, func() error {
		done, failed := make(chan struct{}), error(nil)
		go func() {
			defer close(done)
			start := time.Now()
			for swept.n.Load() < int64(due) && failed == nil && ctx.Err() == nil {
				failed = a.Service.Sweep(ctx)
			}
			took = time.Since(start)
		}()
		var err error
		busy, err = paced(ctx, interval, done, place)
		<-done
		return errors.Join(err, failed, ctx.Err())
	}); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.add(name, "holds/s", float64(due)/took.Seconds())
	s.add(name, "new holds, idle: p50, ms", idle.p50)
	s.add(name, "p99, ms", idle.p99)
	s.add(name, "during the sweep: p50, ms", busy.p50)
	s.add(name, "p99 during, ms", busy.p99)
	s.add(name, "p99 ÷ idle p99", busy.p99/idle.p99)
	return s.mustBeClean(ctx)
}

// sweptHolds is a checkout.Recorder that counts expired holds, also those that a read of the stock view found.
type sweptHolds struct{ n atomic.Int64 }

// Record implements checkout.Recorder.
func (s *sweptHolds) Record(metric *checkout.Metric, value float64, _ ...string) {
	if metric == checkout.SweptHolds {
		s.n.Add(int64(value))
	}
}
