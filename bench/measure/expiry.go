package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"flashsale/pkg/app"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

const (
	newHoldEvery = 5 * time.Millisecond // 200 a second
	settle       = 2 * time.Second      // for what making so many rows left to do

	emptyTables = "no"
	history     = "yes"
)

var expiryProducts = []int{1, 10, 100}

// runExpiry is experiment 5: how fast the sweep gives stock back when very much is due at once, whether those who place
// holds meanwhile notice, and whether it costs more when the tables are old.
func runExpiry(ctx context.Context, r *Run) (*Result, error) {
	overdue, aged := r.size(100_000, 2000), r.size(1_000_000, 5000)
	out := &Result{
		About: []string{
			say("%s due holds of 1 to 3 units, spread over 1, 10 or 100 products, and `Service.Sweep` in a loop, as `flashsale run` calls it "+
				"every second, until nothing is due. Meanwhile, and before for comparison (*idle*), %.0f new holds a second are placed on the "+
				"same products through `Service.PlaceHold`, with the gate and the stock view; their times count from when each was due to be sent.",
				digits(float64(overdue)), 1/newHoldEvery.Seconds()),
			say("*old rows*: with %s old holds of the same products in the tables from the start, half of them expired, half with an order that "+
				"was cancelled; each round leaves %s more. Afterwards the audit has to be clean.", digits(float64(aged)), digits(float64(overdue))),
		},
		Figures: Figures{},
	}
	for _, n := range expiryProducts {
		err := r.onEach(ctx, func(ctx context.Context, d Database, worn *schema) error {
			products, err := worn.productsOnSale(ctx, n)
			if err != nil {
				return err
			}
			r.Log("making %d old rows of %s on %s", aged, plural(n, "product"), d.Label)
			if err := worn.grow(ctx, products, aged); err != nil {
				return err
			}
			return r.rounds(ctx,
				func(ctx context.Context) error {
					return r.on(ctx, d, func(ctx context.Context, d Database, fresh *schema) error {
						products, err := fresh.productsOnSale(ctx, n)
						if err != nil {
							return err
						}
						return fresh.sweepMany(ctx, r, out.Figures, products, overdue, d.Label, strconv.Itoa(n), emptyTables)
					})
				},
				func(ctx context.Context) error {
					return worn.sweepMany(ctx, r, out.Figures, products, overdue, d.Label, strconv.Itoa(n), history)
				})
		})
		if err != nil {
			return nil, err
		}
	}
	expiryReport(out, r.Databases)
	return out, nil
}

// grow makes a database old: n holds that have ended, every second one with a cancelled order.
func (s *schema) grow(ctx context.Context, products []string, n int) error {
	if _, err := s.holdsInBulk(ctx, products, n-n/2, old); err != nil {
		return err
	}
	_, err := s.holdsInBulk(ctx, products, n/2, cancelled)
	return err
}

func (s *schema) productsOnSale(ctx context.Context, n int) ([]string, error) {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = productID()
		if err := s.product(ctx, ids[i], fullStock); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// sweepMany makes one run of one case.
func (s *schema) sweepMany(ctx context.Context, r *Run, f Figures, products []string, overdue int, key ...string) (err error) {
	swept := &sweptRecorder{}
	l, err := ledger.Open(s.appDSN, swept)
	if err != nil {
		return err
	}
	a := app.New(app.Config{HoldTTL: 24 * time.Hour, PaymentWindow: 15 * time.Minute},
		app.Deps{Ledger: l, CacheAddr: r.CacheAddr, Recorder: swept, Logger: slog.New(slog.DiscardHandler)})
	defer func() { err = errors.Join(err, a.Close()) }()
	newHolds := paced{every: newHoldEvery, op: func(ctx context.Context, n int) error {
		_, _, err := a.Service.PlaceHold(ctx, products[n%len(products)], 1, nil)
		return err
	}}
	if _, err := newHolds.run(ctx, after(r.warmUp())); err != nil {
		return err
	}
	quiet, err := newHolds.run(ctx, after(r.length(5*time.Second)))
	if err != nil {
		return err
	}
	if _, err := s.holdsInBulk(ctx, products, overdue, due); err != nil {
		return err
	}
	if err := sleep(ctx, r.length(settle)); err != nil {
		return err
	}

	done := make(chan struct{})
	var sweeping error
	var took time.Duration
	go func() {
		defer close(done)
		start := time.Now()
		for swept.holds.Load() < int64(overdue) && sweeping == nil && ctx.Err() == nil {
			sweeping = a.Service.Sweep(ctx)
		}
		took = time.Since(start)
	}()
	busy, err := newHolds.run(ctx, done)
	<-done
	if err = errors.Join(err, sweeping, ctx.Err()); err != nil {
		return err
	}
	if n := swept.holds.Load(); n != int64(overdue) {
		return fmt.Errorf("%d holds were swept, %d were due", n, overdue)
	}
	audit, err := a.Ledger.Audit(ctx)
	if err != nil {
		return err
	}
	if !audit.Clean {
		return fmt.Errorf("the audit is not clean: %v", audit.Broken)
	}
	f.Add("swept", float64(overdue)/took.Seconds(), key...)
	f.Add("idle p50", ms(quiet.P50), key...)
	f.Add("idle p99", ms(quiet.P99), key...)
	f.Add("busy p50", ms(busy.P50), key...)
	f.Add("busy p99", ms(busy.P99), key...)
	f.Add("busy max", ms(busy.Max), key...)
	return nil
}

// sweptRecorder is a checkout.Recorder that counts swept holds: also those that a fill of the stock view took back.
type sweptRecorder struct{ holds atomic.Int64 }

// Record implements checkout.Recorder.
func (s *sweptRecorder) Record(metric *checkout.Metric, value float64, _ ...string) {
	if metric == checkout.SweptHolds {
		s.holds.Add(int64(value))
	}
}

func expiryReport(out *Result, databases []Database) {
	f := out.Figures
	chart := Chart{Name: "swept", Title: "Due holds swept a second", Y: "holds/s"}
	for _, n := range expiryProducts {
		for _, rows := range []string{emptyTables, history} {
			chart.Groups = append(chart.Groups, map[string]string{emptyTables: strconv.Itoa(n), history: strconv.Itoa(n) + ", old rows"}[rows])
		}
	}
	for _, d := range databases {
		t := Table{
			Title: d.Label, Labels: []string{"products", "old rows"},
			Columns: []Column{
				{"swept", PerSecond}, {"new holds idle p50", Milliseconds}, {"p99", Milliseconds},
				{"while sweeping p50", Milliseconds}, {"p99", Milliseconds}, {"max", Milliseconds}, {"p99 by idle", Times},
			},
		}
		series := Series{Name: d.Label}
		for _, n := range expiryProducts {
			for _, rows := range []string{emptyTables, history} {
				key := []string{d.Label, strconv.Itoa(n), rows}
				rate, growth := f.Median("swept", key...), f.RatiosOf("busy p99", key, "idle p99", key)
				t.Add(key[1:], rate, f.Median("idle p50", key...), f.Median("idle p99", key...), f.Median("busy p50", key...), f.Median("busy p99", key...), f.Median("busy max", key...), median(growth))
				series.Values = append(series.Values, rate)
				where := say("%s, %s", map[string]string{emptyTables: plural(n, "product"), history: plural(n, "product") + " with old rows"}[rows], d.Label)
				out.Claims = append(out.Claims,
					Claim{Text: "due holds swept, " + where, Wanted: 20_000, Unit: PerSecond}.by(f.Get("swept", key...)...),
					Claim{Text: "p99 of new holds meanwhile, by its idle value, " + where, Wanted: 3, Below: true, Unit: Times}.by(growth...))
			}
			out.Claims = append(out.Claims, Claim{
				Text: say("swept with old rows, of the rate without, %s, %s", plural(n, "product"), d.Label), Wanted: 80, Unit: Percent,
			}.by(percents(f.Ratios("swept", []string{d.Label, strconv.Itoa(n), history}, []string{d.Label, strconv.Itoa(n), emptyTables}))...))
		}
		chart.Series = append(chart.Series, series)
		out.Tables = append(out.Tables, t)
	}
	out.Charts = []Chart{chart}
}
