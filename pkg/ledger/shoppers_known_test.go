package ledger_test

import (
	"context"
	"sync"
	"testing"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
)

// shopperRows counts the rows that say which shoppers a product knows.
func (s *shop) shopperRows(t *testing.T) (n int) {
	t.Helper()
	if err := s.Admin.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM shopper_products WHERE product_id = ?", s.product).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A shopper's row stays while one of the shopper's holds does: without it, the units of that hold would not be summed.
func TestPruneKeepsShoppersWithHolds(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 2)
	gone, stays := shopper(1), shopper(2)
	s.release(t, gone, s.mustPlace(t, gone, 1))
	s.release(t, stays, s.mustPlace(t, stays, 2))
	sold := s.mustPlace(t, stays, 1)
	s.order(t, stays, sold)
	if r := s.event(t, sold, checkout.PaymentSucceeded); r.Order.Status != checkout.OrderPaid {
		t.Fatalf("the order is %s, expected paid", r.Order.Status)
	}
	age(t, s.Env)
	if pruned := prune(t, s.Env); pruned.Holds != 2 {
		t.Errorf("%d holds were deleted, expected the 2 released ones", pruned.Holds)
	}
	var known bool
	if err := s.Admin.QueryRowContext(t.Context(), "SELECT shoppers_known FROM products").Scan(&known); err != nil || !known {
		t.Errorf("shoppers_known is %t (%v), expected true: the limit is older than any hold", known, err)
	}
	if n := s.shopperRows(t); n != 1 {
		t.Errorf("%d shoppers are known, expected the one with a hold", n)
	}
	s.refused(t, stays, 2, 2, 1)
	s.mustPlace(t, stays, 1)
	s.mustPlace(t, gone, 2)
	s.MustAudit(t)
}

// Holds that were placed while there was no limit are summed, too, however the limit came.
func TestLimitCountsHoldsOfTimesWithout(t *testing.T) {
	t.Parallel()
	two, nine := int64(2), int64(9)
	for name, limits := range map[string][]*int64{
		"comes":          {&two},
		"comes twice":    {&two, nil, &two},
		"comes and goes": {&nine, nil, &two},
		"changes":        {&nine, &two},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, 100, 5)
			me := shopper(1)
			s.setLimit(t, nil)
			if _, err := s.place(t.Context(), s.Ledger, me, 2); err != nil {
				t.Fatal(err)
			}
			for _, limit := range limits {
				s.setLimit(t, limit)
			}
			s.refused(t, me, 1, 2, 2)
			s.mustPlace(t, shopper(2), 2)
			s.MustAudit(t)
		})
	}
}

// A call that began while all shoppers were known is not misled when the limit goes and comes again before it takes units.
func TestLimitGoesAndComesDuringACall(t *testing.T) {
	t.Parallel()
	const limit = 5
	s := newShop(t, 100, limit)
	me := shopper(1)
	tx := begin(t, s.Env)
	exec(t, tx, "INSERT INTO shopper_products (shopper, product_id) VALUES (?, ?)", me[:], s.product)
	place := func(qty int64, limit *int64) error {
		_, err := s.PlaceHold(context.Background(), checkout.HoldRequest{
			ID: ledgertest.NewID(), Shopper: me, ProductID: s.product, Qty: qty, TTL: ttl, Price: &checkout.Money{Amount: 4999, Currency: "USD"}, MaxPerShopper: limit,
		})
		return err
	}
	placed := make(chan error, 1)
	go func() { placed <- place(1, new(int64(limit))) }()
	waitForLockWait(t, s.Env)
	s.setLimit(t, nil)
	if err := place(limit, nil); err != nil {
		t.Fatal(err)
	}
	s.setLimit(t, new(int64(limit)))
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-placed; checkout.CodeOf(err) != checkout.CodeShopperLimit {
		t.Errorf("a hold over the limit gave %v, expected shopper_limit", err)
	}
	s.MustAudit(t)
}

// Holds and late payments of one shopper at once take the limit, and no unit more.
func TestLimitIsExactBetweenHoldsAndLatePayments(t *testing.T) {
	t.Parallel()
	const limit, late = 5, 4
	s := newShop(t, 10_000, limit)
	for round := range ledgertest.Thorough(5, 30) {
		me := shopper(round)
		var cancelled []checkout.ID
		for range late {
			cancelled = append(cancelled, s.cancelled(t, me))
		}
		start := make(chan struct{})
		var wg sync.WaitGroup
		for _, id := range cancelled {
			wg.Go(func() {
				<-start
				s.event(t, id, checkout.PaymentSucceeded)
			})
		}
		for range 3 * limit {
			wg.Go(func() {
				<-start
				if _, err := s.place(context.Background(), s.Ledger, me, 1); err != nil && checkout.CodeOf(err) != checkout.CodeShopperLimit && checkout.CodeOf(err) != checkout.CodeBusy {
					t.Errorf("a hold gave %v, expected shopper_limit", err)
				}
			})
		}
		close(start)
		wg.Wait()
		s.refused(t, me, 1, limit, limit)
	}
	s.MustAudit(t)
}
