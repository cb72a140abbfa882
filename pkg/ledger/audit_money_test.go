package ledger_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// Money of successes that fit no order has a figure of its own, per currency. Events of one payment count once.
func TestAuditReportsMoneyThatFitsNoOrder(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	ctx := context.Background()
	first, second := newPurse(t, env, 5, true), newPurse(t, env, 5, true)
	first.apply(t, "A 1000")

	sameID := second.event("A 1000") // one payment id, two orders
	sameID.PaymentID = first.product + "A"
	euro, again := first.event("A 900"), first.event("A 900") // one payment, two currencies
	euro.Amount.Currency, again.Amount.Currency = "EUR", "EUR"
	unknown := first.event("B 70")
	id := ledgertest.NewID()
	unknown.Subject = &id
	for _, e := range []checkout.PaymentEvent{sameID, euro, again, unknown} {
		if receipt, err := env.ApplyEvent(ctx, e, window); err != nil || receipt.Result != checkout.PaymentUnmatched {
			t.Fatalf("%+v got %+v (%v), expected unmatched", e, receipt, err)
		}
	}
	want := []ledger.MoneyReport{
		{Currency: "EUR", Unmatched: 900},
		{Currency: "USD", Received: 1000, Sold: 1000, Unmatched: 1070},
	}
	if diff := cmp.Diff(want, env.MustAudit(t).Money); diff != "" {
		t.Errorf("the report differs (-expected +got):\n%s", diff)
	}
}

// Money of an event that could not be applied yet has a figure of its own, without what its payment has already.
func TestAuditReportsMoneyOfStoredEvents(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	ctx := context.Background()
	s := newPurse(t, env, 5, true)
	s.apply(t, "A 1000")
	exec(t, env.Admin, "DROP PROCEDURE "+ledger.InstalledName("settle_order"))
	exec(t, env.Admin, strings.Replace(ledger.InstalledText("settle_order"), "SET p_short = FALSE;", "SIGNAL SQLSTATE '45000';", 1))
	for _, text := range []string{"A 1200", "A 1000", "B 300"} {
		receipt, err := env.ApplyEvent(ctx, s.event(text), window)
		if err != nil || receipt.Result != checkout.PaymentStored {
			t.Fatalf("%s got %+v (%v), expected stored", text, receipt, err)
		}
	}
	want := []ledger.MoneyReport{{Currency: "USD", Received: 1000, Sold: 1000, Stored: 500}}
	audit, err := env.Audit(ctx) // it also reports the missing routine
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, audit.Money); diff != "" {
		t.Errorf("the report differs (-expected +got):\n%s", diff)
	}
}

// Without its checksum a hold can be changed or deleted without evidence. So the audit counts such holds.
func TestAuditCountsHoldsWithoutChecksum(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	gone, kept := newPurse(t, env, 5, false), newPurse(t, env, 5, false)
	if n := env.MustAudit(t).Unsealed; n != 0 {
		t.Errorf("%d holds have no checksum, expected none", n)
	}
	exec(t, env.Admin, "UPDATE holds SET facts = NULL")
	exec(t, env.Admin, "UPDATE products SET holds_sum = 0")
	exec(t, env.Admin, "DELETE FROM holds WHERE id = ?", gone.id[:])
	exec(t, env.Admin, "UPDATE products SET reserved_stock = 0 WHERE id = ?", gone.product)
	audit := env.MustAudit(t) // nothing tells: the printed audit says so
	if audit.Unsealed != 1 {
		t.Errorf("%d holds have no checksum, expected that of %s", audit.Unsealed, kept.product)
	}
}
