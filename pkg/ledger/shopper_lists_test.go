package ledger_test

import (
	"testing"

	"flashsale/pkg/checkout"
)

// A hoarder's holds that ended without an order make no page of a list dear, and hide no order behind them.
func TestCostOfAShoppersListIsBounded(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 5)
	me := shopper(1)
	first := s.mustPlace(t, me, 1)
	s.order(t, me, first)
	exec(t, s.Admin, `INSERT INTO holds (id, product_id, qty, unit_price, currency, status, created_at, expires_at, ended_at, shopper)
		SELECT UNHEX(CONCAT('FF', LPAD(HEX(i), 30, '0'))), product_id, 1, 4999, 'USD', 'expired', created_at, expires_at, expires_at, shopper
		FROM holds, JSON_TABLE(CONCAT('[', REPEAT('0,', 999), '0]'), '$[*]' COLUMNS (i FOR ORDINALITY)) n WHERE id = ?`, first[:]) // later ones
	l, reads := countReads(t, s.Env)
	service := &checkout.Service{Ledger: l}
	cost := func(list func()) int64 {
		start := reads()
		counting := reads() - start
		list()
		return reads() - start - 2*counting
	}

	var found []checkout.Order
	var next *checkout.ID
	for page := 0; page == 0 || next != nil; page++ {
		if n := cost(func() {
			orders, more, err := service.Orders(t.Context(), me, next, 1)
			if err != nil {
				t.Fatal(err)
			}
			found, next = append(found, orders...), more
		}); n > 510 {
			t.Errorf("page %d of the orders read %d rows, expected about 200, or 500 on MySQL: 100 holds, and the order of each", page, n)
		}
	}
	if len(found) != 1 || found[0].ID != first || found[0].ProductID != s.product || found[0].Qty != 1 {
		t.Errorf("the pages have the orders %v, expected the one", found)
	}
	if n := cost(func() {
		if holds, _, err := service.Holds(t.Context(), me, nil, 20); err != nil || len(holds) != 20 {
			t.Errorf("a page has %d holds, %v, expected 20", len(holds), err)
		}
	}); n > 50 {
		t.Errorf("a page of 20 holds read %d rows, expected about 42: those of 21 holds, and the order of each", n)
	}
}
