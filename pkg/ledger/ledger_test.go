package ledger_test

import (
	"context"
	"testing"
	"time"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger/ledgertest"
)

func TestPurchase(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	ctx := context.Background()
	env.MustPut(t, "demo", 5)
	hold, err := env.PlaceHold(ctx, checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: "demo", Qty: 2, TTL: 2 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v %+v", *hold.Hold, *hold.Product)
	order, err := env.CreateOrder(ctx, hold.Hold.ID, 15*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v %+v", *order.Order, *order.Product)
	paid, err := env.ApplyPayment(ctx, checkout.PaymentEvent{
		Provider: "standard", EventID: "evt_1", Type: "payment.succeeded", Kind: checkout.PaymentSucceeded,
		Subject: &hold.Hold.ID, PaymentID: "pay_1", Amount: checkout.Money{Amount: 9998, Currency: "USD"},
	}, 15*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v %+v %+v", paid.Result, *paid.Order, *paid.Product)
	t.Logf("%+v", env.MustAudit(t))
}
