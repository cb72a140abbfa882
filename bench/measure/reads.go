package bench

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	readCallers  = 64
	writeCallers = 4

	onlyReads     = "reads only"
	readsOneWrite = "reads beside writes"
)

// runReads is experiment 4: what everybody does who waits for the sale, and what the database notices of it.
func runReads(ctx context.Context, r *Run) (*Result, error) {
	out := &Result{
		About: []string{
			say("`GET /v1/products/{id}` of one product by %d callers, alone and while %d other callers place holds on the same product. ", readCallers, writeCallers) +
				"Statements are counted as in *Sold out*. A hold is one statement (`CALL place_hold`); what is above the idle server's " +
				"statements and one for each hold, divided by the holds, is what a write costs the database beside itself.",
		},
		Figures: Figures{},
	}
	f := out.Figures
	err := r.onSites(ctx, &out.LeftOut, func(ctx context.Context, s *site) error {
		product := productID()
		if err := s.product(ctx, product, fullStock); err != nil {
			return err
		}
		reading := func(ctx context.Context, begin, end func(), key ...string) error {
			connections, done := newCallers(s.url, readCallers)
			defer done()
			path := "/v1/products/" + product
			return s.counted(ctx, f, load{
				workers: readCallers, warmUp: r.warmUp(), length: r.length(4 * time.Second), begin: begin, end: end,
				op: func(_ context.Context, worker int) error {
					status, answer, err := connections[worker].do("GET", path, nil)
					return expect(http.StatusOK, status, answer, err)
				},
			}, key...)
		}
		return r.rounds(ctx,
			func(ctx context.Context) error { return s.idleStatements(ctx, r, f, s.label, idle) },
			func(ctx context.Context) error { return reading(ctx, nil, nil, s.label, onlyReads) },
			func(ctx context.Context) error {
				return s.besideWrites(ctx, f, product, func(begin, end func()) error { return reading(ctx, begin, end, s.label, readsOneWrite) })
			})
	})
	if err != nil {
		return nil, err
	}
	for _, d := range r.Databases {
		out.Tables = append(out.Tables, readsTable(f, d))
		out.Claims = append(out.Claims,
			Claim{
				Text: "database statements for one product that is only read, " + d.Label, Wanted: 1, AtMost: true, Unit: PerSecond,
			}.by(f.above(idle, d.Label, onlyReads)...),
			Claim{
				Text: "database statements beside its own for each write of a product that is read, " + d.Label, Wanted: 0.01, Below: true, Unit: Count,
			}.by(extraPerWrite(f, d)...))
	}
	return out, nil
}

// besideWrites places holds while do runs, and notes how many were placed a second between the calls of begin and end.
func (s *site) besideWrites(ctx context.Context, f Figures, product string, do func(begin, end func()) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	connections, done := newCallers(s.url, writeCallers)
	defer done()
	place := placing(connections, product, false, http.StatusCreated)
	var placed atomic.Int64
	var failed atomic.Pointer[error]
	var wait sync.WaitGroup
	for worker := range writeCallers {
		wait.Go(func() {
			for ctx.Err() == nil {
				if err := place(ctx, worker); err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				placed.Add(1)
			}
		})
	}
	var start time.Time
	var before int64
	err := do(
		func() { start, before = time.Now(), placed.Load() },
		func() {
			f.Add("writes", float64(placed.Load()-before)/time.Since(start).Seconds(), s.label, readsOneWrite)
		})
	cancel()
	wait.Wait()
	if first := failed.Load(); err == nil && first != nil {
		err = *first
	}
	return err
}

// extraPerWrite is how many statements a write costs beside its own, a value a round.
func extraPerWrite(f Figures, d Database) []Value {
	all, quiet := f.Get("statements", d.Label, readsOneWrite), f.Get("statements", d.Label, idle)
	writes := f.Get("writes", d.Label, readsOneWrite)
	extra := make([]Value, len(writes))
	for i, w := range writes {
		extra[i] = (all[i] - quiet[i] - w) / w
	}
	return extra
}

func readsTable(f Figures, d Database) Table {
	t := Table{
		Title: d.Label, Labels: []string{"case"},
		Columns: append([]Column{
			{"reads", PerSecond}, {"p50", Milliseconds}, {"p99", Milliseconds}, {"holds", PerSecond}, {"statements", PerSecond},
		}, cpuColumns()...),
	}
	t.Add([]string{idle}, none, none, none, none, f.Median("statements", d.Label, idle), none, none, none, none)
	for _, name := range []string{onlyReads, readsOneWrite} {
		key := []string{d.Label, name}
		t.Add([]string{name}, append([]Value{
			f.Median("rate", key...), f.Median("p50", key...), f.Median("p99", key...), f.Median("writes", key...), f.Median("statements", key...),
		}, f.cpu(key...)...)...)
	}
	return t
}
