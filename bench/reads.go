package main

import (
	"context"
	"net/http"
	"time"
)

var readsAbout = "`GET /v1/products/{id}` of one product by 64 callers, alone, and while 4 other callers place holds on it. Statements are counted as in *Sold out*. " +
	"A hold is one statement; *extra statements per hold* are all others, without those of the idle server."

// runReads measures reads of a product before and during its sale.
func runReads(ctx context.Context, t *trial) error {
	const writers = 4
	return t.onServer(ctx, func(ctx context.Context, s *site) error {
		product, err := s.product(ctx)
		if err != nil {
			return err
		}
		c := s.caller(httpCallers + writers)
		write := c.place(product, http.StatusCreated)
		reads := func(name string, writers int) func(context.Context) error {
			return func(ctx context.Context) error {
				return s.measure(ctx, name, load{
					workers: httpCallers + writers, apart: writers, length: s.length(4 * time.Second), counts: "reads",
					op: func(ctx context.Context, worker int) error {
						if worker < writers {
							return write(ctx, worker)
						}
						return c.call(http.StatusOK, http.MethodGet, "/v1/products/"+product, nil)
					},
				})
			}
		}
		return s.alternate(ctx, func() {
			s.aboveIdle("reads only")
			holds := s.last("reads and holds", "holds/s")
			s.add("reads and holds", "extra statements per hold", (s.last("reads and holds", "statements/s")-s.last("idle", "statements/s")-holds)/holds)
		}, s.idle, reads("reads only", 0), reads("reads and holds", writers))
	})
}
