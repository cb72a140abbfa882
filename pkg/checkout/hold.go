package checkout

import (
	"crypto/sha256"
	"regexp"
	"strings"
	"time"
)

// HoldStatus says what became of a hold.
type HoldStatus string

// The states of a hold: active, and the three ends. Nothing leaves an end.
const (
	HoldActive   HoldStatus = "active"   // its units are reserved until ExpiresAt
	HoldOrdered  HoldStatus = "ordered"  // it became an order, which has the units now
	HoldReleased HoldStatus = "released" // the shopper gave it up; the units are back
	HoldExpired  HoldStatus = "expired"  // ExpiresAt has passed, whether or not a sweep has taken the units back yet
)

// Hold is a shopper's claim on some units of a product.
type Hold struct {
	ID        ID
	ProductID string
	Qty       int64
	Status    HoldStatus // as of the moment it was read, by the database's clock
	CreatedAt time.Time
	ExpiresAt time.Time
	HasOrder  bool // an order with the same ID exists
}

// IdempotencyKey is the digest of a client's Idempotency-Key. The key itself is never stored or logged: who
// knows it can read the hold.
type IdempotencyKey [sha256.Size]byte

var idempotencyKey = regexp.MustCompile(`^[A-Za-z0-9._:-]{16,255}$`)

// ParseIdempotencyKey reads an Idempotency-Key header, with or without the quotes of a structured-field string
// (draft-ietf-httpapi-idempotency-key-header). False when it is not 16 to 255 of A-Z a-z 0-9 . _ : -
func ParseIdempotencyKey(header string) (IdempotencyKey, bool) {
	key := header
	if len(key) >= 2 && strings.HasPrefix(key, `"`) && strings.HasSuffix(key, `"`) {
		key = key[1 : len(key)-1]
	}
	if !idempotencyKey.MatchString(key) {
		return IdempotencyKey{}, false
	}
	return sha256.Sum256([]byte(key)), true
}
