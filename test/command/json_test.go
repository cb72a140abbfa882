package command

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
	"flashsale/pkg/checkout"
)

// With --json a command prints one JSON value, whose fields keep their names. A refusal stays one line with its exit code.
func TestResultsAsJSON(t *testing.T) {
	t.Parallel()
	d := startRun(t, "HOLD_TTL=1h")
	held, ordered := d.shop.MustHold(t, 1), d.shop.MustOrder(t, 1)
	wrong := d.shop.MustOrder(t, 1)
	ada := checkout.ShopperOf("https://shop.example.com", "ada").String()
	for _, c := range []struct{ args, says string }{
		{"version", `^\{"version":".*,"go":"go1\.`},
		{"migrate", `^\{"up_to_date":true\}$`},
		{"token ada --ttl 90s", `^\{"token":"ey[^"]*","expires_at":"20[0-9-]*T[0-9:]*Z"\}$`},
		{"product put demo --stock 50", `^\{"product":\{"id":"demo","name":"Demo sneaker","price":\{"amount":4999,"currency":"USD"\},"stock":50,.*\},"created":false\}$`},
		{"product put lamp --name Lamp --price 1 --currency EUR --stock 3", `^\{"product":\{"id":"lamp",.*\},"created":true\}$`},
		{"product get lamp", `^\{"id":"lamp",`},
		{"product list", `^\[\{"id":"demo",.*\},\{"id":"lamp",.*\}\]$`},
		{"product hide lamp", `^\{"product":\{"id":"lamp",.*"hidden":true,.*\},"changed":true\}$`},
		{"product show lamp", `"hidden":false,.*"changed":true\}$`},
		{"product show lamp", `"changed":false\}$`},
		{"product end lamp", `"sale_ends_at":"20.*"changed":true\}$`},
		{"product delete lamp", `^\{"deleted":"lamp"\}$`},
		{"buy demo", `^\{"hold_id":"hold_.*","event_id":"evt_.*","order":\{"id":"ord_.*,"amount":\{"amount":4999,"currency":"USD"\},"status":"paid".*\}\}$`},
		{"webhook send --type payment.succeeded --payment-id pay_wrong --id evt_1 --amount 1 --currency USD --order " + wrong.OrderID(),
			`^\{"event_id":"evt_1","status":200,"response":\{.*"order_status":"refund_due".*\}\}$`},
		{"refunds", `^\[\{"provider":"standard","payment_id":"pay_wrong",.*"owed":\{"amount":1,"currency":"USD"\},"reason":"amount_mismatch","since":"20.*Z"\}\]$`},
		{"refunds record --payment pay_wrong --amount 0.01 --note cash --id record:1",
			`^\{"refund_id":"record:1","provider":"standard","payment_id":"pay_wrong","order_id":"` + wrong.OrderID() + `","amount":\{"amount":1,"currency":"USD"\},"owed":\{"amount":0,"currency":"USD"\}\}$`},
		{"holds", `^\[\{.*\},\{.*\}\]$`},
		{"holds release " + held.HoldID(), `^\{"ids":\["` + held.HoldID() + `"\],"units":1,"earlier":\[\],"refused":\[\]\}$`},
		{"holds release " + held.HoldID(), `^\{"ids":\[\],"units":0,"earlier":\["` + held.HoldID() + `"\],"refused":\[\]\}$`},
		{"holds release --product demo --yes", `^\{"ids":\[\],"units":0,"earlier":\[\],"refused":\[\]\}$`},
		{"orders cancel --product demo --yes", `^\{"ids":\["` + ordered.OrderID() + `"\],"units":1,"earlier":\[\],"refused":\[\]\}$`},
		{"orders", `^\[\{"order_id":"ord_`},
		{"order " + ordered.OrderID(), `"order":\{"order_id":"` + ordered.OrderID()},
		{"events --reused", `^\[\]$`},
		{"unmatched", `^\[\]$`},
		{"shopper block " + ada, `^\{"shopper":"` + ada + `","again":false,"unseen":true,"holds":\{"ids":\[\],.*\},"orders":\{.*\}\}$`},
		{"shopper list", `^\[\{"shopper":"` + ada + `","operator":".*","blocked_at":"20.*Z"\}\]$`},
		{"shopper unblock " + ada, `^\{"shopper":"` + ada + `","changed":true\}$`},
		{"audit", `"clean":true`},
	} {
		code, stdout, stderr := d.Run(t, append(strings.Fields(c.args), "--json")...)
		var line bytes.Buffer
		if err := json.Compact(&line, []byte(stdout)); code != 0 || err != nil || !regexp.MustCompile(c.says).MatchString(line.String()) {
			t.Errorf("%s --json: exit %d, %v, expected one JSON value like %s, got\n%s%s", c.args, code, err, c.says, stdout, stderr)
		}
		for _, name := range regexp.MustCompile(`"([^"]*)":`).FindAllStringSubmatch(line.String(), -1) {
			if !regexp.MustCompile(`^[a-z][a-z0-9_]*$`).MatchString(name[1]) {
				t.Errorf("%s --json has a field %q, expected names like available_stock", c.args, name[1])
			}
		}
	}
	other := d.shop.MustHold(t, 1)
	rejects(t, d.Desk, []invalid{
		{"product get lmap --json", 1, "There is no product"},
		{"buy dmeo --json", 1, "product_not_found"},
		{"holds release --product demo --json", 1, "add --yes"},
	})
	d.shop.PostOrder(t, other)
	code, stdout, stderr := d.Run(t, "holds", "release", other.HoldID(), "--json")
	if code != 1 || !strings.Contains(stdout, `"code": "hold_ordered"`) || stderr != "flashsale: refused: 1 hold not released\n" {
		t.Errorf("a hold that was ordered: exit %d, expected 1 with the refusal as JSON and one line, got\n%s%s", code, stdout, stderr)
	}
	d.stop(t, 10)
}

// With a database and a secret of its own it is a real shop: it gets no demo product.
func TestNoDemoProductInARealShop(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	r := startRun(t, "WEBHOOK_SECRETS="+shoptest.Secret("new"), "MYSQL_DSN="+env.AdminDSN)
	if product := r.shop.Do(t, http.MethodGet, "/v1/products/demo", "", nil); product.Status != http.StatusNotFound {
		t.Errorf("the demo product: got %+v, expected 404", product)
	}
	if live := shoptest.Must(r.shop.Try(http.MethodGet, "/live/", "", nil))(t); live.Status != http.StatusNotFound {
		t.Errorf("the operator's page: got %d, expected 404", live.Status)
	}
	if code, stdout, stderr := r.Run(t, "product", "list"); code != 0 || stdout != "There is no product yet. flashsale product put makes one.\n" {
		t.Errorf("product list: exit %d, expected 0 and no product, got %s%s", code, stdout, stderr)
	}
	r.stop(t, 1)
}

// With a configured secret, a name alone makes nobody a shopper, and only a token of the command does.
func TestNoSignInByNameWithAConfiguredSecret(t *testing.T) {
	t.Parallel()
	r := startRun(t, "WEBHOOK_SECRETS="+shoptest.Secret("new"))
	put := strings.Fields("product put lamp --name Lamp --price 1 --currency USD --stock 5 --max-per-shopper 1")
	if code, _, stderr := r.Run(t, put...); code != 0 || !strings.Contains(stderr, "get 401 for holds of lamp, unless they have a token of `flashsale token`.\n") {
		t.Errorf("product put: exit %d, expected 0 and a warning, got %s", code, stderr)
	}
	if signIn := shoptest.Must(r.shop.Try(http.MethodPost, "/shop/token", `{"name":"ada"}`, nil))(t); signIn.Status != http.StatusMethodNotAllowed {
		t.Errorf("the sign-in by name: got %+v, expected none", signIn)
	}
	code, token, stderr := r.Run(t, "token", "ada")
	if code != 0 {
		t.Fatalf("token: exit %d, said %s", code, stderr)
	}
	for want, header := range map[int]http.Header{http.StatusUnauthorized: nil, http.StatusCreated: bearer(strings.TrimSpace(token))} {
		if hold := r.shop.Do(t, http.MethodPost, "/v1/holds", `{"product_id":"lamp","qty":1}`, header); hold.Status != want {
			t.Errorf("a hold with the header %v got %+v, expected %d", header, hold, want)
		}
	}
	r.stop(t, 1)
}
