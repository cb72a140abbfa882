package ledger_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// A shopper's first hold is refused while a second one waits for the shopper's row. The row stays, and the second call may wait
// for other rows as long as it takes: the first holds of other shoppers do not wait for it.
func TestRefusedFirstHoldDelaysNoOtherShopper(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 5)
	s.MustPut(t, "q", 100)
	if _, _, err := s.PutProduct(t.Context(), checkout.ProductChange{ID: "q", MaxPerShopper: &checkout.Limit{Units: &s.limit}}); err != nil {
		t.Fatal(err)
	}
	place := func(l *ledger.Ledger, product string, who checkout.Shopper, price int64, key *checkout.IdempotencyKey) error {
		_, err := l.PlaceHold(context.Background(), checkout.HoldRequest{
			ID: ledgertest.NewID(), Shopper: who, ProductID: product, Qty: 1, TTL: ttl, Key: key, Price: &checkout.Money{Amount: price, Currency: "USD"}, MaxPerShopper: &s.limit,
		})
		return err
	}
	me, key, other := shopper(1), checkout.IdempotencyKey{1}, ledgertest.NewID()
	if err := place(s.Ledger, "q", shopper(2), 4999, &checkout.IdempotencyKey{}); err != nil { // so that holds without a key are not next to the key
		t.Fatal(err)
	}
	sameKey, product := begin(t, s.Env), begin(t, s.Env)
	exec(t, sameKey, `INSERT INTO holds (id, product_id, qty, unit_price, currency, status, idempotency_key, created_at, expires_at, facts)
		VALUES (?, 'q', 1, 4999, 'USD', 'active', ?, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) + INTERVAL 1 HOUR, 0)`, other[:], key[:])
	exec(t, product, "SELECT id FROM products WHERE id = ? FOR UPDATE", s.product)
	placed, second := make(chan error, 2), secondProcess(t, s.Env)
	go func() { placed <- place(s.Ledger, s.product, me, 4998, nil) }() // with a stale price, so its UPDATE of the product will fail
	waitForLockWaits(t, s.Env, 1)
	go func() { placed <- place(second, s.product, me, 4999, &key) }() // of another process; for the shopper's row, then for the key
	waitForLockWaits(t, s.Env, 2)
	behind := begin(t, s.Env)
	if err := product.Rollback(); err != nil {
		t.Fatal(err)
	}
	exec(t, behind, "SELECT id FROM products WHERE id = ? FOR UPDATE", s.product) // behind the first call
	waitForLockWaits(t, s.Env, 2)
	for n := range 6 {
		if err := place(s.Ledger, "q", shopper(5000+n), 4999, nil); err != nil {
			t.Errorf("another shopper's hold of another product gave %v", err)
		}
	}
	for _, tx := range []interface{ Rollback() error }{behind, sameKey} {
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := <-placed; err != nil {
			t.Errorf("the shopper's own hold gave %v", err)
		}
	}
	if n := s.shopperRows(t); n != 1 {
		t.Errorf("%d shoppers have rows, expected 1", n)
	}
	s.MustAudit(t)
}

// A refusal never says that the shopper is below the limit, however fast units come and go.
func TestLimitRefusalIsTrue(t *testing.T) {
	t.Parallel()
	s := newShop(t, 1000, 1)
	me := shopper(1)
	once := func() error {
		id, err := s.place(context.Background(), s.Ledger, me, 1)
		if err == nil {
			_, err = s.ReleaseHold(context.Background(), checkout.Caller{Shopper: me}, id)
		}
		return err
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 300 {
				err := once()
				var refusal *checkout.Error
				if errors.As(err, &refusal) && refusal.MaxPerShopper != nil && *refusal.Yours+1 <= *refusal.MaxPerShopper {
					t.Errorf("refused with limit %d and yours %d", *refusal.MaxPerShopper, *refusal.Yours)
				} else if code := checkout.CodeOf(err); err != nil && code != checkout.CodeShopperLimit && code != checkout.CodeBusy {
					t.Errorf("a hold or its release gave %v", err)
				}
			}
		})
	}
	wg.Wait()
	s.MustAudit(t)
}

// A call that is repeated after a lost response finds its own hold, whatever the caller has seen of the product.
func TestRepeatedHoldFindsItself(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]func(*testing.T, *shop, checkout.Shopper){
		"sold out": func(*testing.T, *shop, checkout.Shopper) {},
		"blocked": func(t *testing.T, s *shop, me checkout.Shopper) {
			t.Helper()
			if err := s.BlockShopper(t.Context(), me, true, "operator"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, 2, 2)
			s.setLimit(t, nil)
			me := shopper(1)
			req := checkout.HoldRequest{ID: ledgertest.NewID(), Shopper: me, ProductID: s.product, Qty: 2, TTL: ttl}
			for range 2 {
				if r, err := s.PlaceHold(t.Context(), req); err != nil || r.Hold.ID != req.ID {
					t.Errorf("got %+v (%v), expected the hold", r.Hold, err)
				}
				after(t, s, me)
			}
			s.MustAudit(t)
		})
	}
}
