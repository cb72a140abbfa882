package checkout_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"flashsale/pkg/checkout"
)

var update = flag.Bool("update", false, "write docs/states.md anew")

const (
	statesDocument = "../../docs/states.md"
	beginMark      = "<!-- generated from checkout.Transitions by make generate; do not edit -->\n"
	endMark        = "<!-- end of the generated part -->\n"
)

// TestStatesDocument fails when docs/states.md does not show the table that the code and its tests use.
func TestStatesDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(statesDocument)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), beginMark)
	_, after, closed := strings.Cut(rest, endMark)
	if !found || !closed {
		t.Fatalf("%s has lost its marks", statesDocument)
	}
	want := before + beginMark + describeTransitions() + endMark + after
	if *update {
		if err := os.WriteFile(statesDocument, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if want != string(text) {
		t.Errorf("%s is stale: run make generate", statesDocument)
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

// TestTransitionsAreSound checks the table by itself.
func TestTransitionsAreSound(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, row := range checkout.Transitions {
		key := string(row.From) + "/" + string(row.On)
		if seen[key] {
			t.Errorf("two rows for %s", key)
		}
		seen[key] = true
		place := map[checkout.OrderStatus]checkout.StockPlace{
			checkout.OrderPendingPayment: checkout.StockReserved, checkout.OrderPaid: checkout.StockSold,
			checkout.OrderCancelled: checkout.StockAvailable, checkout.OrderRefundDue: checkout.StockAvailable,
		}
		if want, fixed := place[row.To]; fixed && row.Stock != want {
			t.Errorf("%s: %s has its units %s", key, row.To, row.Stock)
		}
		if (row.To == checkout.OrderCancelled || row.To == checkout.OrderRefundDue) != (row.Reason != "") {
			t.Errorf("%s: %s with the reason %q", key, row.To, row.Reason)
		}
	}
	if _, ok := checkout.Find(checkout.State(checkout.OrderPaid), checkout.OnSucceeded); ok {
		t.Error("a paid order is paid again")
	}
}
