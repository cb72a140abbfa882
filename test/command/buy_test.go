package command

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
)

func TestBuy(t *testing.T) {
	t.Parallel()
	d := startRun(t)
	code, stdout, stderr := d.Run(t, "buy", "demo", "--qty", "2")
	steps := regexp.MustCompile(`^GET /v1/products/demo\n  200 \{.*\}
POST /v1/holds \{"product_id":"demo","qty":2\}\n  201 \{.*\}
POST /v1/orders \{"hold_id":"hold_.*"\}\n  201 \{.*\}
POST /v1/payments/webhook \{.*\}\n  200 \{.*"result":"applied".*\}
GET /v1/orders/ord_.*\n  200 \{.*"status":"paid".*\}
$`)
	if code != 0 || !steps.MatchString(stdout) || stderr != "" {
		t.Errorf("buy: exit %d, expected 0 and each request with its response, got\n%s%s", code, stdout, stderr)
	}
	if code, stdout, stderr := d.Run(t, "buy", "demo", "--shopper", "ada"); code != 0 {
		t.Errorf("buy as ada: exit %d, expected 0, got\n%s%s", code, stdout, stderr)
	}
	_, token, _ := d.Run(t, "token", "ada")
	if r := d.shop.Do(t, http.MethodGet, "/v1/orders", "", bearer(strings.TrimSpace(token))); strings.Count(r.Body, `"status":"paid"`) != 1 {
		t.Errorf("ada's orders are %s, expected the one that was bought", r.Body)
	}
	_, token, _ = d.Run(t, "token", "bob")
	if code, _, stderr := d.Run(t, "buy", "demo", "--token", strings.TrimSpace(token)); code != 0 {
		t.Errorf("buy with bob's token: exit %d, expected 0, got %s", code, stderr)
	}
	if r := d.shop.Do(t, http.MethodGet, "/v1/orders", "", bearer(strings.TrimSpace(token))); strings.Count(r.Body, `"status":"paid"`) != 1 {
		t.Errorf("bob's orders are %s, expected the one that was bought", r.Body)
	}
	for args, says := range map[string]string{
		"buy demo --token nonsense":   "flashsale: unauthenticated: ",
		"buy dmeo":                    "flashsale: product_not_found: ",
		"buy demo --qty 6":            "flashsale: qty_over_limit: ",
		"buy demo --url " + unused(t): "flashsale: is the server running? ",
	} {
		code, stdout, stderr := d.Run(t, strings.Fields(args)...)
		if code == 0 || !strings.HasPrefix(stderr, says) || strings.Contains(stdout, "/v1/orders") {
			t.Errorf("%s: exit %d, expected that it stops with %q, got\n%s%s", args, code, says, stdout, stderr)
		}
	}
	d.stop(t, 10)
}

// On another machine, buy asks for --yes: it sells units without money.
func TestBuyAsksBeforeItSellsElsewhere(t *testing.T) {
	t.Parallel()
	d := shoptest.NewDesk(t)
	rejects(t, d, []invalid{
		{"--stack shop-dev buy lamp --qty 2", 2, "this sells 2 units of lamp without money, with a payment event that this command signs, at the stack shop-dev, which is not this machine: add --yes"},
		{"buy lamp --url https://shop.example.com", 2, "at https://shop.example.com, which is not this machine: add --yes"},
		{"--stack shop-dev buy lamp --url http://127.0.0.1:8080", 2, "add --yes"},
		{"buy lamp --url shop.example.com --yes", 2, `--url is "shop.example.com", expected the server's address`},
		{"--stack shop-dev buy lamp --shopper ada --yes", 2, "use --token with --stack"},
		{"buy lamp --shopper ada --token x", 2, "--token"},
		{"buy LAMP", 2, "1 to 64 of a-z"},
		{"buy lamp --qty 0", 2, "--qty"},
	})
}

func unused(t *testing.T) string { return "http://" + shoptest.FreeAddr(t) }

// The lines that a newcomer copies from the README buy something. When the API refuses, they stop with its message.
func TestReadmesPurchase(t *testing.T) {
	t.Parallel()
	d := startRun(t)
	out := d.paste(t)
	if bought := distinct(`hold_[0-9a-z]{26}`, out); len(bought) != 3 || strings.Count(out, `"result":"duplicate"`) != 1 || strings.Count(out, `"status":"paid"`) < 3 {
		t.Errorf("the README's lines made the holds %v, expected three and a paid order of each; they printed\n%s", bought, out)
	}
	if code, _, stderr := d.Run(t, "product", "end", "demo"); code != 0 {
		t.Fatal(stderr)
	}
	out = d.paste(t)
	if orders := distinct(`ord_[0-9a-z]{26}`, out); len(orders) > 0 || strings.Count(out, `"code":"sale_ended"`) < 3 {
		t.Errorf("after the sale the README's lines showed the orders %v, expected none and the API's message; they printed\n%s", orders, out)
	}
	d.stop(t, 10)
}

// paste runs the README's lines under "Buy something", as far as they are about the demo product.
func (r *running) paste(t *testing.T) string {
	t.Helper()
	text := string(shoptest.Must(os.ReadFile(filepath.Join(ledgertest.Root(t), "README.md")))(t))
	_, text, _ = strings.Cut(text, "## Buy something")
	text, _, _ = strings.Cut(text, "Put your own product on sale")
	script := ""
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1) {
		script += block[1]
	}
	script = strings.NewReplacer("http://127.0.0.1:8080", "http://"+r.addr, ".local/bin/flashsale", shoptest.Command(t)).Replace(script)
	bash := exec.CommandContext(context.Background(), "bash", "-c", script)
	bash.Dir, bash.Env = r.Dir, append(slices.Clone(r.Env), "PATH="+curlDir(t)+":"+os.Getenv("PATH"))
	out, _ := bash.CombinedOutput() // the last line may be refused
	return string(out)
}

func distinct(pattern, text string) []string {
	found := regexp.MustCompile(pattern).FindAllString(text, -1)
	slices.Sort(found)
	return slices.Compact(found)
}
