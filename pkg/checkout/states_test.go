package checkout_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"flashsale/pkg/checkout"
)

var update = flag.Bool("update", false, "rewrite docs/states.md")

const (
	statesDocument = "../../docs/states.md"
	beginMark      = "<!-- generated from pkg/checkout by make generate; do not edit -->\n"
	endMark        = "<!-- end of the generated part -->\n"
)

// docs/states.md shows the table that the code and its tests use.
func TestStatesDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(statesDocument)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), beginMark)
	_, after, closed := strings.Cut(rest, endMark)
	if !found || !closed {
		t.Fatalf("%s lacks the marks of the generated part", statesDocument)
	}
	want := before + beginMark + describeTransitions() + endMark + after
	if *update {
		if err := os.WriteFile(statesDocument, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if want != string(text) {
		t.Errorf("%s is out of date: run make generate", statesDocument)
	}
}

func describeTransitions() string {
	var b strings.Builder
	b.WriteString("\n### Without money\n\n| from | on | to | its units |\n|---|---|---|---|\n")
	for _, t := range checkout.Transitions {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", t.From, t.On, describe(t.To), place(t.Units))
	}
	b.WriteString("| anything else | | unchanged; an event is recorded as `ignored` | unchanged |\n")
	b.WriteString("\n### With money\n\n| payments of an order of 10.00 | its units were reserved | sold | none, and some are left | none, and it is sold out |\n|---|---|---|---|---|\n")
	for _, m := range moneys {
		fmt.Fprintf(&b, "| %s |", m.name)
		for _, from := range []struct {
			units checkout.StockPlace
			left  bool
		}{{checkout.StockReserved, true}, {checkout.StockSold, true}, {checkout.StockAvailable, true}, {checkout.StockAvailable, false}} {
			payments := slices.Clone(m.of)
			unpaid := checkout.Standing{Status: checkout.OrderPendingPayment}
			switch {
			case from.units == checkout.StockAvailable:
				unpaid = checkout.Standing{Status: checkout.OrderCancelled, Reason: "…"}
			case from.units == checkout.StockSold && !m.exact:
				b.WriteString(" |") // units are sold for the right amount only
				continue
			}
			units := checkout.Settle(from.units, 1000, payments, func() bool { return from.left })
			fmt.Fprintf(&b, " %s, %s |", describe(checkout.StandingOf(units, 1000, payments, unpaid)), place(units))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	return b.String()
}

// moneys are what can have happened to the money of an order.
var moneys = []struct {
	name  string
	exact bool // a payment had the right amount
	of    []checkout.Payment
}{
	{"none", false, nil},
	{"10.00", true, []checkout.Payment{{Received: 1000, Exact: true}}},
	{"10.00, of which 3.00 went back", true, []checkout.Payment{{Received: 1000, Returned: 300, Exact: true}}},
	{"10.00, all of which went back", true, []checkout.Payment{{Received: 1000, Returned: 1000, Exact: true}}},
	{"10.00, and a refund of it failed", true, []checkout.Payment{{Received: 1000, Unsent: 1000, Exact: true}}},
	{"10.00 twice", true, []checkout.Payment{{Received: 1000, Exact: true}, {Received: 1000, Exact: true}}},
	{"10.00 twice, of which one went back", true, []checkout.Payment{{Received: 1000, Returned: 1000, Exact: true}, {Received: 1000, Exact: true}}},
	{"another amount, or another currency", false, []checkout.Payment{{Received: 900}}},
	{"another amount, which went back", false, []checkout.Payment{{Received: 900, Returned: 900}}},
	{"another amount, and 10.00", true, []checkout.Payment{{Received: 900}, {Received: 1000, Exact: true}}},
}

func describe(s checkout.Standing) string {
	if s.Reason == "" {
		return "`" + string(s.Status) + "`"
	}
	return "`" + string(s.Status) + "` (" + strings.ReplaceAll("`"+string(s.Reason)+"`", "`…`", "…") + ")"
}

func place(units checkout.StockPlace) string {
	if units == checkout.StockAvailable {
		return "available"
	}
	return string(units)
}

// The table has one row per state and trigger, and status, units and reason fit together.
func TestTransitionsAreSound(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, row := range checkout.Transitions {
		key := string(row.From) + "/" + string(row.On)
		if seen[key] {
			t.Errorf("%s has two rows, expected one", key)
		}
		seen[key] = true
		if (row.To.Status == checkout.OrderCancelled) != (row.To.Reason != "") || (row.To.Status == checkout.OrderCancelled) != (row.Units == checkout.StockAvailable) {
			t.Errorf("%s: the order is %+v with its units %s, expected a reason and no units if it is cancelled", key, row.To, row.Units)
		}
	}
}

// Money that came in is kept for units, went back, or is owed: nothing else, whatever happened.
func TestMoneyIsKeptReturnedOrOwed(t *testing.T) {
	t.Parallel()
	for _, m := range moneys {
		for _, units := range []checkout.StockPlace{checkout.StockReserved, checkout.StockSold, checkout.StockAvailable} {
			payments := slices.Clone(m.of)
			after := checkout.Settle(units, 1000, payments, func() bool { return true })
			settle := 0
			for _, p := range payments {
				kept := int64(0)
				if p.Settles {
					kept = p.Kept()
					settle++
				}
				if p.Received != kept+min(p.Returned, p.Received)+p.Owed() {
					t.Errorf("%s, units %s: received %d is not kept %d + returned %d + owed %d", m.name, units, p.Received, kept, p.Returned, p.Owed())
				}
			}
			if settle > 1 || (settle == 1) != (after == checkout.StockSold && settle > 0) {
				t.Errorf("%s, units %s: %d payments settle, with the units %s", m.name, units, settle, after)
			}
		}
	}
}
