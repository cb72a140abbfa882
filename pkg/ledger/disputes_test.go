package ledger_test

import (
	"context"
	"fmt"
	"testing"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/ledger"
)

// Open disputes have a list of their own: one line each, the newest first, until the outcome is known.
func TestEventsListsOpenDisputes(t *testing.T) {
	t.Parallel()
	env, ctx := ledgertest.New(t), context.Background()
	paid, closed := newPurse(t, env, 5, true), newPurse(t, env, 5, true)
	paid.applyAll(t, "A 1000, B 1000, A ?, A ?") // two events of one dispute
	closed.applyAll(t, "A 1000, A ?, A ?won, B 1000, B ?lost")
	early := newPurse(t, env, 5, true)
	early.apply(t, "C ?") // before its success

	list, err := env.Events(ctx, ledger.EventDisputes, 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list.Entries {
		got = append(got, fmt.Sprintf("%s %q of %s: %s", e.EventID, e.OrderID, e.PaymentID, e.Detail))
	}
	want := []string{
		fmt.Sprintf("evt_%s_1 \"\" of %[1]sC: dispute %[1]sC is open: respond at the provider", early.product),
		fmt.Sprintf("evt_%s_3 %q of %[1]sA: dispute %[1]sA is open: respond at the provider", paid.product, paid.id.OrderID()),
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || list.Total != 2 {
		t.Errorf("got %d in all\n%q\nexpected 2\n%q", list.Total, got, want)
	}
	if audit := env.MustAudit(t); audit.DisputesOpen != list.Total {
		t.Errorf("the audit counts %d open disputes, the list has %d", audit.DisputesOpen, list.Total)
	}
	if first, err := env.Events(ctx, ledger.EventDisputes, 1); err != nil || len(first.Entries) != 1 || first.More() != 1 {
		t.Errorf("a limit of 1: got %+v (%v), expected 1 and 1 more", first, err)
	}
}
