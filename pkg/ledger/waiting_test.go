package ledger_test

import (
	"context"
	"testing"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
)

func TestUnmatchedEventIsAppliedLater(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	ctx := t.Context()
	s := &stage{Env: env, product: "later", id: ledgertest.NewID()}
	env.MustPut(t, s.product, 5)
	early := s.event(onSucceeded)
	for range 2 {
		receipt, err := env.ApplyEvent(ctx, early, window)
		if err != nil || receipt.Result != checkout.PaymentUnmatched || receipt.Order != nil {
			t.Fatalf("the early event got %+v (%v), expected unmatched without an order", receipt, err)
		}
	}
	s.place(t, s.id)
	exec(t, env.Admin, "UPDATE payment_events SET retry_at = UTC_TIMESTAMP(6)") // its time has come
	events, err := env.WaitingEvents(ctx, 10)
	if err != nil || len(events) != 1 {
		t.Fatalf("the events to retry are %v (%v), expected one", events, err)
	}
	receipt, err := env.RetryEvent(ctx, events[0], window)
	if err != nil || receipt.Result != checkout.PaymentApplied || receipt.Order.Status != checkout.OrderPaid {
		t.Fatalf("the retry got %+v (%v), expected applied and paid", receipt, err)
	}
	receipt, err = env.ApplyEvent(ctx, early, window)
	if err != nil || receipt.Result != checkout.PaymentDuplicate || receipt.Order.Status != checkout.OrderPaid {
		t.Fatalf("a later delivery got %+v (%v), expected duplicate and paid", receipt, err)
	}
	env.MustAudit(t)
}

// nullView is a stock view that keeps nothing.
type nullView struct{ checkout.StockView }

func (nullView) Put(context.Context, checkout.Product, *checkout.IdempotencyKey) {}

// A refund that names only its order, and comes before the order's success, is applied with the success.
func TestSuccessWakesARefundWithoutPayment(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	s := newPurse(t, env, 1, true)
	service := checkout.Service{Ledger: env, View: nullView{}, Recorder: checkout.NoRecorder{}, PaymentWindow: window}
	refund := s.event("A -1000 r")
	refund.PaymentID, refund.Subject = "", &s.id
	receipt, err := service.ApplyEvent(t.Context(), refund)
	if err != nil || receipt.Result != checkout.PaymentUnmatched {
		t.Fatalf("the refund got %+v (%v), expected unmatched", receipt, err)
	}
	receipt, err = service.ApplyEvent(t.Context(), s.event("A 1000"))
	if err != nil || receipt.Result != checkout.PaymentApplied || receipt.Order.Status != checkout.OrderRefunded {
		t.Errorf("the success got %+v (%v), expected applied, and a refunded order", receipt, err)
	}
	if got := s.standing(t); got != "refunded, 1 sold, 0 owed" {
		t.Errorf("got %s, expected refunded", got)
	}
	env.MustAudit(t)
}
