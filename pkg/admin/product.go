package admin

import (
	"time"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// product is a checkout.Product in a response. The command and the function may be of different releases, so a field may
// be added but never renamed.
type product struct {
	ID            string         `json:"id"`
	Name          string         `json:"name"`
	Price         checkout.Money `json:"price"`
	Stock         int64          `json:"stock"`
	ReservedStock int64          `json:"reserved_stock"`
	SoldStock     int64          `json:"sold_stock"`
	KeyedHolds    int64          `json:"keyed_holds"`
	Version       int64          `json:"version"`
	MaxQtyPerHold int64          `json:"max_qty_per_hold"`
	MaxPerShopper *int64         `json:"max_per_shopper,omitempty"`
	Hidden        bool           `json:"hidden,omitempty"`
	SaleStartsAt  *time.Time     `json:"sale_starts_at,omitempty"`
	SaleEndsAt    *time.Time     `json:"sale_ends_at,omitempty"`
	AsOf          time.Time      `json:"as_of"`
	AskedAt       time.Time      `json:"-"`
}

// Go converts between structs that differ only in tags, so a field that only one of them has does not compile.
func toWire(products []checkout.Product) []product {
	var list []product
	for _, p := range products {
		list = append(list, product(p))
	}
	return list
}

func fromWire(list []product) []checkout.Product {
	var products []checkout.Product
	for _, p := range list {
		products = append(products, checkout.Product(p))
	}
	return products
}

// overview is a ledger.Overview in a response.
type overview struct {
	Products     []product            `json:"products"`
	Ordered      map[string]int64     `json:"ordered"`
	MoreProducts int64                `json:"more_products,omitempty"`
	Owed         []ledger.OwedTotal   `json:"owed"`
	Orders       []ledger.ListedOrder `json:"orders"`
	Audits       ledger.AuditTimes    `json:"audits"`
}

func overviewToWire(o ledger.Overview) *overview {
	return &overview{toWire(o.Products), o.Ordered, o.MoreProducts, o.Owed, o.Orders, o.Audits}
}

func (o overview) fromWire() ledger.Overview {
	return ledger.Overview{
		Products: fromWire(o.Products), Ordered: o.Ordered, MoreProducts: o.MoreProducts, Owed: o.Owed, Orders: o.Orders, Audits: o.Audits,
	}
}
