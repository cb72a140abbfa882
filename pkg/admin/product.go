package admin

import (
	"time"

	"flashsale/pkg/checkout"
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
