package ledger_test

import (
	"context"
	"fmt"
	"testing"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// shop is a ledger with a product that each shopper may have a few units of.
type shop struct {
	*ledgertest.Env
	product string
	limit   int64
}

func newShop(t *testing.T, stock, limit int64) *shop {
	t.Helper()
	s := &shop{Env: ledgertest.New(t), product: "p"}
	s.MustPut(t, s.product, stock)
	s.setLimit(t, &limit)
	return s
}

func (s *shop) setLimit(t *testing.T, limit *int64) {
	t.Helper()
	if _, _, err := s.PutProduct(t.Context(), checkout.ProductChange{ID: s.product, MaxPerShopper: &checkout.Limit{Units: limit}}); err != nil {
		t.Fatal(err)
	}
	if limit != nil {
		s.limit = *limit
	}
}

func shopper(n int) checkout.Shopper {
	return checkout.ShopperOf("https://shop.example.com", fmt.Sprint(n))
}

func (s *shop) place(ctx context.Context, l *ledger.Ledger, who checkout.Shopper, qty int64) (checkout.ID, error) {
	id := ledgertest.NewID()
	_, err := l.PlaceHold(ctx, checkout.HoldRequest{
		ID: id, Shopper: who, ProductID: s.product, Qty: qty, TTL: ttl, Price: &checkout.Money{Amount: 4999, Currency: "USD"}, MaxPerShopper: &s.limit,
	})
	return id, err
}

func (s *shop) mustPlace(t *testing.T, who checkout.Shopper, qty int64) checkout.ID {
	t.Helper()
	id, err := s.place(t.Context(), s.Ledger, who, qty)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// refused checks that the shopper is over the limit, and what the refusal says.
func (s *shop) refused(t *testing.T, who checkout.Shopper, qty, limit, yours int64) {
	t.Helper()
	_, err := s.place(t.Context(), s.Ledger, who, qty)
	var refusal *checkout.Error
	if checkout.CodeOf(err) != checkout.CodeShopperLimit {
		t.Errorf("a hold of %d gave %v, expected shopper_limit", qty, err)
	} else if refusal = err.(*checkout.Error); *refusal.MaxPerShopper != limit || *refusal.Yours != yours { //nolint:errorlint // CodeOf found it
		t.Errorf("the refusal says limit %d and yours %d, expected %d and %d", *refusal.MaxPerShopper, *refusal.Yours, limit, yours)
	}
}

func (s *shop) event(t *testing.T, id checkout.ID, kind checkout.PaymentKind) checkout.PaymentReceipt {
	t.Helper()
	e := checkout.PaymentEvent{
		Provider: checkout.ProviderStandard, EventID: id.OrderID() + string(kind), Type: "payment." + string(kind), Kind: kind, Subject: &id, PaymentID: id.OrderID(),
	}
	if kind == checkout.PaymentRefunded {
		e.RefundID = e.EventID
	}
	if kind != checkout.PaymentFailed {
		e.Amount = checkout.Money{Amount: 4999, Currency: "USD"}
	}
	r, err := s.ApplyEvent(t.Context(), e, window)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// expire makes a hold due, as if its time had passed.
func (s *shop) expire(t *testing.T, id checkout.ID) {
	t.Helper()
	exec(t, s.Admin, "UPDATE holds SET created_at = created_at - INTERVAL 1 HOUR, expires_at = expires_at - INTERVAL 1 HOUR, facts = NULL WHERE id = ?", id[:])
	exec(t, s.Admin, "UPDATE products SET holds_sum = (SELECT COALESCE(SUM(facts), 0) FROM holds WHERE product_id = products.id)")
}

// release releases a shopper's hold.
func (s *shop) release(t *testing.T, who checkout.Shopper, id checkout.ID) {
	t.Helper()
	if _, err := s.ReleaseHold(t.Context(), checkout.Caller{Shopper: who}, id); err != nil {
		t.Fatal(err)
	}
}

// cancel cancels a shopper's order.
func (s *shop) cancel(t *testing.T, who checkout.Shopper, id checkout.ID) {
	t.Helper()
	if _, err := s.CancelOrder(t.Context(), checkout.Caller{Shopper: who}, id); err != nil {
		t.Fatal(err)
	}
}

// cancelled places a hold of one unit, orders it and cancels the order.
func (s *shop) cancelled(t *testing.T, who checkout.Shopper) checkout.ID {
	t.Helper()
	id := s.mustPlace(t, who, 1)
	s.order(t, who, id)
	s.cancel(t, who, id)
	return id
}

func (s *shop) order(t *testing.T, who checkout.Shopper, id checkout.ID) {
	t.Helper()
	if _, err := s.CreateOrder(t.Context(), checkout.Caller{Shopper: who}, id, checkout.OrderTerms{Window: window}); err != nil {
		t.Fatal(err)
	}
}
