package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"flashsale/pkg/checkout"
)

const httpCallers = 64

// places returns a load's op that places holds of one unit and expects a status.
func (c call) places(product string, want int) func(context.Context, int) error {
	body := []byte(`{"product_id":"` + product + `","qty":1}`)
	return func(context.Context, int) error { return c(want, http.MethodPost, "/v1/holds", body) }
}

var httpAbout = "Holds on one product. *ledger*: `Ledger.PlaceHold`, called in the load generator. *HTTP*: `POST /v1/holds` of a `flashsale run`, " +
	"which logs every request, a connection per caller. Server, database, cache and load generator share the machine."

// runHTTP measures the cost of the HTTP layer, the gate and the stock view on top of the ledger.
func runHTTP(ctx context.Context, t *trial) error {
	return t.onServer(ctx, func(ctx context.Context, s *site) error {
		var cases []func(context.Context) error
		callers := []int{16, 64}
		name := func(callers int, through string) string { return fmt.Sprintf("%d callers: %s", callers, through) }
		for _, n := range callers {
			cases = append(cases,
				s.measured(name(n, "ledger"), load{workers: s.size(n, n/8), length: s.length(3 * time.Second), counts: "holds", op: place(s.ledger, s.onSale)}),
				s.measured(name(n, "HTTP"), load{workers: s.size(n, n/8), length: s.length(3 * time.Second), counts: "holds", op: s.client(n).places(s.onSale, http.StatusCreated)}))
		}
		return s.alternate(ctx, func() {
			for _, n := range callers {
				s.add(name(n, "HTTP"), "share of the ledger's rate, %", 100*s.last(name(n, "HTTP"), "holds/s")/s.last(name(n, "ledger"), "holds/s"))
			}
		}, cases...)
	})
}

var soldOutAbout = "`POST /v1/holds` by 64 callers. *accepted*: the product has stock. *refused*: its only unit is held, so the response is 409 `sold_out`. " +
	"Statements are those that the database server counts (`Questions`). *idle*: no requests, so they are the server's own sweep and audit. " +
	"*CPU per call*: of server, database and cache, without the load generator."

// runSoldOut measures how fast late shoppers are refused, and how little that costs the database.
func runSoldOut(ctx context.Context, t *trial) error {
	return t.onServer(ctx, func(ctx context.Context, s *site) error {
		gone, err := s.product(ctx, 1)
		if err != nil {
			return err
		}
		_, err = s.ledger.PlaceHold(ctx, checkout.HoldRequest{ID: newID(), ProductID: gone, Qty: 1, TTL: 24 * time.Hour})
		if err != nil {
			return err
		}
		c := s.client(httpCallers)
		of := func(op func(context.Context, int) error) load {
			return load{workers: s.size(httpCallers, 8), length: s.length(4 * time.Second), counts: "responses", op: op}
		}
		return s.alternate(ctx, func() {
			s.add("refused", "statements/s for the product", s.last("refused", "statements/s")-s.last("idle", "statements/s"))
			s.add("refused", "refusals per accepted hold", s.last("refused", "responses/s")/s.last("accepted", "responses/s"))
			s.add("accepted", "CPU ÷ CPU of a refusal", s.last("accepted", "CPU per call, µs")/s.last("refused", "CPU per call, µs"))
		}, s.idle,
			s.measured("accepted", of(c.places(s.onSale, http.StatusCreated))),
			s.measured("refused", of(c.places(gone, http.StatusConflict))))
	})
}

var readsAbout = "`GET /v1/products/{id}` of one product by 64 callers, alone, and while 4 other callers place holds on it. Statements are counted as in *Sold out*. " +
	"A hold is one statement; *extra statements per hold* are all others, without those of the idle server."

// runReads measures reads of a product before and during its sale.
func runReads(ctx context.Context, t *trial) error {
	return t.onServer(ctx, func(ctx context.Context, s *site) error {
		const writers = 4
		c := s.client(httpCallers + writers)
		write := c.places(s.onSale, http.StatusCreated)
		read := func(context.Context, int) error {
			return c(http.StatusOK, http.MethodGet, "/v1/products/"+s.onSale, nil)
		}
		either := func(ctx context.Context, worker int) error {
			if worker < writers {
				return write(ctx, worker)
			}
			return read(ctx, worker)
		}
		length := s.length(4 * time.Second)
		return s.alternate(ctx, func() {
			idle, holds := s.last("idle", "statements/s"), s.last("reads and holds", "holds/s")
			s.add("reads only", "statements/s for the product", s.last("reads only", "statements/s")-idle)
			s.add("reads and holds", "extra statements per hold", (s.last("reads and holds", "statements/s")-idle-holds)/holds)
		}, s.idle,
			s.measured("reads only", load{workers: s.size(httpCallers, 8), length: length, counts: "reads", op: read}),
			s.measured("reads and holds", load{workers: s.size(httpCallers, 8) + writers, apart: writers, length: length, counts: "reads", op: either}))
	})
}
