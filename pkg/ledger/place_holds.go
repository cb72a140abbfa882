package ledger

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"time"

	"flashsale/pkg/checkout"
)

// holdKey is what all holds of a batch have in common.
type holdKey struct {
	product, currency string
	price             int64
	perShopper        int64 // 0: no limit
	ttl               time.Duration
}

type holdGroups = groups[holdKey, checkout.HoldRequest, result]

// newHoldGroups shares the calls of holds. A batch never has two holds of the same key, or of the same shopper where there is a
// limit: their later one would be left out.
func newHoldGroups(l *Ledger) *holdGroups {
	return newGroups(sharing[holdKey, checkout.HoldRequest, result]{
		alone: l.placeHold, together: l.placeHolds, keyOf: keyOfHold, rowBytes: maxRowBytes,
		conflict: func(key holdKey, a, b *checkout.HoldRequest) bool {
			return key.perShopper > 0 && a.Shopper == b.Shopper || a.Key != nil && b.Key != nil && *a.Key == *b.Key
		},
	})
}

// keyOfHold returns the group of a hold. A hold has none if its caller saw no price, or if the limit per shopper refuses it alone.
func keyOfHold(r checkout.HoldRequest) (key holdKey, ok bool) {
	if r.Price == nil || r.MaxPerShopper != nil && (r.Shopper.Anonymous() || r.Qty > *r.MaxPerShopper) {
		return holdKey{}, false
	}
	key = holdKey{product: r.ProductID, currency: r.Price.Currency, price: r.Price.Amount, ttl: r.TTL}
	if r.MaxPerShopper != nil {
		key.perShopper = *r.MaxPerShopper
	}
	return key, true
}

// placeHolds places the holds of a group: routines/place_holds.sql.
func (l *Ledger) placeHolds(ctx context.Context, key holdKey, holds []checkout.HoldRequest) (shared[result], error) {
	var perShopper any
	if key.perShopper > 0 {
		perShopper = key.perShopper
	}
	var units, maxQty int64
	var keys, shoppers int
	for _, h := range holds {
		units, maxQty = units+h.Qty, max(maxQty, h.Qty)
		if h.Key != nil {
			keys++
		}
		if !h.Shopper.Anonymous() {
			shoppers++
		}
	}
	rows, facts := holdRows(holds)
	r, err := callFor(ctx, l, scanHoldsResult, "place_holds", key.product, key.ttl.Microseconds(), key.price, key.currency, perShopper,
		len(holds), units, maxQty, facts, keys, shoppers, string(rows))
	if err != nil {
		return shared[result]{}, err
	}
	return shared[result]{l.holdResults(r, holds), r.apart}, nil
}

// holdResults are the results of the holds that were placed, and of those that the stock refuses.
func (l *Ledger) holdResults(r holdsResult, holds []checkout.HoldRequest) []*result {
	if r.outcome != "placed" && r.outcome != "partly" {
		return nil
	}
	results := make([]*result, len(holds))
	for i, h := range holds {
		if i < r.placed {
			results[i] = &result{outcome: "placed", product: r.product, hold: &checkout.Hold{
				ID: h.ID, Shopper: h.Shopper, ProductID: h.ProductID, Qty: h.Qty, Status: checkout.HoldActive, CreatedAt: r.created, ExpiresAt: r.expires,
			}}
			l.remember(results[i].hold)
			continue
		}
		if r.product == nil || !r.left.Valid || h.Qty <= r.left.Int64 {
			continue
		}
		if refusal := r.product.Refuses(h.Qty); refusal != nil && refusal.Code == checkout.CodeSoldOut {
			results[i] = &result{outcome: "sold_out", product: r.product}
		}
	}
	return results
}

// holdRows writes holds as p_holds, and sums up their digests.
func holdRows(holds []checkout.HoldRequest) (rows []byte, sum int64) {
	order := keyOrder(holds)
	rows = make([]byte, 0, min(128*len(holds), maxBatchBytes)) // most rows have 50 bytes, those with a key 120
	for i := range holds {
		h, arrival := holds[i], 0
		if order != nil {
			h, arrival = holds[order[i]], order[i]+1
		}
		facts := factsOf(h)
		rows, sum = appendRow(append(rows, "[,"[min(i, 1)]), h, facts, arrival), sum+int64(facts)
	}
	return append(rows, ']'), sum
}

// keyOrder returns the positions of holds in the order of their keys, which is the order that batches lock them in. It returns
// nil if no hold has a key.
func keyOrder(holds []checkout.HoldRequest) []int {
	if !slices.ContainsFunc(holds, func(h checkout.HoldRequest) bool { return h.Key != nil }) {
		return nil
	}
	key := func(i int) []byte {
		if holds[i].Key == nil {
			return nil
		}
		return holds[i].Key[:]
	}
	order := make([]int, len(holds))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(key(a), key(b)) })
	return order
}

// factsOf is the digest of a hold that place_hold.sql calls v_facts. The audit recomputes it.
func factsOf(h checkout.HoldRequest) uint32 {
	text := make([]byte, 0, 256)
	text = appendHex(text, h.ID[:])
	text = append(append(text, '|'), h.ProductID...)
	text = strconv.AppendInt(append(text, '|'), h.Qty, 10)
	text = strconv.AppendInt(append(text, '|'), h.Price.Amount, 10)
	text = append(append(text, '|'), h.Price.Currency...)
	if h.Key != nil {
		text = appendHex(append(text, '|'), h.Key[:])
	}
	text = strconv.AppendInt(append(text, '|'), h.TTL.Microseconds(), 10)
	if !h.Shopper.Anonymous() {
		text = appendHex(append(text, '|'), h.Shopper[:])
	}
	return crc32.ChecksumIEEE(text)
}

// appendHex writes as the HEX of SQL does, in capitals.
func appendHex(to, b []byte) []byte {
	const digits = "0123456789ABCDEF"
	for _, c := range b {
		to = append(to, digits[c>>4], digits[c&15])
	}
	return to
}

// appendRow writes a hold as a row of p_holds. arrival is its position in the order of arrival, from 1 on, or 0 if the array is
// in that order.
func appendRow(to []byte, h checkout.HoldRequest, facts uint32, arrival int) []byte {
	to = hex.AppendEncode(append(to, `["`...), h.ID[:])
	to = strconv.AppendInt(append(to, `",`...), h.Qty, 10)
	to = strconv.AppendUint(append(to, ','), uint64(facts), 10)
	switch {
	case h.Key != nil:
		to = append(hex.AppendEncode(append(to, `,"`...), h.Key[:]), '"')
	case !h.Shopper.Anonymous() || arrival > 0:
		to = append(to, ",null"...)
	}
	switch {
	case !h.Shopper.Anonymous():
		to = append(hex.AppendEncode(append(to, `,"`...), h.Shopper[:]), '"')
	case arrival > 0:
		to = append(to, ",null"...)
	}
	if arrival > 0 {
		to = strconv.AppendInt(append(to, ','), int64(arrival), 10)
	}
	return append(to, ']')
}

// maxRowBytes is at least the size of a row of p_holds with its comma, and the size of the arrival that a key adds to each row.
func maxRowBytes(h checkout.HoldRequest) (own, each int) {
	own = len(`["",,],`) + 2*len(h.ID) + 10 // the digits of a uint32
	for qty := h.Qty; qty > 0; qty /= 10 {
		own++
	}
	if h.Key != nil {
		own, each = own+len(`,""`)+2*len(h.Key), len(",null,null,256")
	}
	if !h.Shopper.Anonymous() {
		own += len(`,null,""`) + 2*len(h.Shopper)
	}
	return own, each
}

// holdsResult is the row of place_holds.
type holdsResult struct {
	outcome          string
	placed           int           // the first ones of the batch
	apart            []int         // positions from 1 on, of holds that keep the others from being placed
	left             sql.NullInt64 // with partly: units for the others; not valid: they need calls of their own
	created, expires time.Time
	product          *checkout.Product
}

func (r holdsResult) outcomeName() string { return r.outcome }

func (r holdsResult) productState() *checkout.Product { return r.product }

func scanHoldsResult(rows *sql.Rows) (r holdsResult, err error) {
	names, err := rows.Columns()
	if err != nil {
		return r, fmt.Errorf("reading the columns of place_holds: %w", err)
	}
	var product productRow
	var apart sql.NullString
	column := func(name string) any {
		switch name {
		case "outcome":
			return &r.outcome
		case "holds_placed":
			return &r.placed
		case "holds_apart":
			return &apart
		case "units_left":
			return &r.left
		case "hold_created_at":
			return &r.created
		case "hold_expires_at":
			return &r.expires
		}
		return product.column(name)
	}
	if err = scanByName(rows, names, productRowColumns+6, column); err == nil && apart.Valid {
		err = json.Unmarshal([]byte(apart.String), &r.apart)
	}
	if err != nil {
		return r, fmt.Errorf("reading the row of place_holds: %w", err)
	}
	r.product = product.toProduct()
	return r, nil
}
