package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"flashsale/pkg/payments"
)

var paymentsAbout = "Signed `payment.succeeded` events to `POST /v1/payments/webhook` by 16 callers, each for a hold of its own of one product: the event makes " +
	"the order and pays it. *duplicates*: the same events again. Afterwards the audit has to be clean."

// runPayments measures deliveries of payment events for one hot product.
func runPayments(ctx context.Context, t *trial) error {
	const callers = 16
	return t.onServer(ctx, func(ctx context.Context, s *site) error {
		signer, err := payments.NewStandard([]string{s.secret})
		if err != nil {
			return err
		}
		c := s.client(callers)
		deliver := func(holds bulk, n int) error {
			if n >= holds.n {
				return fmt.Errorf("%d holds are too few for this machine", holds.n)
			}
			hold, amount, now := holds.id(n).HoldID(), holds.qty(n)*unitPrice, time.Now()
			body := payments.StandardBody(payments.StandardSucceeded, now, payments.StandardData{
				PaymentID: "pay_" + hold, HoldID: hold, Amount: &amount, Currency: "USD",
			})
			var headers []string
			for name, values := range signer.Sign("evt_"+hold, now, body) {
				headers = append(headers, name, values[0])
			}
			return c(http.StatusOK, http.MethodPost, "/v1/payments/webhook", body, headers...)
		}
		err = s.alternate(ctx, func() {}, func(ctx context.Context) error {
			holds, err := s.holds(ctx, []string{s.onSale}, s.size(50_000, 10_000), "active", tomorrow)
			if err != nil {
				return err
			}
			var sent, again atomic.Int64
			run := func(name string, next func() int) error {
				op := func(context.Context, int) error { return deliver(holds, next()) }
				return s.measured(name, load{workers: callers, length: s.length(2 * time.Second), counts: "deliveries", op: op})(ctx)
			}
			if err := run("events", func() int { return int(sent.Add(1)) - 1 }); err != nil {
				return err
			}
			applied := int(sent.Load()) - callers // the last ones may have been cut off
			return run("duplicates", func() int { return int(again.Add(1)) % applied })
		})
		if err != nil {
			return err
		}
		return s.mustBeClean(ctx)
	})
}
