package checkout_test

import (
	"context"
	"testing"

	"flashsale/pkg/checkout"
)

// keyedLedger has granted a hold with every key.
type keyedLedger struct{ fakeLedger }

func (keyedLedger) KeyUsed(context.Context, checkout.IdempotencyKey) (bool, error) { return true, nil }

func (keyedLedger) PlaceHold(context.Context, checkout.HoldRequest) (checkout.Receipt, error) {
	return checkout.Receipt{Hold: &checkout.Hold{}, Repeated: true}, nil
}

// An operator sets a limit during a sale. An anonymous shopper repeats a request whose response was lost: the hold exists.
func TestAnonymousKeyGetsItsHoldAgainAfterALimit(t *testing.T) {
	t.Parallel()
	two := int64(2)
	p := checkout.Product{ID: "p", Stock: 100, MaxQtyPerHold: 5, MaxPerShopper: &two, Price: checkout.Money{Amount: 1, Currency: "USD"}}
	s := checkout.Service{
		Ledger: keyedLedger{}, View: fakeView{found: checkout.Lookup{Product: p}}, Recorder: counts{},
		NewID: func() (checkout.ID, error) { return checkout.ID{}, nil },
	}
	key, _ := checkout.ParseIdempotencyKey("0123456789abcdef")
	if _, replayed, err := s.PlaceHold(t.Context(), checkout.Shopper{}, "p", 1, &key); err != nil || !replayed {
		t.Errorf("the repeated request gave %v, expected the hold", err)
	}
}
