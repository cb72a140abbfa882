package main

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"flashsale/pkg/payments"
)

// runPayments measures payment events for one hot product.
func runPayments(ctx context.Context, t *trial) error {
	return t.onServer(ctx, func(ctx context.Context, s *site) error {
		signer, err := payments.NewStandard([]string{s.secret})
		if err != nil {
			return err
		}
		send := s.client(16)
		err = s.alternate(ctx, func() {}, func(ctx context.Context) error {
			total := s.size(100_000, 10_000)
			holdID, err := s.holds(ctx, 1, total, "active", 24*time.Hour)
			if err != nil {
				return err
			}
			var sent atomic.Int64
			return s.measured("events", 16, func(context.Context) error {
				n := int(sent.Add(1)) - 1
				if n >= total {
					return errors.New("this machine pays for more holds than there are")
				}
				hold, amount, now := holdID(n).HoldID(), int64(unitPrice), time.Now()
				data := payments.StandardData{PaymentID: "pay_" + hold, HoldID: hold, Amount: &amount, Currency: "USD"}
				body := payments.StandardBody(payments.StandardSucceeded, now, data)
				return send(http.StatusOK, http.MethodPost, "/v1/payments/webhook", body, signer.Sign("evt_"+hold, now, body))
			})(ctx)
		})
		return errors.Join(err, s.mustBeClean(ctx))
	})
}
