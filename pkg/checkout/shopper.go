package checkout

import "crypto/sha256"

// Shopper identifies a signed-in shopper, by the first 16 bytes of SHA-256(issuer, newline, subject) of the token. It has
// no personal data, but anyone with the token's claims can compute it. The zero Shopper is anonymous.
type Shopper [16]byte

const shopperPrefix = "shopper_"

// ShopperOf returns the shopper of a token's claims iss and sub.
func ShopperOf(issuer, subject string) Shopper {
	digest := sha256.Sum256([]byte(issuer + "\n" + subject))
	return Shopper(digest[:16])
}

// Anonymous reports whether the shopper did not sign in.
func (s Shopper) Anonymous() bool { return s == Shopper{} }

// String formats the shopper as the log and the operator's commands show it: "shopper_" and 26 characters, or "anonymous".
func (s Shopper) String() string {
	if s.Anonymous() {
		return "anonymous"
	}
	return shopperPrefix + ID(s).encode()
}

// ParseShopper reads what String writes, except "anonymous".
func ParseShopper(s string) (Shopper, bool) {
	id, ok := parse(s, shopperPrefix)
	return Shopper(id), ok && !Shopper(id).Anonymous()
}

// Caller reads or changes a hold or an order. A shopper, even an anonymous one, can use only its own: any other is not found. An
// operator can use all of them.
type Caller struct {
	Shopper  Shopper
	Operator bool
}

// Owns reports whether the caller can use what belongs to owner.
func (c Caller) Owns(owner Shopper) bool { return c.Operator || c.Shopper == owner }

// Key makes an idempotency key the shopper's own: the same text of two shoppers is two keys. A key of an anonymous caller
// stays as it is.
func (s Shopper) Key(key *IdempotencyKey) *IdempotencyKey {
	if key == nil || s.Anonymous() {
		return key
	}
	own := IdempotencyKey(sha256.Sum256(append(s[:], key[:]...)))
	return &own
}
