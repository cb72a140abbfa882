package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

var soldOutAbout = "`POST /v1/holds` by 64 callers. *accepted*: the product has stock. *refused*: its only unit is held, so the response is 409 `sold_out`. " +
	"Statements are those that the database server counts (`Questions`). *idle*: no requests, so they are the server's own sweep and audit. " +
	"*CPU per call*: of server, database and cache, without the load generator."

// runSoldOut measures how fast late shoppers are refused, and that the database does not notice.
func runSoldOut(ctx context.Context, t *trial) error {
	return t.onServer(ctx, func(ctx context.Context, s *site) error {
		onSale, err := s.product(ctx)
		if err != nil {
			return err
		}
		gone, err := s.soldOutProduct(ctx)
		if err != nil {
			return err
		}
		c := s.caller(httpCallers)
		one := func(name, product string, want int) func(context.Context) error {
			return func(ctx context.Context) error {
				return s.measure(ctx, name, load{workers: httpCallers, length: s.length(4 * time.Second), counts: "responses", op: c.place(product, want)})
			}
		}
		return s.alternate(ctx, func() {
			s.aboveIdle("refused")
			s.add("refused", "refusals per accepted hold", s.last("refused", "responses/s")/s.last("accepted", "responses/s"))
			s.add("accepted", "CPU ÷ CPU of a refusal", s.last("accepted", "CPU per call, µs")/s.last("refused", "CPU per call, µs"))
		}, s.idle, one("accepted", onSale, http.StatusCreated), one("refused", gone, http.StatusConflict))
	})
}

const httpCallers = 64

// soldOutProduct puts a unit on sale and holds it for longer than any experiment takes.
func (s *site) soldOutProduct(ctx context.Context) (string, error) {
	ids, err := s.products(ctx, 1, 1)
	if err != nil {
		return "", err
	}
	l, err := ledger.Open(s.appDSN, nothing{})
	if err != nil {
		return "", err
	}
	_, err = l.PlaceHold(ctx, checkout.HoldRequest{ID: newID(), ProductID: ids[0], Qty: 1, TTL: 24 * time.Hour})
	return ids[0], errors.Join(err, l.Close())
}

// idle counts the statements of a server without requests.
func (s *site) idle(ctx context.Context) error {
	before, err := s.statements(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := sleep(ctx, s.length(4*time.Second)); err != nil {
		return err
	}
	after, err := s.statements(ctx)
	s.add("idle", "statements/s", (after-before-1)/time.Since(start).Seconds())
	return err
}

// aboveIdle adds the statements that a case's requests caused.
func (s *site) aboveIdle(name string) {
	s.add(name, "statements/s for the product", s.last(name, "statements/s")-s.last("idle", "statements/s"))
}
