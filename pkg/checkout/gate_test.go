package checkout_test

import (
	"context"
	"testing"

	"flashsale/pkg/checkout"
)

// keyedLedger has granted a hold with every key, unless unused is set. It counts calls.
type keyedLedger struct {
	fakeLedger
	unused         bool
	holds, lookups *int
}

func (l keyedLedger) KeyUsed(context.Context, checkout.IdempotencyKey) (bool, error) {
	*l.lookups++
	return !l.unused, nil
}

func (l keyedLedger) PlaceHold(context.Context, checkout.HoldRequest) (checkout.Receipt, error) {
	*l.holds++
	return checkout.Receipt{Hold: &checkout.Hold{}, Repeated: true}, nil
}

// An operator sets a limit during a sale. An anonymous shopper may repeat a request whose response was lost: the hold exists. Every
// other anonymous request is refused, if possible without a database call.
func TestLimitRefusesAnonymousShoppersExceptTheirEarlierHolds(t *testing.T) {
	t.Parallel()
	two := int64(2)
	product := checkout.Product{ID: "p", Stock: 100, MaxQtyPerHold: 5, MaxPerShopper: &two, Price: checkout.Money{Amount: 1, Currency: "USD"}}
	soldOut := product
	soldOut.ReservedStock = 100
	key := &checkout.IdempotencyKey{1}
	for name, c := range map[string]struct {
		found          checkout.Lookup
		key            *checkout.IdempotencyKey
		unused         bool
		want           checkout.Code
		holds, lookups int
	}{
		"a used key":                         {found: checkout.Lookup{Product: product}, key: key, holds: 1, lookups: 1},
		"an unused key":                      {found: checkout.Lookup{Product: product}, key: key, unused: true, want: checkout.CodeUnauthenticated, lookups: 1},
		"a key that the view never saw":      {found: checkout.Lookup{Product: product, KeyUnused: true}, key: key, want: checkout.CodeUnauthenticated},
		"no key":                             {found: checkout.Lookup{Product: product}, want: checkout.CodeUnauthenticated},
		"no key, sold out, units may be due": {found: checkout.Lookup{Product: soldOut}, want: checkout.CodeSoldOut},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var holds, lookups int
			s := checkout.Service{
				Ledger: keyedLedger{unused: c.unused, holds: &holds, lookups: &lookups}, View: fakeView{found: c.found, again: true}, Recorder: counts{}, NewID: newID,
			}
			_, replayed, err := s.PlaceHold(t.Context(), checkout.Shopper{}, "p", 1, c.key)
			if checkout.CodeOf(err) != c.want || replayed != (c.want == "") {
				t.Errorf("the request gave %v, replayed %v, expected %q", err, replayed, c.want)
			}
			if holds != c.holds || lookups != c.lookups {
				t.Errorf("it called the ledger for %d holds and %d keys, expected %d and %d", holds, lookups, c.holds, c.lookups)
			}
		})
	}
}
