package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"flashsale/pkg/ledger"
)

var httpAbout = "Holds on one product. *ledger*: `Ledger.PlaceHold`, called in the load generator. *HTTP*: `POST /v1/holds` of a `flashsale run`, " +
	"which logs every request, a connection per caller. Server, database, cache and load generator share the machine."

// runHTTP measures the cost of the HTTP layer, the gate and the stock view on top of the ledger.
func runHTTP(ctx context.Context, t *trial) error {
	return t.onServer(ctx, func(ctx context.Context, s *site) (err error) {
		l, err := ledger.Open(s.appDSN, nothing{})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, l.Close()) }()
		product, err := s.product(ctx)
		if err != nil {
			return err
		}
		var cases []func(context.Context) error
		callers := []int{16, 64}
		for _, n := range callers {
			run := func(name string, op func(context.Context, int) error) {
				cases = append(cases, func(ctx context.Context) error {
					return s.measure(ctx, fmt.Sprintf("%d callers: %s", n, name), load{workers: n, length: s.length(3 * time.Second), counts: "holds", op: op})
				})
			}
			run("ledger", place(l, product))
			run("HTTP", s.caller(n).place(product, http.StatusCreated))
		}
		return s.alternate(ctx, func() {
			for _, n := range callers {
				rate := func(name string) float64 { return s.last(fmt.Sprintf("%d callers: %s", n, name), "holds/s") }
				s.add(fmt.Sprintf("%d callers: HTTP", n), "share of the ledger's rate, %", 100*rate("HTTP")/rate("ledger"))
			}
		}, cases...)
	})
}
