package main

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"flashsale/pkg/checkout"
)

// The holds that are accepted over HTTP.
const (
	accepted   = "accepted"
	withKeys   = "accepted, each with an Idempotency-Key"
	oneCaller  = "accepted, 1 caller"
	manyOnSale = "accepted, 1,000 products at once"
)

// callers of the server, unless a case says otherwise.
const callers = 64

// readsPerHold is how many calls of "reads and holds" there are for each hold among them.
const readsPerHold = 32

// before marks the cases of the program of --before.
const before = "before: "

// runHTTP measures holds, refusals and reads on top of the ledger, and their cost to the database. With --before it measures another
// program, too, in the same rounds.
func runHTTP(ctx context.Context, t *trial) error {
	return t.onServer(ctx, func(ctx context.Context, s *site) error {
		cases, err := s.httpCases(ctx, "")
		if err != nil {
			return err
		}
		direct := s.measured("ledger", callers, s.place(s.ledger))
		if t.options.Before == "" {
			return t.alternate(ctx, func() { t.compareHTTP("") }, append(cases, direct)...)
		}
		return t.onProgram(ctx, t.options.Before, func(ctx context.Context, old *site) error {
			olds, err := old.httpCases(ctx, before)
			if err != nil {
				return err
			}
			both := []func(context.Context) error{direct}
			for i := range cases {
				both = append(both, cases[i], olds[i])
			}
			return t.alternate(ctx, func() {
				t.compareHTTP("")
				t.compareHTTP(before)
				for _, name := range []string{accepted, withKeys, oneCaller, manyOnSale, "refused", "reads"} {
					t.add(name, "rate ÷ before", t.last(name, "calls/s")/t.last(before+name, "calls/s"))
					t.add(name, "p99 ÷ before", t.last(name, "p99, ms")/t.last(before+name, "p99, ms"))
				}
			}, both...)
		})
	})
}

// compareHTTP adds the ratios of a round.
func (t *trial) compareHTTP(prefix string) {
	last := func(name, quantity string) float64 { return t.last(prefix+name, quantity) }
	rate, idle := last(accepted, "calls/s"), last("idle", "statements/s")
	holds := last("reads and holds", "calls/s") / readsPerHold
	if prefix == "" {
		t.add(accepted, "share of the ledger's rate, %", 100*rate/last("ledger", "calls/s"))
	}
	t.add(prefix+accepted, "CPU ÷ CPU of a refusal", last(accepted, "CPU per call, µs")/last("refused", "CPU per call, µs"))
	t.add(prefix+"refused", "refusals per accepted hold", last("refused", "calls/s")/rate)
	t.add(prefix+"refused", "statements/s for the product", last("refused", "statements/s")-idle)
	t.add(prefix+"reads", "statements/s for the product", last("reads", "statements/s")-idle)
	t.add(prefix+"reads and holds", "statements per hold", (last("reads and holds", "statements/s")-idle)/holds)
}

// httpCases are the cases of one server. Their names begin with prefix.
func (s *site) httpCases(ctx context.Context, prefix string) ([]func(context.Context) error, error) {
	gone, err := s.product(ctx, 1)
	if err != nil {
		return nil, err
	}
	_, err = s.ledger.PlaceHold(ctx, checkout.HoldRequest{ID: newID(), ProductID: gone, Qty: 1, TTL: 24 * time.Hour})
	if err != nil {
		return nil, err
	}
	many := make([]string, s.size(1000, 10))
	for i := range many {
		if many[i], err = s.product(ctx, fullStock); err != nil {
			return nil, err
		}
	}
	send := s.client(callers)
	body := func(product string) []byte { return []byte(`{"product_id":"` + product + `","qty":1}`) }
	place := func(want int, product string) func(context.Context) error {
		text := body(product)
		return func(context.Context) error { return send(want, http.MethodPost, "/v1/holds", text, nil) }
	}
	hold := place(http.StatusCreated, s.onSale)
	keyed := func(context.Context) error {
		return send(http.StatusCreated, http.MethodPost, "/v1/holds", body(s.onSale), http.Header{"Idempotency-Key": {newID().HoldID()}})
	}
	var n atomic.Int64
	spread := func(context.Context) error {
		return send(http.StatusCreated, http.MethodPost, "/v1/holds", body(many[int(n.Add(1))%len(many)]), nil)
	}
	read := func(context.Context) error {
		return send(http.StatusOK, http.MethodGet, "/v1/products/"+s.onSale, nil, nil)
	}
	either := func(ctx context.Context) error {
		if n.Add(1)%readsPerHold == 0 {
			return hold(ctx)
		}
		return read(ctx)
	}
	return []func(context.Context) error{
		s.idle(prefix + "idle"),
		s.measured(prefix+accepted, callers, hold), s.measured(prefix+withKeys, callers, keyed), s.measured(prefix+oneCaller, 1, hold),
		s.measured(prefix+manyOnSale, callers, spread), s.measured(prefix+"refused", callers, place(http.StatusConflict, gone)),
		s.measured(prefix+"reads", callers, read), s.measured(prefix+"reads and holds", callers, either),
	}, nil
}
