package stockview

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flashsale/pkg/checkout"
)

// An entry in the previous release's format: both releases share a cache during a deployment.
const entryBefore = `7 {"id":"demo","name":"Demo","price":{"amount":4999,"currency":"USD"},"stock":100,"reserved_stock":2,` +
	`"sold_stock":3,"keyed_holds":4,"version":7,"max_qty_per_hold":5,"sale_starts_at":"2026-11-27T09:00:00Z","as_of":"2026-11-26T09:00:00.123456Z"}`

func TestEntryFormatIsUnchangedSincePreviousRelease(t *testing.T) {
	t.Parallel()
	starts := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	product := checkout.Product{
		ID: "demo", Name: "Demo", Price: checkout.Money{Amount: 4999, Currency: "USD"}, Stock: 100, ReservedStock: 2, SoldStock: 3,
		KeyedHolds: 4, Version: 7, MaxQtyPerHold: 5, SaleStartsAt: &starts, AsOf: time.Date(2026, 11, 26, 9, 0, 0, 123456000, time.UTC),
	}
	if text, err := formatEntry(product); err != nil || text != entryBefore {
		t.Errorf("formatEntry returned %s (%v), expected %s", text, err, entryBefore)
	}
	if diff := cmp.Diff(&product, parseEntry("demo", entryBefore)); diff != "" {
		t.Errorf("parseEntry differs (-expected +got):\n%s", diff)
	}
}

func TestUnreadableEntryIsAMiss(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty": "", "no version": entryBefore[2:], "no JSON": "7 {", "another version": "8" + entryBefore[1:],
		"another product": `7 {"id":"other","version":7}`, "a field of another type": `7 {"id":"demo","version":7,"stock":"many"}`,
	} {
		if p := parseEntry("demo", text); p != nil {
			t.Errorf("%s: parseEntry(%q) returned %+v, expected nil", name, text, p)
		}
	}
}
