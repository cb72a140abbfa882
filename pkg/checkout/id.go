package checkout

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// ID identifies a hold and its order. It is a UUIDv7, so that new rows are stored next to each other.
type ID [16]byte

// lastID sorts after every id, and is not one.
var lastID = ID(bytes.Repeat([]byte{0xff}, len(ID{})))

const (
	holdPrefix  = "hold_"
	orderPrefix = "ord_"

	// crockford is Crockford's base32 alphabet in lower case: no i, l, o or u. https://www.crockford.com/base32.html
	crockford = "0123456789abcdefghjkmnpqrstvwxyz"
	// idChars is the length of 128 bits in base 32. The first character carries only 3 bits.
	idChars = 26
)

// HoldID formats the ID as a hold's id: "hold_" and 26 characters.
func (id ID) HoldID() string { return holdPrefix + id.encode() }

// OrderID formats the ID as an order's id: "ord_" and 26 characters.
func (id ID) OrderID() string { return orderPrefix + id.encode() }

// ParseHoldID reads a hold's id. It accepts only the form that HoldID writes.
func ParseHoldID(s string) (ID, bool) { return parse(s, holdPrefix) }

// ParseOrderID reads an order's id. It accepts only the form that OrderID writes.
func ParseOrderID(s string) (ID, bool) { return parse(s, orderPrefix) }

// encode writes the ID as one big-endian number in base 32, as ULID and TypeID do. Text sorts as the bytes do.
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
