package ledger_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// The first reference of an order stays, also if a payment made the order. It finds the order, with every other filter.
func TestOrdersAreFoundByTheirReference(t *testing.T) {
	t.Parallel()
	env, ctx := ledgertest.New(t), context.Background()
	refer := func(p *purse, references ...string) {
		for _, reference := range references {
			if _, err := env.CreateOrder(ctx, checkout.Caller{}, p.id, checkout.OrderTerms{Window: window, Reference: reference}); err != nil {
				t.Fatal(err)
			}
		}
	}
	paidFirst := newPurse(t, env, 5, false)
	paidFirst.applyAll(t, "A 1000")
	refer(paidFirst, "", "cart 1", "cart 2")
	pending := newPurse(t, env, 5, false)
	refer(pending, "cart 1", "")
	refer(newPurse(t, env, 5, false), "Cart 1")
	refer(newPurse(t, env, 5, false), "")
	lately, later := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		filter ledger.OrderFilter
		want   []string
	}{
		"the reference": {ledger.OrderFilter{Reference: "cart 1"}, []string{pending.id.OrderID(), paidFirst.id.OrderID()}},
		"a later one":   {ledger.OrderFilter{Reference: "cart 2"}, nil},
		"a status":      {ledger.OrderFilter{Reference: "cart 1", Status: checkout.OrderPaid}, []string{paidFirst.id.OrderID()}},
		"a product":     {ledger.OrderFilter{Reference: "cart 1", ProductID: pending.product}, []string{pending.id.OrderID()}},
		"since":         {ledger.OrderFilter{Reference: "cart 1", Since: &lately}, []string{pending.id.OrderID(), paidFirst.id.OrderID()}},
		"since later":   {ledger.OrderFilter{Reference: "cart 1", Since: &later}, nil},
	} {
		list, err := env.Orders(ctx, c.filter, 10)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range list.Entries {
			got = append(got, o.OrderID)
			if o.Reference != "cart 1" {
				t.Errorf("%s: the reference is %q, expected cart 1", name, o.Reference)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) || list.Total != int64(len(c.want)) {
			t.Errorf("%s: got %v, %d in all, expected %v", name, got, list.Total, c.want)
		}
	}
	if h, err := env.OrderHistory(ctx, pending.id); err != nil || h.Order.Reference != "cart 1" {
		t.Errorf("the history is %+v (%v), expected the reference", h.Order, err)
	}
	env.MustAudit(t)
}
