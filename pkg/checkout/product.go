package checkout

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of a product. No order costs more than MaxAmount.
const (
	MaxStock         = 1_000_000_000     // units
	MaxPrice         = 1_000_000_000_000 // minor units
	MaxQty           = 999_999           // units in one hold
	MaxAmount        = 1e18              // minor units of one payment event; a few of them fit into 63 bits
	DefaultMaxQty    = 10                // default of max_qty_per_hold
	MaxProductName   = 200               // characters
	MaxProductIDSize = 64                // characters
)

var productID = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// ValidProductID reports whether s can be a product's id: 1 to 64 of a-z, 0-9 and "-".
func ValidProductID(s string) bool { return productID.MatchString(s) }

// Money is an amount in the minor units (such as cents) of an ISO 4217 currency. Its JSON is the same everywhere.
type Money struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

// Product is one row of the catalogue with its stock counters, as of AsOf by the database's clock. Version goes up by
// one with every change of the row, so the higher version is the later state. The cache and the admin function have
// formats of their own (pkg/stockview, pkg/admin), so that neither changes with this struct.
type Product struct {
	ID            string
	Name          string
	Price         Money
	Stock         int64 // units put on sale in total
	ReservedStock int64 // units held, or ordered and not yet paid
	SoldStock     int64 // units paid for
	KeyedHolds    int64 // its holds with an idempotency key, without pruned ones; see pkg/stockview
	Version       int64
	MaxQtyPerHold int64
	MaxPerShopper *int64     // units that one shopper may have held, ordered and bought; nil: no limit
	Hidden        bool       // not public: shoppers get product_not_found
	SaleStartsAt  *time.Time // nil: no start
	SaleEndsAt    *time.Time // nil: no end
	AsOf          time.Time
	// AskedAt is when this process asked the ledger for this state, by its own clock. The state is no older. It is zero for
	// a state from a cache.
	AskedAt time.Time
}

// AvailableStock returns the number of units that can be held now.
func (p Product) AvailableStock() int64 { return p.Stock - p.ReservedStock - p.SoldStock }

// Refuses returns why this state of the product makes a hold of qty units impossible, or nil. It compares the sale's
// times with AsOf, so a cached state must expire at SaleStartsAt. Codes: product_not_found, qty_over_limit,
// sale_not_started, sale_ended, sold_out.
func (p Product) Refuses(qty int64) *Error {
	switch {
	case p.Hidden:
		return ErrProductNotFound
	case qty > p.MaxQtyPerHold:
		return QtyOverLimit(p.MaxQtyPerHold)
	case p.SaleStartsAt != nil && p.AsOf.Before(*p.SaleStartsAt):
		return SaleNotStarted(*p.SaleStartsAt)
	case p.SaleEndsAt != nil && !p.AsOf.Before(*p.SaleEndsAt):
		return ErrSaleEnded
	case qty > p.AvailableStock():
		return SoldOut(p.AvailableStock(), p.ReservedStock)
	}
	return nil
}

// ProductChange creates a product or changes an existing one. A nil field keeps the current value. A new product needs
// Name, Price and Stock. Its JSON is the request of the admin function.
type ProductChange struct {
	ID            string  `json:"id"`
	Name          *string `json:"name,omitempty"`
	Price         *Money  `json:"price,omitempty"`
	Stock         *int64  `json:"stock,omitempty"`
	MaxQtyPerHold *int64  `json:"max_qty_per_hold,omitempty"`
	MaxPerShopper *Limit  `json:"max_per_shopper,omitempty"`
	Hidden        *bool   `json:"hidden,omitempty"`
	SaleStartsAt  *Moment `json:"sale_starts_at,omitempty"`
	SaleEndsAt    *Moment `json:"sale_ends_at,omitempty"`
}

// Check refuses values that no product can have. Codes: invalid_request.
func (c ProductChange) Check() error {
	refusal := &Error{Code: CodeInvalidRequest, Detail: "The product has invalid values."}
	expect := func(right bool, field, detail string) {
		if !right {
			refusal.Fields = append(refusal.Fields, FieldError{field, detail})
		}
	}
	expect(ValidProductID(c.ID), "id", "expected 1 to 64 of a-z 0-9 -")
	if c.Name != nil {
		expect(strings.TrimSpace(*c.Name) != "" && utf8.RuneCountInString(*c.Name) <= MaxProductName, "name", fmt.Sprintf("expected 1 to %d characters", MaxProductName))
	}
	if c.Price != nil {
		expect(c.Price.Amount >= 0 && c.Price.Amount <= MaxPrice, "price", fmt.Sprintf("expected 0 to %d minor units", MaxPrice))
		expect(currency.MatchString(c.Price.Currency), "currency", "expected ISO 4217 such as USD")
	}
	if c.Stock != nil {
		expect(*c.Stock >= 0 && *c.Stock <= MaxStock, "stock", fmt.Sprintf("expected 0 to %d", MaxStock))
	}
	if c.MaxQtyPerHold != nil {
		expect(*c.MaxQtyPerHold >= 1 && *c.MaxQtyPerHold <= MaxQty, "max_qty_per_hold", fmt.Sprintf("expected 1 to %d", MaxQty))
	}
	if c.MaxPerShopper != nil && c.MaxPerShopper.Units != nil {
		expect(*c.MaxPerShopper.Units >= 1 && *c.MaxPerShopper.Units <= MaxStock, "max_per_shopper", fmt.Sprintf("expected 1 to %d, or none", MaxStock))
	}
	if len(refusal.Fields) > 0 {
		return refusal
	}
	return nil
}

var currency = regexp.MustCompile(`^[A-Z]{3}$`)

// isPrice reports whether a product can have this price.
func (m Money) isPrice() bool {
	return m.Amount >= 0 && m.Amount <= MaxPrice && currency.MatchString(m.Currency)
}

// Moment is an optional time: a nil At removes the limit. As text it is RFC 3339, or "none".
type Moment struct{ At *time.Time }

// none is the text that removes a Moment or a Limit.
const none = "none"

// Limit is an optional number of units: nil Units remove the limit. As text it is a number, or "none".
type Limit struct{ Units *int64 }

// MarshalText implements encoding.TextMarshaler.
func (l Limit) MarshalText() ([]byte, error) {
	if l.Units == nil {
		return []byte(none), nil
	}
	return strconv.AppendInt(nil, *l.Units, 10), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *Limit) UnmarshalText(text []byte) error {
	if string(text) == none {
		l.Units = nil
		return nil
	}
	units, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return errors.New("expected a number, or none")
	}
	l.Units = &units
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (m Moment) MarshalText() ([]byte, error) {
	if m.At == nil {
		return []byte(none), nil
	}
	return m.At.UTC().AppendFormat(nil, time.RFC3339Nano), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Moment) UnmarshalText(text []byte) error {
	if string(text) == none {
		m.At = nil
		return nil
	}
	at, err := time.Parse(time.RFC3339, string(text))
	if err != nil || at.Year() < 1970 || at.Year() > 9998 { // the database's range, less one year
		return errors.New("expected a time such as 2026-11-27T09:00:00Z, or none")
	}
	at = at.UTC()
	m.At = &at
	return nil
}
