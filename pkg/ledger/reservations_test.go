package ledger_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// away has four reservations, the oldest first: old, unpaid, guest, young. It returns their names by id.
func away(t *testing.T, s *shop, one, two checkout.Shopper) (names map[string]string) {
	t.Helper()
	s.MustPut(t, "q", 100)
	names = map[string]string{}
	name := func(text string, id checkout.ID) checkout.ID {
		names[id.HoldID()], names[id.OrderID()] = text, text
		return id
	}
	older := func(id checkout.ID, minutes int) {
		t.Helper()
		exec(t, s.Admin, "UPDATE holds SET created_at = created_at - INTERVAL ? MINUTE WHERE id = ?", minutes, id[:])
	}
	name("young", s.mustPlace(t, one, 1))
	old := name("old", s.mustPlace(t, two, 2))
	older(old, 3)
	unpaid := name("unpaid", s.mustPlace(t, one, 4))
	s.order(t, one, unpaid)
	older(unpaid, 2)
	guest := name("guest", ledgertest.NewID())
	if _, err := s.PlaceHold(t.Context(), checkout.HoldRequest{ID: guest, ProductID: "q", Qty: 8, TTL: ttl}); err != nil {
		t.Fatal(err)
	}
	older(guest, 1)
	return names
}

// notAway adds a hold or an order in each state that keeps no units away.
func notAway(t *testing.T, s *shop, one checkout.Shopper) {
	t.Helper()
	released, due, paid, cancelled, overdue := s.mustPlace(t, one, 1), s.mustPlace(t, one, 1), s.mustPlace(t, one, 1), s.mustPlace(t, one, 1), s.mustPlace(t, one, 1)
	if _, err := s.ReleaseHold(t.Context(), checkout.Caller{Operator: true}, released); err != nil {
		t.Fatal(err)
	}
	exec(t, s.Admin, "UPDATE holds SET created_at = created_at - INTERVAL 1 HOUR, expires_at = expires_at - INTERVAL 1 HOUR WHERE id = ?", due[:])
	for _, id := range []checkout.ID{paid, cancelled, overdue} {
		s.order(t, one, id)
	}
	s.event(t, paid, checkout.PaymentSucceeded)
	if _, err := s.CancelOrder(t.Context(), checkout.Caller{Operator: true}, cancelled); err != nil {
		t.Fatal(err)
	}
	exec(t, s.Admin, "UPDATE orders SET pay_by = UTC_TIMESTAMP(6) WHERE id = ?", overdue[:])
}

// The list has what keeps units away now, with the sums of all of it.
func TestReservationsListsActiveHoldsAndUnpaidOrders(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 50)
	one, two := shopper(1), shopper(2)
	names := away(t, s, one, two)
	notAway(t, s, one)
	all, err := s.Reservations(t.Context(), ledger.ReservationFilter{}, 10)
	if err != nil || len(all.Entries) != 4 {
		t.Fatalf("got %+v %v, expected four reservations", all, err)
	}
	byThen := all.AsOf.Add(-90 * time.Second)
	for _, c := range []struct {
		name   string
		filter ledger.ReservationFilter
		limit  int
		want   string
		total  int64
		units  int64
	}{
		{"all", ledger.ReservationFilter{}, 10, "old unpaid guest young", 4, 15},
		{"the oldest", ledger.ReservationFilter{}, 1, "old", 4, 15},
		{"holds", ledger.ReservationFilter{Kind: ledger.ReservedByHold}, 10, "old guest young", 3, 11},
		{"orders", ledger.ReservationFilter{Kind: ledger.ReservedByOrder}, 10, "unpaid", 1, 4},
		{"a product", ledger.ReservationFilter{ProductID: "p"}, 10, "old unpaid young", 3, 7},
		{"a shopper", ledger.ReservationFilter{Shopper: one.String()}, 10, "unpaid young", 2, 5},
		{"the anonymous", ledger.ReservationFilter{Shopper: "anonymous"}, 10, "guest", 1, 8},
		{"older ones", ledger.ReservationFilter{OlderThan: 90 * time.Second}, 10, "old unpaid", 2, 6},
		{"placed by a time", ledger.ReservationFilter{PlacedBy: &byThen}, 10, "old unpaid", 2, 6},
		{"everything at once", ledger.ReservationFilter{
			Kind: ledger.ReservedByHold, ProductID: "p", Shopper: two.String(), OlderThan: time.Minute, PlacedBy: &byThen,
		}, 10, "old", 1, 2},
		{"nothing", ledger.ReservationFilter{ProductID: "q", Shopper: one.String()}, 10, "", 0, 0},
	} {
		list, err := s.Reservations(t.Context(), c.filter, c.limit)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		var got []string
		for _, r := range list.Entries {
			got = append(got, names[r.ID])
		}
		if strings.Join(got, " ") != c.want || list.Total != c.total || list.Units != c.units {
			t.Errorf("%s: got %v, %d with %d units, expected %s, %d with %d units", c.name, got, list.Total, list.Units, c.want, c.total, c.units)
		}
	}
	order := all.Entries[1]
	if names[order.ID] != "unpaid" || !strings.HasPrefix(order.ID, "ord_") || order.Kind != ledger.ReservedByOrder || order.Shopper != one.String() || order.ProductID != "p" || order.Qty != 4 ||
		order.Until.Sub(order.Since) < window || !strings.HasPrefix(all.Entries[3].ID, "hold_") {
		t.Errorf("got %+v, expected the order since its hold was placed, until pay_by, and then the young hold", order)
	}
	want := fmt.Sprint([]ledger.ReservedUnits{{"anonymous", 8, 1}, {one.String(), 5, 2}, {two.String(), 2, 1}})
	if got := fmt.Sprint(all.Shoppers); got != want {
		t.Errorf("the shoppers are %s, expected %s", got, want)
	}
}

func TestReservationsRejectsInvalidFilters(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	for _, f := range []ledger.ReservationFilter{{Kind: "paid"}, {ProductID: "UPPER"}, {Shopper: "ada"}, {OlderThan: -1}} {
		if _, err := env.Reservations(t.Context(), f, 1); checkout.CodeOf(err) != checkout.CodeInvalidRequest {
			t.Errorf("%+v: got %v, expected invalid_request", f, err)
		}
	}
}

func TestBlockedShoppersAreListed(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	for n := range 3 {
		if err := env.BlockShopper(t.Context(), shopper(n), true, fmt.Sprint("operator ", n)); err != nil {
			t.Fatal(err)
		}
		exec(t, env.Admin, "UPDATE blocked_shoppers SET blocked_at = UTC_TIMESTAMP(6) - INTERVAL ? HOUR WHERE operator = ?", n, fmt.Sprint("operator ", n))
	}
	if err := env.BlockShopper(t.Context(), shopper(1), false, "ada"); err != nil {
		t.Fatal(err)
	}
	list, err := env.BlockedShoppers(t.Context(), 1)
	if err != nil || len(list.Entries) != 1 || list.More() != 1 || list.Entries[0].Shopper != shopper(0).String() || list.Entries[0].Operator != "operator 0" {
		t.Errorf("got %+v %v, expected the shopper who was blocked last, and one more", list, err)
	}
	for n, want := range []bool{true, false, true} {
		if got, err := env.Blocked(t.Context(), shopper(n)); err != nil || got != want {
			t.Errorf("shopper %d: blocked is %t, %v, expected %t", n, got, err, want)
		}
	}
}
