package checkout

import (
	"errors"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// Blocked remembers for a second that the ledger refused a blocked shopper. So however often that shopper asks, each product
// costs one database call a second. A nil Blocked remembers nothing.
type Blocked struct {
	refusals *lru.Cache[blockedKey, blockedRefusal]
}

// blockedKey has the product, because a refusal tells the shopper's units of it.
type blockedKey struct {
	shopper Shopper
	product string
}

type blockedRefusal struct {
	refusal *Error
	until   time.Time
}

const (
	blockedSize = 10_000      // refusals; the one that is unused for longest makes room
	blockedFor  = time.Second // so long an unblocked shopper may still be refused
)

// NewBlocked returns an empty memory.
func NewBlocked() *Blocked {
	refusals, _ := lru.New[blockedKey, blockedRefusal](blockedSize) // fails for a size below 1
	return &Blocked{refusals}
}

// note remembers a result of the ledger if it refuses a blocked shopper: its limit is 0. A shopper at the product's limit is
// not remembered, because units that come back count at once.
func (b *Blocked) note(shopper Shopper, productID string, err error) {
	var refusal *Error
	if b == nil || !errors.As(err, &refusal) || refusal.MaxPerShopper == nil || *refusal.MaxPerShopper > 0 {
		return
	}
	b.refusals.Add(blockedKey{shopper, productID}, blockedRefusal{refusal, time.Now().Add(blockedFor)})
}

// refusal returns the ledger's latest refusal, or nil if there is none or it is too old.
func (b *Blocked) refusal(shopper Shopper, productID string) *Error {
	if b == nil {
		return nil
	}
	if found, ok := b.refusals.Get(blockedKey{shopper, productID}); ok && time.Now().Before(found.until) {
		return found.refusal
	}
	return nil
}
