package main

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"flashsale/pkg/checkout"
)

// runHTTP measures holds, refusals and reads on top of the ledger, and their cost to the database.
func runHTTP(ctx context.Context, t *trial) error {
	return t.onServer(ctx, func(ctx context.Context, s *site) error {
		gone, err := s.product(ctx, 1)
		if err != nil {
			return err
		}
		_, err = s.ledger.PlaceHold(ctx, checkout.HoldRequest{ID: newID(), ProductID: gone, Qty: 1, TTL: 24 * time.Hour})
		if err != nil {
			return err
		}
		const callers, readsPerHold = 64, 32
		send := s.client(callers)
		place := func(product string, want int) func(context.Context) error {
			body := []byte(`{"product_id":"` + product + `","qty":1}`)
			return func(context.Context) error { return send(want, http.MethodPost, "/v1/holds", body, nil) }
		}
		hold := place(s.onSale, http.StatusCreated)
		read := func(context.Context) error {
			return send(http.StatusOK, http.MethodGet, "/v1/products/"+s.onSale, nil, nil)
		}
		var n atomic.Int64
		either := func(ctx context.Context) error {
			if n.Add(1)%readsPerHold == 0 {
				return hold(ctx)
			}
			return read(ctx)
		}
		return s.alternate(ctx, func() {
			accepted, refused, idle := s.last("accepted", "calls/s"), s.last("refused", "calls/s"), s.last("idle", "statements/s")
			holds := s.last("reads and holds", "calls/s") / readsPerHold
			s.add("accepted", "share of the ledger's rate, %", 100*accepted/s.last("ledger", "calls/s"))
			s.add("accepted", "CPU ÷ CPU of a refusal", s.last("accepted", "CPU per call, µs")/s.last("refused", "CPU per call, µs"))
			s.add("refused", "refusals per accepted hold", refused/accepted)
			s.add("refused", "statements/s for the product", s.last("refused", "statements/s")-idle)
			s.add("reads", "statements/s for the product", s.last("reads", "statements/s")-idle)
			s.add("reads and holds", "extra statements per hold", (s.last("reads and holds", "statements/s")-idle-holds)/holds)
		}, s.idle, s.measured("ledger", callers, s.place(s.ledger)), s.measured("accepted", callers, hold),
			s.measured("refused", callers, place(gone, http.StatusConflict)), s.measured("reads", callers, read),
			s.measured("reads and holds", callers, either))
	})
}
