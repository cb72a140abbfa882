package ledger

import (
	lru "github.com/hashicorp/golang-lru/v2"

	"flashsale/pkg/checkout"
)

// known remembers the latest keys, shoppers under a limit, and payments that a batch would leave out. Their next requests go alone, so
// that a client that repeats a request does not make each batch of the others run twice. A process learns of those of another one
// when it gets their result.
type known struct{ latest *lru.Cache[string, struct{}] }

func newKnown() known {
	latest, err := lru.New[string, struct{}](knownHolds)
	if err != nil {
		panic(err) // the size is not positive
	}
	return known{latest}
}

func (k known) has(one string) bool { return one != "" && k.latest.Contains(one) }

func (k known) add(one string) {
	if one != "" && k.latest != nil {
		k.latest.Add(one, struct{}{})
	}
}

// exclusive names the row that a hold locks beside the product: its shopper's where there is a limit, or else its key's. A process places
// such holds one at a time. It is empty for a hold that locks neither.
func exclusive(r checkout.HoldRequest) string {
	switch {
	case r.MaxPerShopper != nil && !r.Shopper.Anonymous():
		return string(r.Shopper[:]) + r.ProductID
	case r.Key != nil:
		return string(r.Key[:])
	}
	return ""
}
