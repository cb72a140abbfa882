package checkout_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"flashsale/pkg/checkout"
)

// refusingLedger refuses every hold with the error, and knows one used key. It counts its calls.
type refusingLedger struct {
	fakeLedger
	err   error
	used  checkout.IdempotencyKey
	holds *int
}

func (l refusingLedger) PlaceHold(_ context.Context, r checkout.HoldRequest) (checkout.Receipt, error) {
	*l.holds++
	if r.Key != nil && *r.Key == l.used {
		return checkout.Receipt{Hold: &checkout.Hold{}, Repeated: true}, nil
	}
	return checkout.Receipt{}, l.err
}

func (l refusingLedger) KeyUsed(_ context.Context, key checkout.IdempotencyKey) (bool, error) {
	return key == l.used, nil
}

// limitedService is a checkout whose ledger gives err, and whose view shows a product on sale.
func limitedService(err error, used checkout.IdempotencyKey, counted counts) (s *checkout.Service, holds *int) {
	holds = new(int)
	return &checkout.Service{
		Ledger:   refusingLedger{err: err, used: used, holds: holds},
		View:     fakeView{found: checkout.Lookup{Product: checkout.Product{ID: "p", Stock: 100, MaxQtyPerHold: 5}}},
		Recorder: counted, NewID: newID, Blocked: checkout.NewBlocked(),
	}, holds
}

func TestBlockedShopperCostsOneDatabaseCallASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		counted := counts{}
		s, holds := limitedService(checkout.ShopperLimit(0, 3), checkout.IdempotencyKey{}, counted)
		me, other := checkout.Shopper{1}, checkout.Shopper{2}
		for second := 1; second <= 3; second++ {
			for range 100 {
				_, _, err := s.PlaceHold(t.Context(), me, "p", 1, nil)
				refusal, ok := err.(*checkout.Error) //nolint:errorlint // as the HTTP edge gets it
				if !ok || refusal.Code != checkout.CodeShopperLimit || *refusal.MaxPerShopper != 0 || *refusal.Yours != 3 {
					t.Fatalf("a blocked shopper got %v, expected shopper_limit with limit 0 and its 3 units", err)
				}
			}
			if *holds != second {
				t.Fatalf("after %d s the ledger had %d calls, expected one a second", second, *holds)
			}
			time.Sleep(time.Second)
		}
		if gate, ledger := counted["holds_refused_total/shopper_limit/gate"], counted["holds_refused_total/shopper_limit/ledger"]; gate != 297 || ledger != 3 {
			t.Errorf("counted %v refusals by the gate and %v by the ledger, expected 297 and 3", gate, ledger)
		}
		_, _, _ = s.PlaceHold(t.Context(), me, "p", 1, nil)
		before := *holds
		_, _, _ = s.PlaceHold(t.Context(), me, "another", 1, nil)
		_, _, _ = s.PlaceHold(t.Context(), other, "p", 1, nil)
		if *holds != before+2 {
			t.Errorf("another product and another shopper took %d calls, expected 2", *holds-before)
		}
	})
}

// The first request after the unblocking may be refused for a second, and no longer.
func TestUnblockedShopperPlacesHoldsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := limitedService(checkout.ShopperLimit(0, 0), checkout.IdempotencyKey{}, counts{})
		_, _, _ = s.PlaceHold(t.Context(), checkout.Shopper{1}, "p", 1, nil)
		s.Ledger = keyedLedger{holds: new(int), lookups: new(int)}
		time.Sleep(time.Second)
		if _, _, err := s.PlaceHold(t.Context(), checkout.Shopper{1}, "p", 1, nil); err != nil {
			t.Errorf("a second after the unblocking a hold gave %v", err)
		}
	})
}

// A blocked shopper's request that is repeated after its response was lost finds its hold.
func TestBlockedShopperGetsItsEarlierHoldAgain(t *testing.T) {
	t.Parallel()
	me, key := checkout.Shopper{1}, checkout.IdempotencyKey{1}
	s, holds := limitedService(checkout.ShopperLimit(0, 0), *me.Key(&key), counts{})
	_, _, _ = s.PlaceHold(t.Context(), me, "p", 1, nil)
	if _, replayed, err := s.PlaceHold(t.Context(), me, "p", 1, &key); err != nil || !replayed {
		t.Errorf("the repeated request gave %v, expected the hold", err)
	}
	other, before := checkout.IdempotencyKey{2}, *holds
	if _, _, err := s.PlaceHold(t.Context(), me, "p", 1, &other); checkout.CodeOf(err) != checkout.CodeShopperLimit || *holds != before {
		t.Errorf("an unused key gave %v with %d calls to place a hold, expected shopper_limit and none", err, *holds-before)
	}
}

// A shopper at the limit asks the ledger each time: units that it releases count at once.
func TestShopperAtTheLimitIsNotRemembered(t *testing.T) {
	t.Parallel()
	s, holds := limitedService(checkout.ShopperLimit(2, 2), checkout.IdempotencyKey{}, counts{})
	for range 3 {
		_, _, _ = s.PlaceHold(t.Context(), checkout.Shopper{1}, "p", 1, nil)
	}
	if *holds != 3 {
		t.Errorf("3 requests took %d calls of the ledger, expected 3", *holds)
	}
}
