package checkout

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits on what an operator can put on sale. MaxPrice × MaxQty stays below 2^63.
const (
	MaxStock         = 1_000_000_000     // units
	MaxPrice         = 1_000_000_000_000 // minor units
	MaxQty           = 999_999           // units in one hold
	DefaultMaxQty    = 10                // max_qty_per_hold of a product that names none
	MaxProductName   = 200               // characters
	MaxProductIDSize = 64                // characters
)

// productID is the form of a merchant's product id.
var productID = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// ValidProductID reports whether s can be a product's id: 1 to 64 of a-z, 0-9 and "-".
func ValidProductID(s string) bool { return productID.MatchString(s) }

// Money is an amount in minor units (cents, or the whole unit where a currency has no minor one) of an
// ISO 4217 currency.
type Money struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

// Product is one row of the catalogue with its stock counters, as of AsOf by the database's clock.
// Version goes up by one with every change of the row, so the higher version is the later state.
type Product struct {
	ID            string     `json:"id"`
	Name          string     `json:"name"`
	Price         Money      `json:"price"`
	Stock         int64      `json:"stock"`          // units put on sale in all
	ReservedStock int64      `json:"reserved_stock"` // units held, or ordered and not yet paid
	SoldStock     int64      `json:"sold_stock"`     // units paid for
	KeyedHolds    int64      `json:"keyed_holds"`    // holds ever placed with an idempotency key; see StockView
	Version       int64      `json:"version"`
	MaxQtyPerHold int64      `json:"max_qty_per_hold"`
	SaleStartsAt  *time.Time `json:"sale_starts_at,omitempty"` // nil: from the beginning
	SaleEndsAt    *time.Time `json:"sale_ends_at,omitempty"`   // nil: without end
	AsOf          time.Time  `json:"as_of"`
}

// AvailableStock is what can be held now.
func (p Product) AvailableStock() int64 { return p.Stock - p.ReservedStock - p.SoldStock }

// Refuses returns the reason why a hold of qty units is impossible as far as this state of the product can
// tell, or nil. Its clock is AsOf, the database's, so a state that is kept must not outlive SaleStartsAt.
// Codes: qty_over_limit, sale_not_started, sale_ended, sold_out.
func (p Product) Refuses(qty int64) *Error {
	switch {
	case qty > p.MaxQtyPerHold:
		return QtyOverLimit(p.MaxQtyPerHold)
	case p.SaleStartsAt != nil && p.AsOf.Before(*p.SaleStartsAt):
		return SaleNotStarted(*p.SaleStartsAt)
	case p.SaleEndsAt != nil && !p.AsOf.Before(*p.SaleEndsAt):
		return ErrSaleEnded
	case qty > p.AvailableStock():
		return SoldOut(p.AvailableStock())
	}
	return nil
}

// ProductChange is what an operator puts: a new product, or the changes to one that exists. A nil field keeps
// what is there; a new product needs Name, Price and Stock.
type ProductChange struct {
	ID            string  `json:"id"`
	Name          *string `json:"name,omitempty"`
	Price         *Money  `json:"price,omitempty"`
	Stock         *int64  `json:"stock,omitempty"`
	MaxQtyPerHold *int64  `json:"max_qty_per_hold,omitempty"`
	SaleStartsAt  *Moment `json:"sale_starts_at,omitempty"`
	SaleEndsAt    *Moment `json:"sale_ends_at,omitempty"`
}

// Check refuses values that no product can have, whatever is there already. Codes: invalid_request.
func (c ProductChange) Check() error {
	refusal := &Error{Code: CodeInvalidRequest, Detail: "The product has values that cannot be used."}
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
	if len(refusal.Fields) > 0 {
		return refusal
	}
	return nil
}

// currency is the form of an ISO 4217 code.
var currency = regexp.MustCompile(`^[A-Z]{3}$`)

// isPrice reports whether a product can have this price.
func (m Money) isPrice() bool {
	return m.Amount >= 0 && m.Amount <= MaxPrice && currency.MatchString(m.Currency)
}

// Moment is an optional instant: a nil At takes the limit away. As text it is RFC 3339, or "none".
type Moment struct{ At *time.Time }

// noMoment is the text of a Moment without At.
const noMoment = "none"

// MarshalText implements encoding.TextMarshaler.
func (m Moment) MarshalText() ([]byte, error) {
	if m.At == nil {
		return []byte(noMoment), nil
	}
	return m.At.UTC().AppendFormat(nil, time.RFC3339Nano), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Moment) UnmarshalText(text []byte) error {
	if string(text) == noMoment {
		m.At = nil
		return nil
	}
	at, err := time.Parse(time.RFC3339, string(text))
	if err != nil || at.Year() < 1970 || at.Year() > 9998 { // what the database can hold, with a year to spare
		return errors.New("expected a time such as 2026-11-27T09:00:00Z, or none")
	}
	at = at.UTC()
	m.At = &at
	return nil
}
