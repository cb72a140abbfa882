package admin_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// guard is an Operator with brakes. It records what it is asked for, and returns what it is told to.
type guard struct {
	admin.Operator
	filter    ledger.ReservationFilter
	limit     int
	selection admin.Selection
	shopper   checkout.Shopper
	asked     []string
	ended     admin.Ended
	block     admin.Block
	changed   bool
	err       error
}

func (g *guard) Reservations(_ context.Context, f ledger.ReservationFilter, limit int) (ledger.Reservations, error) {
	g.filter, g.limit = f, limit
	return ledger.Reservations{
		List: ledger.List[ledger.Reservation]{Entries: []ledger.Reservation{{ID: "hold_1", Kind: ledger.ReservedByHold, Qty: 2}}, Total: 5}, Units: 9, AsOf: time.Unix(1, 0),
	}, g.err
}

func (g *guard) ReleaseHolds(_ context.Context, s admin.Selection) (admin.Ended, error) {
	g.asked, g.selection = append(g.asked, "release"), s
	return g.ended, g.err
}

func (g *guard) CancelOrders(_ context.Context, s admin.Selection) (admin.Ended, error) {
	g.asked, g.selection = append(g.asked, "cancel"), s
	return g.ended, g.err
}

func (g *guard) EndSale(_ context.Context, id string) (checkout.Product, bool, error) {
	g.asked = append(g.asked, "end "+id)
	return checkout.Product{ID: id, Name: "Mug", Version: 8}, g.changed, g.err
}

func (g *guard) DeleteProduct(_ context.Context, id string) error {
	g.asked = append(g.asked, "delete "+id)
	return g.err
}

func (g *guard) HideProduct(_ context.Context, id string, hidden bool) (checkout.Product, bool, error) {
	what := "show "
	if hidden {
		what = "hide "
	}
	g.asked = append(g.asked, what+id)
	return checkout.Product{ID: id, Hidden: hidden}, g.changed, g.err
}

func (g *guard) BlockShopper(_ context.Context, shopper checkout.Shopper) (admin.Block, error) {
	g.asked, g.shopper = append(g.asked, "block"), shopper
	return g.block, g.err
}

func (g *guard) UnblockShopper(_ context.Context, shopper checkout.Shopper) (bool, error) {
	g.asked, g.shopper = append(g.asked, "unblock"), shopper
	return g.changed, g.err
}

func (g *guard) BlockedShoppers(_ context.Context, limit int) (ledger.List[ledger.BlockedShopper], error) {
	g.limit = limit
	return ledger.List[ledger.BlockedShopper]{Entries: []ledger.BlockedShopper{{Shopper: "shopper_1", Operator: "ada"}}, Total: 3}, nil
}

var hoarder = checkout.ShopperOf("https://shop.example.com", "hoarder")

// A caller's request arrives unchanged, and so does the result.
func TestBrakesWorkThroughTheHandler(t *testing.T) {
	t.Parallel()
	ctx, at := t.Context(), time.Unix(1700000000, 5000).UTC()
	g := &guard{
		changed: true,
		ended:   admin.Ended{IDs: []string{"hold_1"}, Units: 2, Earlier: []string{"hold_2"}, Refused: []admin.Refusal{{ID: "hold_3", Code: checkout.CodeHoldOrdered}}, Left: 7},
		block:   admin.Block{Again: true, Orders: admin.Ended{IDs: []string{"ord_1"}, Units: 1}},
	}
	c, _ := clientOf(g)
	filter := ledger.ReservationFilter{Kind: ledger.ReservedByHold, ProductID: "mug", Shopper: hoarder.String(), OlderThan: time.Minute, PlacedBy: &at}
	found, err := c.Reservations(ctx, filter, 3)
	if d := cmp.Diff(filter, g.filter); err != nil || d != "" || g.limit != 3 || found.Units != 9 || found.More() != 4 || !found.AsOf.Equal(time.Unix(1, 0)) || found.Entries[0].ID != "hold_1" {
		t.Errorf("Reservations returned %+v %v with limit %d and the filter\n%s", found, err, g.limit, d)
	}
	for _, s := range []admin.Selection{{Filter: &filter}, {IDs: []string{"hold_1", "hold_2"}}} {
		for name, end := range map[string]func(context.Context, admin.Selection) (admin.Ended, error){"release": c.ReleaseHolds, "cancel": c.CancelOrders} {
			g.asked = nil
			got, err := end(ctx, s)
			if d := cmp.Diff(g.ended, got) + cmp.Diff(s, g.selection) + cmp.Diff([]string{name}, g.asked); err != nil || d != "" {
				t.Errorf("%s returned %v, and there are differences:\n%s", name, err, d)
			}
		}
	}
	g.asked = nil
	if p, changed, err := c.EndSale(ctx, "mug"); err != nil || !changed || p.ID != "mug" {
		t.Errorf("EndSale returned %+v %t %v, expected the changed mug", p, changed, err)
	}
	for _, hidden := range []bool{true, false} {
		if p, changed, err := c.HideProduct(ctx, "mug", hidden); err != nil || !changed || p.Hidden != hidden {
			t.Errorf("HideProduct returned %+v %t %v, expected the changed mug", p, changed, err)
		}
	}
	if b, err := c.BlockShopper(ctx, hoarder); err != nil || !b.Again || b.Orders.Units != 1 || g.shopper != hoarder {
		t.Errorf("BlockShopper returned %+v %v, expected one order", b, err)
	}
	if changed, err := c.UnblockShopper(ctx, hoarder); err != nil || !changed {
		t.Errorf("UnblockShopper returned %t %v, expected a change", changed, err)
	}
	if d := cmp.Diff([]string{"end mug", "hide mug", "show mug", "block", "unblock"}, g.asked); d != "" {
		t.Errorf("the operations differ:\n%s", d)
	}
	if list, err := c.BlockedShoppers(ctx, 2); err != nil || g.limit != 2 || list.More() != 2 || list.Entries[0].Operator != "ada" {
		t.Errorf("BlockedShoppers returned %+v %v, expected 1 of 3", list, err)
	}
	if _, err := c.BlockShopper(ctx, checkout.Shopper{}); checkout.CodeOf(err) != checkout.CodeInvalidRequest {
		t.Errorf("blocking everybody who has not signed in: got %v, expected invalid_request", err)
	}
}

// line is an expected line: keys and values, besides those of every line.
func line(more ...any) map[string]any {
	all := map[string]any{"level": "INFO", "msg": "operator action", "operator": "grace"}
	for i := 0; i < len(more); i += 2 {
		all[more[i].(string)] = more[i+1] //nolint:forcetypeassert // the keys are texts
	}
	return all
}

// Each change is one line with its operator, the number, the units and the ids. A call that changes nothing has no line.
func TestBrakesAreLogged(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	holds, orders := admin.Ended{IDs: []string{"hold_1", "hold_2"}, Units: 5}, admin.Ended{IDs: []string{"ord_1"}, Units: 2}
	filter := ledger.ReservationFilter{ProductID: "mug"}
	ended := func(more ...any) map[string]any {
		return line(append([]any{"operation", "release_holds", "entity", "holds", "count", 2.0, "units", 5.0, "ids", []any{"hold_1", "hold_2"}}, more...)...)
	}
	chosen := map[string]any{"filter": map[string]any{"product_id": "mug"}}
	for name, tc := range map[string]struct {
		guard guard
		do    func(c admin.Client) error
		want  []map[string]any
	}{
		"released by id": {guard{ended: holds}, func(c admin.Client) error {
			_, err := c.ReleaseHolds(ctx, admin.Selection{IDs: holds.IDs})
			return err
		}, []map[string]any{ended()}},
		"released by filter": {guard{ended: holds}, func(c admin.Client) error {
			_, err := c.ReleaseHolds(ctx, admin.Selection{Filter: &filter})
			return err
		}, []map[string]any{ended("selection", chosen)}},
		"cancelled": {guard{ended: orders}, func(c admin.Client) error {
			_, err := c.CancelOrders(ctx, admin.Selection{IDs: orders.IDs})
			return err
		}, []map[string]any{line("operation", "cancel_orders", "entity", "orders", "count", 1.0, "units", 2.0, "ids", []any{"ord_1"})}},
		"nothing to release": {guard{ended: admin.Ended{Refused: []admin.Refusal{{ID: "hold_1"}}}}, func(c admin.Client) error {
			_, err := c.ReleaseHolds(ctx, admin.Selection{IDs: holds.IDs})
			return err
		}, nil},
		"refused": {guard{err: checkout.Invalid("selection", "expected ids or a filter")}, func(c admin.Client) error {
			_, err := c.ReleaseHolds(ctx, admin.Selection{})
			return err
		}, nil},
		"failed half-way": {guard{ended: holds, err: errors.New("connection lost")}, func(c admin.Client) error {
			_, err := c.ReleaseHolds(ctx, admin.Selection{Filter: &filter})
			return err
		}, []map[string]any{
			ended("selection", chosen, "level", "WARN", "msg", "operator action failed, and may have taken effect", "cause", "connection lost"),
		}},
		"blocked": {guard{block: admin.Block{Holds: holds, Orders: orders}}, func(c admin.Client) error {
			_, err := c.BlockShopper(ctx, hoarder)
			return err
		}, []map[string]any{line("operation", "block_shopper", "entity", "shopper "+hoarder.String(), "again", false, "holds", 2.0, "orders", 1.0,
			"units", 7.0, "hold_ids", []any{"hold_1", "hold_2"}, "order_ids", []any{"ord_1"})}},
		"unblocked": {guard{changed: true}, func(c admin.Client) error {
			_, err := c.UnblockShopper(ctx, hoarder)
			return err
		}, []map[string]any{line("operation", "unblock_shopper", "entity", "shopper "+hoarder.String())}},
		"was not blocked": {guard{}, func(c admin.Client) error { _, err := c.UnblockShopper(ctx, hoarder); return err }, nil},
		"had ended":       {guard{}, func(c admin.Client) error { _, _, err := c.EndSale(ctx, "mug"); return err }, nil},
		"is hidden":       {guard{}, func(c admin.Client) error { _, _, err := c.HideProduct(ctx, "mug", true); return err }, nil},
	} {
		c, log := clientOf(&tc.guard)
		_ = tc.do(c)
		var got []map[string]any
		for _, l := range lines(t, log) {
			if l["msg"] != "operation failed" { // the handler's own
				got = append(got, l)
			}
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s: expected (-) and logged (+) lines differ:\n%s", name, d)
		}
	}
}

// An ended sale and a hidden product are logged with the settings before and after.
func TestChangedVisibilityIsLoggedWithSettings(t *testing.T) {
	t.Parallel()
	c, log := clientOf(&guard{changed: true})
	for _, do := range []func() error{
		func() error { _, _, err := c.EndSale(t.Context(), "mug"); return err },
		func() error { _, _, err := c.HideProduct(t.Context(), "mug", true); return err },
		func() error { _, _, err := c.HideProduct(t.Context(), "mug", false); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	var operations []any
	for _, l := range lines(t, log) {
		operations = append(operations, l["operation"])
		before, _ := l["before"].(map[string]any)
		after, _ := l["after"].(map[string]any)
		if l["entity"] != "product mug" || l["operator"] != "grace" || before["version"] != 7.0 || before["hidden"] != false || after["hidden"] != (l["operation"] == "hide_product") {
			t.Errorf("logged %v, expected the operator, the product, and the settings before and after", l)
		}
	}
	if d := cmp.Diff([]any{"end_sale", "hide_product", "show_product"}, operations); d != "" {
		t.Errorf("the operations differ:\n%s", d)
	}
}

// A deleted product is logged with the settings that it had.
func TestDeletedProductIsLogged(t *testing.T) {
	t.Parallel()
	g := &guard{}
	c, log := clientOf(g)
	if err := c.DeleteProduct(t.Context(), "mug"); err != nil || !slices.Contains(g.asked, "delete mug") {
		t.Fatalf("DeleteProduct returned %v and asked for %v, expected that the mug is deleted", err, g.asked)
	}
	logged := lines(t, log)
	if len(logged) != 1 {
		t.Fatalf("logged %v, expected one line", logged)
	}
	l := logged[0]
	if before, _ := l["before"].(map[string]any); l["operation"] != "delete_product" || l["entity"] != "product mug" || l["operator"] != "grace" || before["version"] != 7.0 {
		t.Errorf("logged %v, expected the operation, the operator, the product and its settings", l)
	}
}

// A selection that is no selection ends nothing. The database is not asked.
func TestRejectsInvalidSelections(t *testing.T) {
	t.Parallel()
	tooMany := make([]string, admin.MaxEnded+1)
	for _, s := range []admin.Selection{{}, {Filter: &ledger.ReservationFilter{}}, {IDs: []string{"hold_x"}}, {IDs: tooMany}, {IDs: []string{"ord_01h455vb4pex5vsknk084sn02q"}}, {IDs: []string{"x"}, Filter: &ledger.ReservationFilter{}}} {
		if _, err := (admin.Local{}).ReleaseHolds(t.Context(), s); checkout.CodeOf(err) != checkout.CodeInvalidRequest {
			t.Errorf("%d ids, filter %v: got %v, expected invalid_request", len(s.IDs), s.Filter, err)
		}
	}
}
