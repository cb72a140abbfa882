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
	beginMark      = "<!-- generated from checkout.Transitions, Settle and StandingOf by make generate; do not edit -->\n"
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

// cases are representative payments of an order of 10.00, oldest first.
var cases = []struct {
	name     string
	payments []checkout.Payment
}{
	{"none", nil},
	{"10.00 received", []checkout.Payment{exact(0, 0)}},
	{"10.00 received, 3.00 returned", []checkout.Payment{exact(300, 0)}},
	{"10.00 received, a refund of 3.00 failed", []checkout.Payment{exact(0, 300)}},
	{"10.00 received, all returned", []checkout.Payment{exact(1000, 0)}},
	{"10.00 received, the refund of all failed", []checkout.Payment{exact(0, 1000)}},
	{"10.00 received, and 10.00 by a second payment", []checkout.Payment{exact(0, 0), exact(0, 0)}},
	{"10.00 received and returned, and 10.00 by a second payment", []checkout.Payment{exact(1000, 0), exact(0, 0)}},
	{"3.00 received (wrong amount)", []checkout.Payment{{Received: 300}}},
	{"3.00 received (wrong amount), all returned", []checkout.Payment{{Received: 300, Returned: 300}}},
	{"3.00 received (wrong amount), and 10.00 by a second payment", []checkout.Payment{{Received: 300}, exact(0, 0)}},
}

// exact is a payment that received 10.00.
func exact(returned, unsent int64) checkout.Payment {
	return checkout.Payment{Received: 1000, Returned: returned, Unsent: unsent, Exact: true}
}

// outcome plays a case on an order whose units are in a place, and describes what follows.
func outcome(units checkout.StockPlace, enough bool, payments []checkout.Payment) string {
	unpaid := checkout.Standing{Status: checkout.OrderCancelled}
	if units == checkout.StockReserved {
		unpaid.Status = checkout.OrderPendingPayment
	}
	payments = slices.Clone(payments)
	if units == checkout.StockSold { // the first exact payment settled it when the units were sold
		i := slices.IndexFunc(payments, func(p checkout.Payment) bool { return p.Exact })
		if i < 0 {
			return "-"
		}
		payments[i].Settles = true
	}
	after := checkout.Settle(units, 1000, payments, func() bool { return enough })
	standing := checkout.StandingOf(after, 1000, payments, unpaid)
	text := "`" + string(standing.Status) + "`"
	if standing.Reason != "" {
		text += " (`" + string(standing.Reason) + "`)"
	}
	var owed int64
	for _, p := range payments {
		owed += p.Owed()
	}
	if owed > 0 {
		text += fmt.Sprintf(", %d.%02d owed", owed/100, owed%100)
	}
	if after != units {
		text += ", units " + placeName(after)
	}
	return text
}

// dependsOnOrder lists the exceptions. TestTheFirstDeliveryDecides in pkg/ledger plays them.
const dependsOnOrder = `
### When the order of delivery decides

While there is stock, a set of events ends the same in every order of delivery, except for these. An event that does not
fit is ` + "`unmatched`" + `, and ` + "`flashsale events --unmatched`" + ` lists it.

| events | what decides |
|---|---|
| several payments, and a refund without ` + "`payment_id`" + `: 1.00 by A, 10.00 by B, a refund | If one payment alone holds money when the refund comes, the refund is of that one. If several do, the refund is ` + "`unmatched`" + `. |
| one refund id for two payments | The refund is of the payment that the first event names. The other event is ` + "`unmatched`" + `. |
| one payment id for two orders, or in two currencies | The payment is the first event's. The other event is ` + "`unmatched`" + `. |

`

func placeName(p checkout.StockPlace) string {
	if p == checkout.StockAvailable {
		return "available"
	}
	return string(p)
}

func describeTransitions() string {
	var b strings.Builder
	b.WriteString("\n```mermaid\nstateDiagram-v2\n")
	node := func(s checkout.State) string { return strings.ReplaceAll(string(s), " ", "_") }
	for _, t := range checkout.Transitions {
		label := string(t.On)
		if t.Free {
			label += ", free"
		}
		if t.Reason != "" {
			label += " (" + string(t.Reason) + ")"
		}
		fmt.Fprintf(&b, "    %s --> %s: %s\n", node(t.From), t.To, label)
	}
	b.WriteString("```\n\n| from | on | to | its units |\n|---|---|---|---|\n")
	for _, t := range checkout.Transitions {
		to, on := "`"+string(t.To)+"`", string(t.On)
		if t.Reason != "" {
			to += " (`" + string(t.Reason) + "`)"
		}
		if t.Free {
			on += ", amount 0"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", t.From, on, to, placeName(t.Stock))
	}
	b.WriteString("| anything else | | unchanged; an event is recorded as `ignored` | unchanged |\n")
	b.WriteString("\n### Money\n\nAn order of 10.00, by where its units were and what its payments hold:\n\n" +
		"| payments | units reserved | no units, enough available | no units, sold out | units sold |\n|---|---|---|---|---|\n")
	for _, c := range cases {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", c.name, outcome(checkout.StockReserved, true, c.payments),
			outcome(checkout.StockAvailable, true, c.payments), outcome(checkout.StockAvailable, false, c.payments),
			outcome(checkout.StockSold, true, c.payments))
	}
	b.WriteString(dependsOnOrder)
	return b.String()
}

// The table has one row per state and trigger, and status, stock and reason fit together.
func TestTransitionsAreSound(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, row := range checkout.Transitions {
		key := fmt.Sprintf("%s/%s/%t", row.From, row.On, row.Free)
		if seen[key] {
			t.Errorf("%s has two rows, expected one", key)
		}
		seen[key] = true
		want := map[checkout.OrderStatus]checkout.StockPlace{
			checkout.OrderPendingPayment: checkout.StockReserved, checkout.OrderPaid: checkout.StockSold, checkout.OrderCancelled: checkout.StockAvailable,
		}[row.To]
		if row.Stock != want {
			t.Errorf("%s: the units of a %s order are %q, expected %q", key, row.To, row.Stock, want)
		}
		if (row.To == checkout.OrderCancelled) != (row.Reason != "") {
			t.Errorf("%s: a %s order has the reason %q", key, row.To, row.Reason)
		}
		if got, ok := checkout.Find(row.From, row.On, row.Free); !ok || got != row {
			t.Errorf("%s: Find returns %+v", key, got)
		}
		if row.Free && row.To != checkout.OrderPaid || !row.Free && row.To == checkout.OrderPaid {
			t.Errorf("%s: only a free order is paid without money", key)
		}
	}
}
