package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

func owed(n, total int64) ledger.OwedPayments {
	o := ledger.OwedPayments{Totals: []ledger.OwedTotal{
		{Owed: checkout.Money{Amount: 1000 * total, Currency: "USD"}, Payments: total},
		{Owed: checkout.Money{Amount: 500, Currency: "EUR"}, Payments: 1},
	}}
	o.Total = total
	for i := range n {
		o.Entries = append(o.Entries, ledger.OwedPayment{
			Provider: "standard", PaymentID: fmt.Sprintf("pay_%d", i), OrderID: "ord_1", Owed: checkout.Money{Amount: 1000, Currency: "USD"},
			Reason: ledger.OwedSecondPayment, Since: time.Unix(0, 0).UTC(),
		})
	}
	return o
}

func TestRefundsSaysHowManyMore(t *testing.T) {
	var out, notes strings.Builder
	env := environment{out: &out, stderr: &notes}
	if err := printOwed(env, false, owed(3, 250)); err != nil {
		t.Fatal(err)
	}
	want := "\nAnd 247 payments more: these are the oldest.\nOwed: 2500.00 USD in 250 payments; 5.00 EUR in 1 payment.\n"
	if !strings.HasSuffix(out.String(), want) || !strings.Contains(out.String(), "ord_1  10.00 USD  second_payment  standard  pay_2") || notes.Len() > 0 {
		t.Errorf("got\n%s%s, expected it to end with%s", out.String(), notes.String(), want)
	}
	out.Reset()
	if err := printOwed(env, true, owed(3, 250)); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "[") || !strings.HasSuffix(out.String(), "]\n") || notes.String() != "And 247 payments more: these are the oldest.\n" {
		t.Errorf("got\n%s%s, expected an array, and the note beside it", out.String(), notes.String())
	}
}

// Providers choose ids and types: no text of theirs may break the table or control the terminal.
func TestTableCellsAreOneLineOfPrintableText(t *testing.T) {
	if got := cell("a\tb\nc\x1b[31m ü"); got != "a\uFFFDb\uFFFDc\uFFFD[31m ü" {
		t.Errorf("got %q, expected the control characters replaced", got)
	}
	if got := cell(""); got != "-" {
		t.Errorf("an empty cell is %q, expected -", got)
	}
}

func TestOrdersCSVHasNumbersInTheOrdersCurrency(t *testing.T) {
	var out strings.Builder
	usd := func(amount int64) checkout.Money { return checkout.Money{Amount: amount, Currency: "USD"} }
	err := printOrdersCSV(&out, []ledger.ListedOrder{{
		OrderID: "ord_1", ProductID: "lamp", Qty: 2, Amount: usd(1000), Status: checkout.OrderRefundDue, Reason: checkout.ReasonAmountMismatch,
		Received: []checkout.Money{{Amount: 500, Currency: "EUR"}, usd(1)}, Owed: []checkout.Money{{Amount: 500, Currency: "EUR"}, usd(1)},
		CreatedAt: time.Unix(0, 0).UTC(), Reference: "=HYPERLINK(1)",
	}})
	// The reference is text, for a spreadsheet as well.
	const want = "ord_1,lamp,2,10.00,USD,refund_due,amount_mismatch,0.01,0.00,0.01,received 5.00 EUR; owed 5.00 EUR,1970-01-01T00:00:00Z,'=HYPERLINK(1)\n"
	if err != nil || !strings.HasPrefix(out.String(), "order_id,product_id,") || !strings.HasSuffix(out.String(), want) {
		t.Errorf("got\n%s%v, expected a header and %s", out.String(), err, want)
	}
}

// Money that no order has is printed in a line of its own, and the audit says what it cannot know.
func TestAuditPrintsMoneyAndItsLimits(t *testing.T) {
	var out strings.Builder
	err := printAudit(environment{out: &out}, ledger.Audit{
		Clean: true, Unsealed: 2,
		Money: []ledger.MoneyReport{{Currency: "EUR", Received: 900, Sold: 900}, {Currency: "USD", Received: 3000, Sold: 1000, Returned: 500, Owed: 1500, Unmatched: 70, Stored: 5}},
	})
	if err != nil {
		t.Fatal(err)
	}
	const money = `Money: received 9.00 EUR = sold 9.00 EUR + returned 0.00 EUR + owed 0.00 EUR
Money: received 30.00 USD = sold 10.00 USD + returned 5.00 USD + owed 15.00 USD
       unmatched 0.70 USD more: no order has it (see flashsale events --unmatched)
       stored 0.05 USD more: it could not be applied yet (see flashsale events --stored)
Clean: `
	for _, want := range []string{money, "a hold that was deleted", "record:", "a change of 2 holds without a checksum"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got\n%s, expected it to have\n%s", out.String(), want)
		}
	}
}
