package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"flashsale/pkg/checkout"
	"flashsale/pkg/payments"
)

var paymentsAbout = "`payment.succeeded` events by 16 callers, each for a hold of its own of one product: the event makes the order and pays it. " +
	"*ledger*: `Ledger.ApplyPayment`, called in the load generator. *HTTP*: signed deliveries to `POST /v1/payments/webhook`. " +
	"*duplicates*: the same events again. Afterwards the audit has to be clean."

// runPayments measures deliveries of payment events for one hot product.
func runPayments(ctx context.Context, t *trial) error {
	const callers = 16
	return t.onServer(ctx, func(ctx context.Context, s *site) error {
		signer, err := payments.NewStandard([]string{s.secret})
		if err != nil {
			return err
		}
		c := s.client(callers)
		err = s.alternate(ctx, func() {},
			s.deliveries("ledger", callers, func(ctx context.Context, hold checkout.ID, amount int64) error {
				id := "evt_" + hold.HoldID()
				_, err := s.ledger.ApplyPayment(ctx, checkout.PaymentEvent{
					Provider: "standard", EventID: id, Type: payments.StandardSucceeded, Kind: checkout.PaymentSucceeded, Subject: &hold,
					PaymentID: "pay_" + id, Amount: checkout.Money{Amount: amount, Currency: "USD"}, Digest: sha256.Sum256([]byte(id)),
				}, payWindow)
				return err
			}),
			s.deliveries("HTTP", callers, func(_ context.Context, hold checkout.ID, amount int64) error {
				id, now := "evt_"+hold.HoldID(), time.Now()
				body := payments.StandardBody(payments.StandardSucceeded, now, payments.StandardData{
					PaymentID: "pay_" + id, HoldID: hold.HoldID(), Amount: &amount, Currency: "USD",
				})
				var headers []string
				for name, values := range signer.Sign(id, now, body) {
					headers = append(headers, name, values[0])
				}
				return c(http.StatusOK, http.MethodPost, "/v1/payments/webhook", body, headers...)
			}))
		if err != nil {
			return err
		}
		return s.mustBeClean(ctx)
	})
}

// deliveries returns a case that delivers new events, then the same ones again.
func (s *site) deliveries(name string, callers int, deliver func(ctx context.Context, hold checkout.ID, amount int64) error) func(context.Context) error {
	return func(ctx context.Context) error {
		product, err := s.product(ctx, fullStock)
		if err != nil {
			return err
		}
		holds, err := s.holds(ctx, []string{product}, s.size(50_000, 10_000), "active", tomorrow)
		if err != nil {
			return err
		}
		var sent, again atomic.Int64
		run := func(name string, next func() int) error {
			return s.measured(name, load{workers: callers, length: s.length(2 * time.Second), counts: "deliveries", op: func(ctx context.Context, _ int) error {
				n := next()
				if n >= holds.n {
					return fmt.Errorf("%d holds are too few for this machine", holds.n)
				}
				return deliver(ctx, holds.id(n), holds.qty(n)*unitPrice)
			}})(ctx)
		}
		if err := run(name+", events", func() int { return int(sent.Add(1)) - 1 }); err != nil {
			return err
		}
		applied := int(sent.Load()) - callers // the last ones may have been cut off
		return run(name+", duplicates", func() int { return int(again.Add(1)) % applied })
	}
}
