package checkout_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"flashsale/pkg/checkout"
)

func TestIDs(t *testing.T) {
	t.Parallel()
	// The known value is TypeID's: https://github.com/jetify-com/typeid/blob/main/spec/valid.yml
	known := checkout.ID{0x01, 0x89, 0x0a, 0x5d, 0xac, 0x96, 0x77, 0x4b, 0xbc, 0xce, 0xb3, 0x02, 0x09, 0x9a, 0x80, 0x57}
	if got := known.HoldID(); got != "hold_01h455vb4pex5vsknk084sn02q" {
		t.Errorf("HoldID is %s, expected hold_01h455vb4pex5vsknk084sn02q", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		one := checkout.ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "one"))
		other := checkout.ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "other"))
		back, ok := checkout.ParseHoldID(one.HoldID())
		order, okOrder := checkout.ParseOrderID(one.OrderID())
		if !ok || !okOrder || back != one || order != one {
			t.Fatalf("%v parses back as %v and %v", one, back, order)
		}
		if bytes.Compare(one[:], other[:]) != strings.Compare(one.HoldID(), other.HoldID()) {
			t.Fatal("ids sort differently as text than as bytes")
		}
	})
	for _, bad := range []string{
		"", "hold_", "01h455vb4pex5vsknk084sn02q", "ord_01h455vb4pex5vsknk084sn02q", "hold_01h455vb4pex5vsknk084sn02", "hold_01h455vb4pex5vsknk084sn02qq",
		"hold_81h455vb4pex5vsknk084sn02q", "hold_01H455VB4PEX5VSKNK084SN02Q", "hold_01h455vb4pex5vsknk084sn02u", "hold_01h455vb4pex5vsknk084sn0é",
	} {
		if id, ok := checkout.ParseHoldID(bad); ok {
			t.Errorf("%q parses as %v, expected a refusal", bad, id)
		}
	}
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	plain, ok := checkout.ParseIdempotencyKey("order-42:attempt.1_A")
	quoted, okQuoted := checkout.ParseIdempotencyKey(`"order-42:attempt.1_A"`)
	if !ok || !okQuoted || plain != quoted {
		t.Error("a key in quotes differs from the same key without")
	}
	for _, bad := range []string{"", "fifteen-chars-x", strings.Repeat("k", 256), "sixteen chars or more", `"sixteen-chars-or-more`, "sixteen-chars-ör-more", "sixteen-chars-or-more\n"} {
		if _, ok := checkout.ParseIdempotencyKey(bad); ok {
			t.Errorf("%q is accepted, expected a refusal", bad)
		}
	}
}

// The gate refuses only impossible holds, at every boundary.
func TestProductRefusesImpossibleHolds(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := func(d time.Duration) *time.Time { t := now.Add(d); return &t }
	base := checkout.Product{Stock: 10, ReservedStock: 3, SoldStock: 4, MaxQtyPerHold: 5, AsOf: now}
	for name, c := range map[string]struct {
		qty    int64
		change func(*checkout.Product)
		want   checkout.Code
	}{
		"all that is available": {3, nil, ""},
		"one unit too many":     {4, nil, checkout.CodeSoldOut},
		"over the limit":        {6, nil, checkout.CodeQtyOverLimit},
		"just before the start": {1, func(p *checkout.Product) { p.SaleStartsAt = at(time.Microsecond) }, checkout.CodeSaleNotStarted},
		"at the start":          {1, func(p *checkout.Product) { p.SaleStartsAt = at(0) }, ""},
		"just before the end":   {1, func(p *checkout.Product) { p.SaleEndsAt = at(time.Microsecond) }, ""},
		"at the end":            {1, func(p *checkout.Product) { p.SaleEndsAt = at(0) }, checkout.CodeSaleEnded},
	} {
		p := base
		if c.change != nil {
			c.change(&p)
		}
		got := checkout.Code("")
		if refusal := p.Refuses(c.qty); refusal != nil {
			got = refusal.Code
		}
		if got != c.want {
			t.Errorf("%s: refused with %q, expected %q", name, got, c.want)
		}
	}
}

// docs/architecture.md lists every metric.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range slices.Concat(checkout.Metrics, checkout.RequestMetrics) {
		labels := slices.Clone(m.Labels)
		for i, l := range labels {
			labels[i] = "`" + l + "`"
		}
		row := fmt.Sprintf("| `flashsale_%s` | %s | %s |", m.Name, strings.Join(labels, ", "), m.Help)
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/architecture.md lacks the row\n%s", row)
		}
	}
}
