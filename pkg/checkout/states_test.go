package checkout_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"flashsale/pkg/checkout"
)

var update = flag.Bool("update", false, "rewrite docs/states.md")

const (
	statesDocument = "../../docs/states.md"
	beginMark      = "<!-- generated from checkout.Transitions by make generate; do not edit -->\n"
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
	b.WriteString("\n```mermaid\nstateDiagram-v2\n")
	node := func(s checkout.State) string { return strings.ReplaceAll(string(s), " ", "_") }
	for _, t := range checkout.Transitions {
		label := string(t.On)
		if t.Reason != "" {
			label += " (" + string(t.Reason) + ")"
		}
		fmt.Fprintf(&b, "    %s --> %s: %s\n", node(t.From), t.To, label)
		if t.IfSoldOut {
			fmt.Fprintf(&b, "    %s --> %s: %s, sold out (%s)\n", node(t.From), checkout.OrderRefundDue, t.On, checkout.ReasonLatePayment)
		}
	}
	b.WriteString("```\n\n| from | on | to | its units |\n|---|---|---|---|\n")
	for _, t := range checkout.Transitions {
		to := "`" + string(t.To) + "`"
		if t.Reason != "" {
			to += " (`" + string(t.Reason) + "`)"
		}
		place := string(t.Stock)
		if t.Stock == checkout.StockAvailable {
			place = "available"
		}
		if t.IfSoldOut {
			to += "; without enough stock `refund_due` (`late_payment`)"
			place += ", taken again from available; or available"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", t.From, t.On, to, place)
	}
	b.WriteString("| anything else | | unchanged; an event is recorded as `ignored` | unchanged |\n\n")
	return b.String()
}

// The table has one row per state and trigger, and status, stock and reason fit together.
func TestTransitionsAreSound(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, row := range checkout.Transitions {
		key := string(row.From) + "/" + string(row.On)
		if seen[key] {
			t.Errorf("%s has two rows, expected one", key)
		}
		seen[key] = true
		place := map[checkout.OrderStatus]checkout.StockPlace{
			checkout.OrderPendingPayment: checkout.StockReserved, checkout.OrderPaid: checkout.StockSold,
			checkout.OrderCancelled: checkout.StockAvailable, checkout.OrderRefundDue: checkout.StockAvailable,
		}
		if want, fixed := place[row.To]; fixed && row.Stock != want {
			t.Errorf("%s: the units of a %s order are %s, expected %s", key, row.To, row.Stock, want)
		}
		if (row.To == checkout.OrderCancelled || row.To == checkout.OrderRefundDue) != (row.Reason != "") {
			t.Errorf("%s: a %s order has the reason %q", key, row.To, row.Reason)
		}
	}
	if _, ok := checkout.Find(checkout.State(checkout.OrderPaid), checkout.OnSucceeded); ok {
		t.Error("a paid order accepts a second payment, expected no row")
	}
}
