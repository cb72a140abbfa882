package stockview

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"flashsale/pkg/checkout"
)

// entry is the format of a cached product: "version json". Two releases share a cache during a deployment, so a field
// may be added here but never renamed. An entry that does not parse counts as a miss.
type entry struct {
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

// formatEntry writes a product's entry, with its version in front for write.lua.
func formatEntry(p checkout.Product) (string, error) {
	text, err := json.Marshal(entry(p)) // Go converts between structs that differ only in tags
	return strconv.FormatInt(p.Version, 10) + " " + string(text), err
}

// parseEntry reads a product's entry. It returns nil for anything that formatEntry did not write for this product.
func parseEntry(id, text string) *checkout.Product {
	version, body, _ := strings.Cut(text, " ")
	var e entry
	if json.Unmarshal([]byte(body), &e) != nil || e.ID != id || strconv.FormatInt(e.Version, 10) != version {
		return nil
	}
	return (*checkout.Product)(&e)
}
