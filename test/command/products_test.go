package command

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// Products are put on sale, changed and listed beside a run.
func TestProductsBesideARun(t *testing.T) {
	t.Parallel()
	d := startRun(t)
	d.shop.MustHold(t, 2)
	stripe := d.Desk // the same directory and servers
	stripe.Env = append(slices.Clone(d.Env), "STRIPE_WEBHOOK_SECRETS=whsec_c2VjcmV0")
	if code, _, stderr := stripe.Run(t, strings.Fields("product put dinar --name Dinar --price 1.234 --currency KWD --stock 1")...); code != 1 || !strings.Contains(stderr, "price: expected a multiple of 0.010 KWD") {
		t.Errorf("a price that Stripe cannot charge: exit %d, expected 1 and the reason, got %s", code, stderr)
	}
	put := strings.Fields("product put lamp --name Lamp --price 29.90 --currency eur --stock 20 --sale-ends-at 2099-01-01T00:00:00Z")
	if code, stdout, stderr := d.Run(t, put...); code != 0 || stdout != "Created lamp: \"Lamp\", 29.90 EUR, 20 of 20 available, at most 10 per hold, until 2099-01-01T00:00:00Z.\n" {
		t.Errorf("product put: exit %d, expected 0 and the created product, got %s%s", code, stdout, stderr)
	}
	d.Env = append(d.Env, "USER=ada")
	code, stdout, stderr := d.Run(t, "product", "put", "lamp", "--stock", "5", "--sale-ends-at", "none")
	if code != 0 || stdout != "Changed lamp: \"Lamp\", 29.90 EUR, 5 of 5 available, at most 10 per hold.\n" {
		t.Errorf("product put: exit %d, expected 0 and the changed product, got %s", code, stdout)
	}
	for _, part := range []string{
		`"msg":"operator action","operation":"put_product","operator":"ada","entity":"product lamp","created":false`,
		`"before":{"name":"Lamp","price":{"amount":2990,"currency":"EUR"},"stock":20,`, `"after":{"name":"Lamp","price":{"amount":2990,"currency":"EUR"},"stock":5,`,
	} {
		if !strings.Contains(stderr, part) {
			t.Errorf("product put: expected %s in the log, got %s", part, stderr)
		}
	}
	if code, _, stderr := d.Run(t, "product", "put", "demo", "--stock", "1"); code != 1 || !strings.Contains(stderr, "expected at least 2") {
		t.Errorf("a stock below the units taken: exit %d, expected 1 and the reason, got %s", code, stderr)
	}
	cheaper := strings.Fields("product put demo --price 39.99 --currency USD")
	if code, stdout, _ := d.Run(t, cheaper...); code != 0 || !strings.HasSuffix(stdout, "at most 5 per hold. Holds and unpaid orders of 2 units keep the price that they were placed at.\n") {
		t.Errorf("a new price: exit %d, expected 0 and how many units keep theirs, got %s", code, stdout)
	}
	if code, _, stderr := d.Run(t, "product", "put", "new", "--stock", "1"); code != 1 || !strings.Contains(stderr, "there is no product new; a new product needs --name, --price with --currency, and --stock") {
		t.Errorf("a new product without name and price: exit %d, expected 1 and the reason, got %s", code, stderr)
	}
	if code, stdout, _ := d.Run(t, "product", "list"); code != 0 || strings.Count(stdout, "\n") != 3 || !strings.Contains(stdout, "39.99 USD") {
		t.Errorf("product list: exit %d, expected 0 and two products, got %s", code, stdout)
	}
	if code, _, stderr := d.Run(t, "product", "end", "lmap"); code != 1 || !strings.Contains(stderr, `There is no product "lmap".`) {
		t.Errorf("product end of an unknown product: exit %d, expected 1 and its id, got %s", code, stderr)
	}
	var lamp struct {
		ID        string
		Stock     int64
		Available int64 `json:"available_stock"`
	}
	if code, stdout, stderr := d.Run(t, "product", "get", "lamp", "--json"); code != 0 || json.Unmarshal([]byte(stdout), &lamp) != nil || lamp.ID != "lamp" || lamp.Available != 5 {
		t.Errorf("product get: exit %d, expected 0 and the lamp as JSON, got %s%s", code, stdout, stderr)
	}
	if code, stdout, _ := d.Run(t, "product", "get", "lamp"); code != 0 || !strings.Contains(stdout, "29.90 EUR") || strings.Contains(stdout, "demo") {
		t.Errorf("product get: exit %d, expected 0 and the lamp alone, got %s", code, stdout)
	}
	if code, _, stderr := d.Run(t, "product", "get", "lmap"); code != 1 || !strings.Contains(stderr, `There is no product "lmap".`) {
		t.Errorf("product get of an unknown product: exit %d, expected 1 and its id, got %s", code, stderr)
	}
	var list []struct{ ID string }
	if code, stdout, _ := d.Run(t, "product", "list", "--json"); code != 0 || json.Unmarshal([]byte(stdout), &list) != nil || len(list) != 2 || list[0].ID != "demo" {
		t.Errorf("product list --json: exit %d, expected 0 and two products, got %s", code, stdout)
	}
	code, stdout, stderr = d.Run(t, "product", "delete", "lamp")
	if code != 0 || stdout != "Deleted lamp.\n" || !strings.Contains(stderr, `"operation":"delete_product","operator":"ada","entity":"product lamp","before":{"name":"Lamp"`) {
		t.Errorf("product delete: exit %d, expected 0 and a line in the log, got %s%s", code, stdout, stderr)
	}
	for id, says := range map[string]string{"lamp": `There is no product "lamp".`, "demo": "demo has some; end its sale or hide it instead"} {
		if code, _, stderr := d.Run(t, "product", "delete", id); code != 1 || !strings.Contains(stderr, says) {
			t.Errorf("product delete %s: exit %d, expected 1 and %q, got %s", id, code, says, stderr)
		}
	}
	d.stop(t, 1)
}
