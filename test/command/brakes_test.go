package command

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
)

// robbery is a sale whose stock someone hoards, and a desk from which to stop it.
type robbery struct {
	*shoptest.Shop
	shoptest.Desk
	stack []string // --stack and its name, or nothing
}

// onServersAndStack runs a test with this machine's servers, and with a deployed stack.
func onServersAndStack(t *testing.T, test func(t *testing.T, r robbery)) {
	t.Helper()
	t.Run("servers", func(t *testing.T) {
		t.Parallel()
		s := shoptest.Open(t, 2000, shoptest.Options{})
		test(t, robbery{s, shoptest.NewDesk(t, "MYSQL_DSN="+s.AdminDSN, "CACHE_ADDR=127.0.0.1:1", "USER=ada"), nil})
	})
	t.Run("stack", func(t *testing.T) {
		t.Parallel()
		s := shoptest.Open(t, 2000, shoptest.Options{Functions: true})
		endpoint := aws(t, s, s.URL, &atomic.Bool{}, &atomic.Int32{})
		d := shoptest.NewDesk(t, "AWS_ENDPOINT_URL="+endpoint.URL, "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret-access-key")
		test(t, robbery{s, d, []string{"--stack", "shop-dev"}})
	})
}

// run runs a command. It returns its output, and the lines that it logged, wherever that is.
func (r robbery) run(t *testing.T, code int, args ...string) (output string, actions []map[string]any) {
	t.Helper()
	before := r.log()
	got, stdout, stderr := r.Run(t, append(slices.Clone(r.stack), args...)...)
	if got != code {
		t.Errorf("flashsale %s: exit %d, expected %d, got %s%s", strings.Join(args, " "), got, code, stdout, stderr)
	}
	log := stderr
	if r.Cloud != nil {
		log = strings.TrimPrefix(r.log(), before)
	}
	for line := range strings.Lines(log) {
		var action map[string]any
		if json.Unmarshal([]byte(line), &action) == nil && action["msg"] == "operator action" {
			actions = append(actions, action)
		}
	}
	return stdout + stderr, actions
}

func (r robbery) log() string {
	if r.Cloud == nil {
		return ""
	}
	return r.Cloud.Pools["admin"].Output()
}

func (r robbery) contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("expected %q in\n%s", part, text)
		}
	}
}

// logged checks that there is one line, with its members.
func (r robbery) logged(t *testing.T, actions []map[string]any, want map[string]any) {
	t.Helper()
	want["operator"] = "ada"
	if r.Cloud != nil {
		want["operator"] = "arn:aws:iam::123456789012:user/ada"
	}
	if len(actions) != 1 {
		t.Errorf("logged %v, expected one line", actions)
		return
	}
	for key, value := range want {
		if fmt.Sprint(actions[0][key]) != fmt.Sprint(value) {
			t.Errorf("the log says that %s is %v, expected %v", key, actions[0][key], value)
		}
	}
}

// reserve places holds of one unit for a shopper.
func (r robbery) reserve(t *testing.T, who checkout.Shopper, n int) (ids []checkout.ID) {
	t.Helper()
	for range n {
		id := ledgertest.NewID()
		if _, err := r.PlaceHold(t.Context(), checkout.HoldRequest{
			ID: id, Shopper: who, ProductID: r.ProductID, Qty: 1, TTL: time.Hour, Price: &checkout.Money{Amount: 4999, Currency: "USD"},
		}); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

func (r robbery) order(t *testing.T, who checkout.Shopper, id checkout.ID) {
	t.Helper()
	if _, err := r.CreateOrder(context.Background(), checkout.Caller{Shopper: who}, id, checkout.OrderTerms{Window: time.Hour}); err != nil {
		t.Fatal(err)
	}
}

func (r robbery) reserved(t *testing.T, want int64) {
	t.Helper()
	if p := r.Stock(t); p.ReservedStock != want {
		t.Errorf("%d units are reserved, expected %d", p.ReservedStock, want)
	}
}

// An operator finds out who keeps the units, and gives back what is named.
func TestOperatorEndsNamedReservations(t *testing.T) {
	t.Parallel()
	onServersAndStack(t, func(t *testing.T, r robbery) {
		hoarder := checkout.ShopperOf("https://shop.example.com", "hoarder")
		r.contains(t, first(r.run(t, 0, "holds")), "No active hold and no unpaid order was found.")
		ids := r.reserve(t, hoarder, 4)
		r.reserve(t, checkout.Shopper{}, 1)
		r.order(t, hoarder, ids[0])
		r.order(t, hoarder, ids[1])
		text, _ := r.run(t, 0, "holds")
		r.contains(t, text, ids[0].OrderID()+"   unpaid order  ", ids[2].HoldID()+"  hold  ", hoarder.String(),
			"Reserved: 5 units in 5 reservations. Shoppers with the most: "+hoarder.String()+" 4 units, anonymous 1 unit.")
		r.contains(t, first(r.run(t, 0, "holds", "--limit", "2", "--shopper", hoarder.String())), "Reserved: 4 units", "And 2 reservations more: these are the oldest.")
		var list []map[string]any
		text, _ = r.run(t, 0, "holds", "--json", "--product", r.ProductID, "--shopper", "anonymous")
		if err := json.Unmarshal([]byte(text), &list); err != nil || len(list) != 1 || list[0]["kind"] != "hold" || list[0]["qty"] != 1.0 || list[0]["shopper"] != "anonymous" {
			t.Errorf("holds --json: got %s, expected the hold that nobody signed in for", text)
		}
		if text, _ = r.run(t, 0, "holds", "--json", "--older-than", "1h"); text != "[]\n" {
			t.Errorf("holds --older-than 1h --json: got %s, expected an empty array", text)
		}
		r.contains(t, first(r.run(t, 0, "order", ids[0].OrderID())), "Shopper "+hoarder.String())

		text, actions := r.run(t, 1, "holds", "release", ids[2].HoldID(), ids[0].HoldID())
		r.contains(t, text, ids[2].HoldID()+"  released", ids[0].HoldID()+"  not released: This hold has become an order. Cancel the order instead.",
			"Released: 1 hold with 1 unit.", "refused: 1 hold not released")
		r.logged(t, actions, map[string]any{"operation": "release_holds", "count": 1, "units": 1, "ids": []string{ids[2].HoldID()}})
		text, actions = r.run(t, 0, "holds", "release", ids[2].HoldID())
		r.contains(t, text, "had ended before", "Released: 0 holds")
		if len(actions) > 0 {
			t.Errorf("a release that changed nothing logged %v", actions)
		}
		r.contains(t, first(r.run(t, 1, "holds", "release", ledgertest.NewID().HoldID())), "There is no hold with this id.")

		text, actions = r.run(t, 0, "orders", "cancel", ids[0].OrderID())
		r.contains(t, text, ids[0].OrderID()+"  cancelled", "Cancelled: 1 order with 1 unit.")
		r.logged(t, actions, map[string]any{"operation": "cancel_orders", "count": 1, "units": 1, "ids": []string{ids[0].OrderID()}})
		r.contains(t, first(r.run(t, 0, "orders", "--product", r.ProductID)), ids[0].OrderID(), "cancelled        customer")
		r.reserved(t, 3)
		r.MustAudit(t)
	})
}

// With a filter, the command says how many there are, and ends them in several steps once it may.
func TestOperatorEndsReservationsByFilter(t *testing.T) {
	t.Parallel()
	onServersAndStack(t, func(t *testing.T, r robbery) {
		hoarder := checkout.ShopperOf("https://shop.example.com", "hoarder")
		ids := r.reserve(t, hoarder, admin.MaxEnded+20)
		kept := r.reserve(t, checkout.Shopper{}, 1)
		for _, id := range ids[:3] {
			r.order(t, hoarder, id)
		}
		release := []string{"holds", "release", "--product", r.ProductID, "--shopper", hoarder.String()}
		text, actions := r.run(t, 1, release...)
		r.contains(t, text, fmt.Sprintf("refused: this would release %d holds with %[1]d units; add --yes to do it", len(ids)-3))
		if len(actions) > 0 {
			t.Errorf("without --yes it logged %v", actions)
		}
		r.reserved(t, int64(len(ids)+1))
		text, actions = r.run(t, 0, append(release, "--yes")...)
		r.contains(t, text, ids[3].HoldID()+"  released", fmt.Sprintf("Released: %d holds with %[1]d units.", len(ids)-3))
		if len(actions) != 2 || actions[0]["count"] != float64(admin.MaxEnded) || actions[1]["count"] != 17.0 {
			t.Errorf("logged %d lines, expected %d holds in one and 17 in another", len(actions), admin.MaxEnded)
		}
		r.reserved(t, 4)
		r.contains(t, first(r.run(t, 0, append(release, "--yes")...)), "No hold to release was found.")
		for _, args := range []string{"holds", "holds release --yes", "orders cancel --yes"} {
			r.contains(t, first(r.run(t, 1, append(strings.Fields(args), "--product", "nothing")...)), "product_not_found")
		}
		r.contains(t, first(r.run(t, 1, "orders", "cancel", "--older-than", "1ms")), "this would cancel 3 orders with 3 units")
		r.contains(t, first(r.run(t, 0, "orders", "cancel", "--older-than", "1ms", "--yes")), "Cancelled: 3 orders with 3 units.")
		r.contains(t, first(r.run(t, 0, "holds")), kept[0].HoldID(), "Reserved: 1 unit in 1 reservation.")
		r.reserved(t, 1)
		r.MustAudit(t)
	})
}

// A blocked shopper loses what is not paid, and gets nothing more, until an operator changes that.
func TestOperatorBlocksAShopper(t *testing.T) {
	t.Parallel()
	onServersAndStack(t, func(t *testing.T, r robbery) {
		const issuer, subject = "https://shop.example.com", "hoarder"
		hoarder := checkout.ShopperOf(issuer, subject)
		text, _ := r.run(t, 0, "shopper", "block", "--issuer", issuer, "--subject", "nobody")
		r.contains(t, text, "Blocked: ", "No hold of this shopper is known")
		r.run(t, 0, "shopper", "unblock", "--issuer", issuer, "--subject", "nobody")
		ids := r.reserve(t, hoarder, 3)
		r.reserve(t, checkout.Shopper{}, 1)
		r.order(t, hoarder, ids[0])
		text, actions := r.run(t, 0, "shopper", "block", "--issuer", issuer, "--subject", subject)
		if strings.Contains(text, "No hold") {
			t.Errorf("got %s, expected that the shopper is known", text)
		}
		r.contains(t, text, "Blocked: "+hoarder.String()+".\n", "Released: 2 holds with 2 units.\n", "Cancelled: 1 order with 1 unit.\n", ids[1].HoldID()+"  released", ids[0].OrderID()+"  cancelled")
		r.logged(t, actions, map[string]any{"operation": "block_shopper", "entity": "shopper " + hoarder.String(), "holds": 2, "orders": 1, "units": 3, "again": false})
		r.reserved(t, 1)
		place := func() error {
			_, err := r.PlaceHold(t.Context(), checkout.HoldRequest{ID: ledgertest.NewID(), Shopper: hoarder, ProductID: r.ProductID, Qty: 1, TTL: time.Hour})
			return err
		}
		if err := place(); checkout.CodeOf(err) != checkout.CodeShopperLimit {
			t.Errorf("a hold of a blocked shopper gave %v, expected shopper_limit", err)
		}

		// A hold that was being placed came in between: a second block releases it.
		if err := r.BlockShopper(t.Context(), hoarder, false, "test"); err != nil {
			t.Fatal(err)
		}
		r.reserve(t, hoarder, 1)
		if err := r.BlockShopper(t.Context(), hoarder, true, "test"); err != nil {
			t.Fatal(err)
		}
		r.contains(t, first(r.run(t, 0, "shopper", "block", hoarder.String())), hoarder.String()+" was blocked before.\n", "Released: 1 hold with 1 unit.\n")
		r.reserved(t, 1)

		r.contains(t, first(r.run(t, 0, "shopper", "list")), hoarder.String())
		var list []map[string]any
		text, _ = r.run(t, 0, "shopper", "list", "--json")
		if err := json.Unmarshal([]byte(text), &list); err != nil || len(list) != 1 || list[0]["shopper"] != hoarder.String() || list[0]["operator"] == "" {
			t.Errorf("shopper list --json: got %s, expected the blocked shopper", text)
		}
		text, actions = r.run(t, 0, "shopper", "unblock", hoarder.String())
		r.contains(t, text, "Unblocked: "+hoarder.String())
		r.logged(t, actions, map[string]any{"operation": "unblock_shopper", "entity": "shopper " + hoarder.String()})
		r.contains(t, first(r.run(t, 0, "shopper", "unblock", hoarder.String())), "was not blocked")
		r.contains(t, first(r.run(t, 0, "shopper", "list")), "No shopper is blocked.")
		if err := place(); err != nil {
			t.Errorf("a hold of an unblocked shopper gave %v", err)
		}
		r.MustAudit(t)
	})
}

// A sale ends, and a product is hidden, in one line each. Existing holds and orders continue.
func TestOperatorEndsASaleAndHidesAProduct(t *testing.T) {
	t.Parallel()
	onServersAndStack(t, func(t *testing.T, r robbery) {
		id := r.reserve(t, checkout.Shopper{}, 1)[0]
		text, actions := r.run(t, 0, "product", "end", r.ProductID)
		r.contains(t, text, "Ended the sale of "+r.ProductID+" at ", "Holds and unpaid orders of 1 unit go on.")
		r.logged(t, actions, map[string]any{"operation": "end_sale", "entity": "product " + r.ProductID})
		p := r.Stock(t)
		if p.SaleEndsAt == nil || p.SaleEndsAt.After(p.AsOf) {
			t.Errorf("the sale ends at %v, expected now, %v", p.SaleEndsAt, p.AsOf)
		}
		if _, err := r.PlaceHold(t.Context(), checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: r.ProductID, Qty: 1, TTL: time.Hour}); checkout.CodeOf(err) != checkout.CodeSaleEnded {
			t.Errorf("a hold after the end gave %v, expected sale_ended", err)
		}
		text, actions = r.run(t, 0, "product", "end", r.ProductID)
		r.contains(t, text, "had ended before, at "+p.SaleEndsAt.Format(time.RFC3339))
		if len(actions) > 0 {
			t.Errorf("an end that changed nothing logged %v", actions)
		}
		text, actions = r.run(t, 0, "product", "hide", r.ProductID)
		r.contains(t, text, r.ProductID+" is hidden.")
		r.logged(t, actions, map[string]any{"operation": "hide_product", "entity": "product " + r.ProductID})
		r.contains(t, first(r.run(t, 0, "product", "hide", r.ProductID)), "is hidden already")
		r.order(t, checkout.Shopper{}, id)
		r.contains(t, first(r.run(t, 0, "product", "show", r.ProductID)), r.ProductID+" is shown.\n")
		if r.Stock(t).Hidden {
			t.Error("the product is hidden, expected it shown")
		}
		r.contains(t, first(r.run(t, 1, "product", "end", "nothing")), "product_not_found")
		r.contains(t, first(r.run(t, 1, "product", "hide", "nothing")), "product_not_found")
		r.contains(t, first(r.run(t, 0, strings.Fields("product put lamp --name Lamp --price 1 --currency USD --stock 5 --max-per-shopper 2 --hidden --sale-starts-at 2099-01-01T00:00:00Z")...)),
			"at most 10 per hold, at most 2 per shopper, hidden, from 2099-01-01T00:00:00Z.")
		r.contains(t, first(r.run(t, 0, "product", "hide", "lamp")), "lamp is hidden already.\n")
		r.contains(t, first(r.run(t, 1, "product", "end", "lamp")), "that of lamp starts at 2099-01-01T00:00:00Z")
		text, _ = r.run(t, 0, "product", "list")
		r.contains(t, text, "MAX/SHOPPER  HIDDEN", "10        2            yes     from 2099-01-01T00:00:00Z")
		r.contains(t, first(r.run(t, 0, strings.Fields("product put lamp --max-per-shopper none --hidden=false")...)), "at most 10 per hold, from")
		r.MustAudit(t)
	})
}

// first is the output of a command whose log does not matter.
func first(output string, _ []map[string]any) string { return output }
