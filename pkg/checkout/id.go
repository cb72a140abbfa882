package checkout

import (
	"encoding/binary"
	"strings"
)

// ID identifies a hold and the order made from it: 128 bits, a UUIDv7, so that new rows are stored side by side.
type ID [16]byte

const (
	holdPrefix  = "hold_"
	orderPrefix = "ord_"

	// crockford is Crockford's base32 alphabet in lower case: no i, l, o or u. https://www.crockford.com/base32.html
	crockford = "0123456789abcdefghjkmnpqrstvwxyz"
	// idChars is how many characters 128 bits take at 5 bits each; the first carries 3 bits only.
	idChars = 26
)

// HoldID returns the identity as a hold's id, "hold_" and 26 characters.
func (id ID) HoldID() string { return holdPrefix + id.encode() }

// OrderID returns the identity as an order's id, "ord_" and 26 characters.
func (id ID) OrderID() string { return orderPrefix + id.encode() }

// ParseHoldID reads a hold's id; false when it is not in the one form that HoldID writes.
func ParseHoldID(s string) (ID, bool) { return parse(s, holdPrefix) }

// ParseOrderID reads an order's id; false when it is not in the one form that OrderID writes.
func ParseOrderID(s string) (ID, bool) { return parse(s, orderPrefix) }

// encode writes the 128 bits as one big-endian number in base 32, which keeps the order of ids as text
// (the layout of ULID and TypeID).
func (id ID) encode() string {
	hi, lo := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	var out [idChars]byte
	for i := idChars - 1; i >= 0; i-- {
		out[i] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return string(out[:])
}

func parse(s, prefix string) (ID, bool) {
	digits, ok := strings.CutPrefix(s, prefix)
	if !ok || len(digits) != idChars || digits[0] > '7' { // above 7 the number would need more than 128 bits
		return ID{}, false
	}
	var hi, lo uint64
	for _, c := range []byte(digits) {
		v := strings.IndexByte(crockford, c)
		if v < 0 {
			return ID{}, false
		}
		hi = hi<<5 | lo>>59
		lo = lo<<5 | uint64(v)
	}
	var id ID
	binary.BigEndian.PutUint64(id[:8], hi)
	binary.BigEndian.PutUint64(id[8:], lo)
	return id, true
}
