package faults

import (
	"context"
	"encoding/hex"
	"testing"

	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
	"flashsale/pkg/checkout"
)

// TestBadRowDoesNotStopTheSweep damages one due hold so that its stock cannot be released. The sweep must still release
// everything else that is due, of this product and of others, and report the failure.
func TestBadRowDoesNotStopTheSweep(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 50, shoptest.Options{})
	s.MustPut(t, "another", 50)
	ctx := context.Background()
	var bad checkout.ID
	for i := range 20 {
		for _, product := range []string{s.ProductID, "another"} {
			id := ledgertest.NewID()
			if _, err := s.PlaceHold(ctx, checkout.HoldRequest{ID: id, ProductID: product, Qty: 1, TTL: s.HoldTTL}); err != nil {
				t.Fatal(err)
			}
			if i == 0 && product == s.ProductID {
				bad = id
			}
			if i%4 == 1 {
				if _, err := s.CreateOrder(ctx, checkout.Caller{}, id, checkout.OrderTerms{Window: s.App.Service.PaymentWindow}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, statement := range []string{
		"UPDATE holds SET created_at = created_at - INTERVAL 1 DAY, expires_at = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND",
		"UPDATE orders SET pay_by = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND",
	} {
		if _, err := s.Admin.ExecContext(ctx, statement+" WHERE id <> UNHEX(?)", hex.EncodeToString(bad[:])); err != nil {
			t.Fatal(err)
		}
	}
	// This hold is the most overdue, and has more units than the product has reserved.
	if _, err := s.Admin.ExecContext(ctx, "UPDATE holds SET qty = 1000, created_at = created_at - INTERVAL 2 DAY, expires_at = UTC_TIMESTAMP(6) - INTERVAL 1 DAY WHERE id = UNHEX(?)", hex.EncodeToString(bad[:])); err != nil {
		t.Fatal(err)
	}
	left := func() (n int) {
		err := s.Admin.QueryRowContext(ctx, "SELECT (SELECT COUNT(*) FROM holds WHERE status = 'active') + (SELECT COUNT(*) FROM orders WHERE status = 'pending_payment')").Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	shoptest.Eventually(t, "all but the bad row is swept", func() bool { return left() == 1 })
	if err := s.App.Service.Sweep(ctx); err == nil {
		t.Error("the sweep says nothing of the row that it cannot move")
	}
}
