package checkout

import (
	"crypto/sha256"
	"regexp"
	"strings"
	"time"
)

// HoldStatus is the state of a hold.
type HoldStatus string

// The states of a hold. All but active are final.
const (
	HoldActive   HoldStatus = "active"   // its units are reserved until ExpiresAt
	HoldOrdered  HoldStatus = "ordered"  // it became an order, which now has the units
	HoldReleased HoldStatus = "released" // the shopper released it; its units are available again
	HoldExpired  HoldStatus = "expired"  // ExpiresAt has passed, even if no sweep has reclaimed the units yet
)

// Hold reserves units of a product for a shopper.
type Hold struct {
	ID        ID
	ProductID string
	Qty       int64
	Status    HoldStatus // when it was read, by the database's clock
	CreatedAt time.Time
	ExpiresAt time.Time
	Shopper   Shopper // its owner
	HasOrder  bool    // an order with the same ID exists
}

// IdempotencyKey is the digest of a client's Idempotency-Key. The key itself is never stored or logged, because
// anyone with the key can read the hold.
type IdempotencyKey [sha256.Size]byte

var idempotencyKey = regexp.MustCompile(`^[A-Za-z0-9._:-]{16,255}$`)

// ParseIdempotencyKey reads an Idempotency-Key header, with or without the quotes of a structured-field string
// (draft-ietf-httpapi-idempotency-key-header). ok is false unless it is 16 to 255 of A-Z a-z 0-9 . _ : -
func ParseIdempotencyKey(header string) (key IdempotencyKey, ok bool) {
	text := header
	if len(text) >= 2 && strings.HasPrefix(text, `"`) && strings.HasSuffix(text, `"`) {
		text = text[1 : len(text)-1]
	}
	if !idempotencyKey.MatchString(text) {
		return IdempotencyKey{}, false
	}
	return sha256.Sum256([]byte(text)), true
}
