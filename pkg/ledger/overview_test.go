package ledger_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// A purchase moves its units from available to held, ordered and sold. An expired unpaid order is no longer ordered.
func TestOverviewSplitsReservedUnits(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 50)
	who := shopper(1)
	expect := func(when string, held, ordered, sold int64) {
		t.Helper()
		o, err := s.Overview(t.Context())
		if err != nil || len(o.Products) != 1 {
			t.Fatalf("%s: got %+v %v, expected one product", when, o, err)
		}
		p := o.Products[0]
		if got := [3]int64{p.ReservedStock - o.Ordered[p.ID], o.Ordered[p.ID], p.SoldStock}; got != [3]int64{held, ordered, sold} {
			t.Errorf("%s: %v units are held, ordered and sold, expected %v", when, got, [3]int64{held, ordered, sold})
		}
	}
	expect("at first", 0, 0, 0)
	bought, unpaid := s.mustPlace(t, who, 1), s.mustPlace(t, who, 3)
	s.mustPlace(t, who, 4)
	expect("after three holds", 8, 0, 0)
	s.order(t, who, bought)
	s.order(t, who, unpaid)
	expect("after two orders", 4, 4, 0)
	s.event(t, bought, checkout.PaymentSucceeded)
	expect("after a payment", 4, 3, 1)
	s.cancel(t, who, unpaid)
	expect("after a cancelled order", 4, 0, 1)
}

// The products that an operator has to watch come first, and the rest is counted.
func TestOverviewShowsOpenSalesFirst(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	for i := range ledger.MaxOverviewProducts {
		env.MustPut(t, fmt.Sprintf("a-hidden-%03d", i), 1)
	}
	exec(t, env.Admin, "UPDATE products SET hidden = TRUE")
	for _, id := range []string{"b-ended", "c-open", "d-reserved", "e-later"} {
		env.MustPut(t, id, 5)
	}
	exec(t, env.Admin, "UPDATE products SET sale_ends_at = UTC_TIMESTAMP(6) - INTERVAL 1 HOUR WHERE id IN ('b-ended')")
	exec(t, env.Admin, "UPDATE products SET sale_starts_at = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR WHERE id = 'e-later'")
	if _, err := env.PlaceHold(t.Context(), checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: "d-reserved", Qty: 1, TTL: time.Minute}); err != nil {
		t.Fatal(err)
	}
	o, err := env.Overview(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, p := range o.Products[:3] {
		ids = append(ids, p.ID)
	}
	if want := []string{"d-reserved", "c-open", "a-hidden-000"}; len(o.Products) != ledger.MaxOverviewProducts || !slices.Equal(ids, want) || o.MoreProducts != 4 {
		t.Errorf("got %d products beginning with %v and %d more, expected %d beginning with %v and 4 more", len(o.Products), ids, o.MoreProducts, ledger.MaxOverviewProducts, want)
	}
}

// Money owed is current, and the audits are those of any process.
func TestOverviewHasMoneyOwedOrdersAndAudits(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 50)
	paid, late := s.mustPlace(t, shopper(1), 1), s.cancelled(t, shopper(2))
	s.order(t, shopper(1), paid)
	exec(t, s.Admin, "UPDATE products SET stock = 1")
	s.event(t, late, checkout.PaymentSucceeded)
	if err := s.RecordAudit(t.Context(), ledger.Audit{AsOf: time.Now().UTC().Add(time.Minute), Broken: []ledger.Finding{{Check: "c", Entity: "e"}}}); err != nil {
		t.Fatal(err)
	}
	o, err := s.Overview(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Owed) != 1 || o.Owed[0].Payments != 1 || o.Owed[0].Owed.Amount == 0 {
		t.Errorf("got %+v, expected one payment that owes money", o.Owed)
	}
	if len(o.Orders) != 2 || o.Orders[0].OrderID != late.OrderID() && o.Orders[1].OrderID != late.OrderID() {
		t.Errorf("got the orders %+v, expected two with %s", o.Orders, late.OrderID())
	}
	if o.Audits.FullBroken != 1 || time.Since(o.Audits.FullAt) > 0 || o.Audits.ChangesAt.After(time.Now().Add(time.Minute)) || o.Audits.ChangesAt.IsZero() {
		t.Errorf("got %+v, expected the recorded full audit and a time of the other", o.Audits)
	}
}
