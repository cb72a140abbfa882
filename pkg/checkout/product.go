package checkout

import (
	"regexp"
	"time"
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
	Amount   int64
	Currency string
}

// Product is one row of the catalogue with its stock counters, as of AsOf by the database's clock.
// Version goes up by one with every change of the row, so the higher version is the later state.
type Product struct {
	ID            string
	Name          string
	Price         Money
	Stock         int64 // units put on sale in all
	ReservedStock int64 // units held, or ordered and not yet paid
	SoldStock     int64 // units paid for
	KeyedHolds    int64 // holds ever placed with an idempotency key; see StockView
	Version       int64
	MaxQtyPerHold int64
	SaleStartsAt  *time.Time // nil: from the beginning
	SaleEndsAt    *time.Time // nil: without end
	AsOf          time.Time
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
	ID            string
	Name          *string
	Price         *Money
	Stock         *int64
	MaxQtyPerHold *int64
	SaleStartsAt  *Moment
	SaleEndsAt    *Moment
}

// Moment is an optional instant: a nil At takes the limit away.
type Moment struct{ At *time.Time }
