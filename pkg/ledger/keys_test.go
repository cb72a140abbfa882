package ledger_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
)

// The parts of the holds, one after the other, have every key of a product once, and none of another product.
func TestRecentKeysListsEveryKeyOnce(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	granted := map[string]map[checkout.IdempotencyKey]bool{"a": {}, "b": {}}
	for product := range granted {
		env.MustPut(t, product, 100)
	}
	for i := range 30 { // keys of a, keys of b, and holds without a key
		product := []string{"a", "b"}[i%2]
		r := checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: product, Qty: 1, TTL: time.Hour}
		if i%3 > 0 {
			r.Key = &checkout.IdempotencyKey{byte(i), 1}
			granted[product][*r.Key] = true
		}
		if _, err := env.PlaceHold(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	latest := checkout.ID(slices.Repeat([]byte{0xff}, 16))
	for product, want := range granted {
		for _, holds := range []int{1, 7, 29, 30, 31} {
			listed, parts := map[checkout.IdempotencyKey]bool{}, 0
			for before := &latest; before != nil; parts++ {
				recent, err := env.RecentKeys(context.Background(), product, *before, holds)
				if err != nil {
					t.Fatal(err)
				}
				for _, key := range recent.Keys {
					if listed[key] || !want[key] {
						t.Errorf("product %s, parts of %d holds: key %x is listed twice, or is not of this product", product, holds, key[:2])
					}
					listed[key] = true
				}
				before = recent.First
			}
			if len(listed) != len(want) || parts > 30/holds+1 {
				t.Errorf("product %s, parts of %d holds: %d keys in %d parts, expected %d keys", product, holds, len(listed), parts, len(want))
			}
		}
		all, err := env.GrantedKeys(context.Background(), product)
		if err != nil || len(all) != len(want) {
			t.Errorf("product %s has %d keys (%v), expected %d", product, len(all), err, len(want))
		}
	}
}
