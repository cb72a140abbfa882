package command

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
	"flashsale/internal/simulator"
)

// simulation is a desk on a schema of its own, and the arguments of a small sale. Its seed is the first whose shoppers do
// not hang up, because the simulation waits ten seconds after a lost response.
func simulation(t *testing.T, adminDSN string, env ...string) (shoptest.Desk, []string) {
	t.Helper()
	cacheAddr := shoptest.WithDefaults(t, shoptest.Options{}).CacheAddr
	d := shoptest.NewDesk(t, append(env, "MYSQL_DSN="+adminDSN, "CACHE_ADDR="+cacheAddr)...)
	sale := simulator.Sale{Seed: 1, Shoppers: 60, Stock: 10, Spike: 600 * time.Millisecond, Duration: time.Second}
	for slices.ContainsFunc(simulator.Draw(sale), func(s simulator.Shopper) bool { return s.HangsUp > 0 }) {
		sale.Seed++
	}
	return d, strings.Fields(fmt.Sprintf("simulate --seed %d --shoppers 60 --stock 10 --spike 600ms --duration 1s --report out/sale.html", sale.Seed))
}

func TestSimulateRejectsBadFlags(t *testing.T) {
	d := shoptest.NewDesk(t)
	for args, says := range map[string]string{
		"--shoppers 0":                   "--shoppers is 0, expected 1 to 1000000",
		"--shoppers many":                "--shoppers",
		"--stock 0":                      "--stock is 0, expected 1 to 1000000",
		"--spike 1ms":                    "--spike is 1ms, expected 100ms to 1h0m0s",
		"--spike 10s --duration 5s":      "--duration is 5s, expected at least --spike (10s)",
		"--duration 3h":                  "--duration is 3h0m0s",
		"--seed=-1":                      "--seed",
		"--url localhost:8080":           "the server's address alone, such as http://127.0.0.1:8080",
		"--url http://a:b@127.0.0.1":     "the server's address alone",
		"--report=":                      "--report is empty",
		"--report x.json":                "the JSON report has the same name",
		"--url http://127.0.0.1:1 now":   "now",
		"--url https://shop.example.com": "https://shop.example.com, which is not this machine: add --yes",
		"--stack flashsale-dev":          "the stack flashsale-dev, which is not this machine: add --yes",
		"--stack flashsale-dev --url http://127.0.0.1:8080": "which is not this machine: add --yes",
	} {
		code, stdout, stderr := d.Run(t, append([]string{"simulate"}, strings.Fields(args)...)...)
		if code != 2 || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, says) {
			t.Errorf("%s: exit %d, expected 2 and one line with %q; got\n%s%s", args, code, says, stdout, stderr)
		}
	}
	if len(d.Processes()) > 0 {
		t.Error("a server was started")
	}
}

// A sale on a server of its own leaves its report and no process, also beside a real shop.
func TestSimulate(t *testing.T) {
	shop := ledgertest.New(t)
	d, args := simulation(t, shop.AdminDSN, "HOLD_TTL=1s", "PAYMENT_WINDOW=1s", "WEBHOOK_SECRETS="+shoptest.Secret("new"))
	t.Parallel()
	leaveOldReport(t, d)
	code, stdout, stderr := d.Run(t, args...)
	if code != 0 || !strings.Contains(stdout, "requests/s p50") || !strings.Contains(stdout, "never_oversold") || strings.Contains(stdout, "BROKEN") {
		t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
	}
	page := string(shoptest.Must(os.ReadFile(filepath.Join(d.Dir, "out", "sale.html")))(t))
	for _, text := range []string{"Every invariant held", `id="charts"`, "prefers-color-scheme: dark", "flashsale simulate --seed", `<a href="sale.json">`, "new uPlot"} {
		if !strings.Contains(page, text) {
			t.Errorf("the page has no %q", text)
		}
	}
	var report struct {
		Schema     string
		Clean      bool
		HoldTTL    float64 `json:"hold_ttl_s"`
		Figures    struct{ Requests, Holds int }
		Invariants []struct {
			Name     string
			Holds    bool
			Evidence []string
		}
		Stock   []struct{ Available *int64 }
		Moments []struct{ Answers map[string]int }
	}
	if err := json.Unmarshal(shoptest.Must(os.ReadFile(filepath.Join(d.Dir, "out", "sale.json")))(t), &report); err != nil {
		t.Fatal(err)
	}
	if report.Schema != "flashsale.rush/1" || !report.Clean || report.HoldTTL != 1 || report.Figures.Holds == 0 || len(report.Invariants) < 19 || len(report.Moments) == 0 ||
		len(report.Stock) == 0 || report.Stock[0].Available == nil {
		t.Errorf("the JSON report is not as expected: %+v", report)
	}
	if products, err := shop.Products(t.Context(), "", 10); err != nil || len(products) > 0 {
		t.Errorf("the shop has the products %v (%v) after a sale, expected none: the sale has a database of its own", products, err)
	}
	if left := d.Processes(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if records, _ := filepath.Glob(filepath.Join(d.Dir, ".local", "run-*")); len(records) > 0 {
		t.Errorf("left behind: %v", records)
	}
}

// For a wrong ledger the command prints the evidence and exits 1. Here every hold violates a CHECK. The server already runs.
func TestSimulateFindsWrongLedger(t *testing.T) {
	s := shoptest.Open(t, 1, shoptest.Options{HoldTTL: time.Second, PaymentWindow: time.Second})
	s.BreakRoutine(t, "place_hold", "reserved_stock = reserved_stock + p_qty,", "reserved_stock = reserved_stock + p_qty + 1000000,")
	d, args := simulation(t, s.AdminDSN, "WEBHOOK_SECRETS="+shoptest.Secret("new"))
	t.Parallel()
	code, stdout, stderr := d.Run(t, append(args, "--url", s.URL)...)
	if code != 1 || !regexp.MustCompile(`(?m)^BROKEN  no_internal_error .*\n +key [0-9a-f-]{36}: hold got the response 500 internal at .* \(request .*\)$`).MatchString(stdout) ||
		!strings.Contains(stderr, "the sale broke no_internal_error") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	page := string(shoptest.Must(os.ReadFile(filepath.Join(d.Dir, "out", "sale.html")))(t))
	if !strings.Contains(page, "invariants are broken") || !strings.Contains(page, "got the response 500 internal") {
		t.Error("the page does not say that an invariant is broken, and why")
	}
	if _, err := os.Stat(filepath.Join(d.Dir, ".local", "server.log")); err == nil {
		t.Error("a server was started")
	}
}

// The response to an internal error does not show its cause; the command finds it in the log of its own server. Here a
// trigger forbids a change that the ledger's guard allows.
func TestSimulateShowsCauseOfInternalErrors(t *testing.T) {
	env := ledgertest.New(t)
	d, args := simulation(t, env.AdminDSN, "HOLD_TTL=1s", "PAYMENT_WINDOW=1s")
	t.Parallel()
	command, out := d.Begin(t, append(args, "--spike", "5s", "--duration", "5s")...)
	shoptest.Eventually(t, "the sale has begun", func() bool { return strings.Contains(out.String(), "spike") })
	trigger := "CREATE TRIGGER " + saleDatabase(t, d) + `.products_few_reserved BEFORE UPDATE ON products FOR EACH ROW
		IF NEW.reserved_stock > OLD.reserved_stock THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'products_few_reserved'; END IF`
	if _, err := env.Admin.ExecContext(t.Context(), trigger); err != nil {
		t.Error(err)
	}
	_ = command.Wait()
	code, stdout := command.ProcessState.ExitCode(), out.String()
	if code != 1 || !regexp.MustCompile(`(?m)^BROKEN  no_internal_error .*\n( +key .*\n)+( +and \d+ more\n)? +the server's log says: .*products_few_reserved`).MatchString(stdout) {
		t.Errorf("exit %d\n%s", code, stdout)
	}
	for _, file := range []string{"sale.html", "sale.json"} {
		if text := shoptest.Must(os.ReadFile(filepath.Join(d.Dir, "out", file)))(t); !strings.Contains(string(text), "products_few_reserved") {
			t.Errorf("%s does not tell the cause of the internal error", file)
		}
	}
}

// If the server has another database, another secret, or does not run, one sentence says so.
func TestSimulateRejectsOtherServer(t *testing.T) {
	s := shoptest.Open(t, 1, shoptest.Options{})
	other := ledgertest.New(t)
	t.Parallel()
	for _, c := range []struct{ dsn, secret, url, says string }{
		{other.AdminDSN, shoptest.Secret("new"), s.URL, s.URL + " does not know the product"},
		{s.AdminDSN, shoptest.Secret("retired"), s.URL, "does not accept this command's webhook secret"},
		{s.AdminDSN, shoptest.Secret("new"), "http://" + shoptest.FreeAddr(t), "no server responds at"},
	} {
		d, args := simulation(t, c.dsn, "WEBHOOK_SECRETS="+c.secret)
		leaveOldReport(t, d)
		code, stdout, stderr := d.Run(t, append(args, "--url", c.url)...)
		oldReport(t, d)
		if code != 3 || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.says) {
			t.Errorf("exit %d, expected 3 and one line with %q; got\n%s%s", code, c.says, stdout, stderr)
		}
	}
}

// A sale on a running server ends with its product ended and hidden.
func TestSimulateWithdrawsItsProduct(t *testing.T) {
	s := shoptest.Open(t, 1, shoptest.Options{HoldTTL: time.Second, PaymentWindow: time.Second})
	d, args := simulation(t, s.AdminDSN, "WEBHOOK_SECRETS="+shoptest.Secret("new"))
	t.Parallel()
	if code, stdout, stderr := d.Run(t, append(args, "--url", s.URL)...); code != 0 {
		t.Fatalf("exit %d, expected 0, got\n%s%s", code, stdout, stderr)
	}
	found := 0
	for _, p := range shoptest.Must(s.Products(t.Context(), "", 10))(t) {
		if strings.HasPrefix(p.ID, "rush-") {
			found++
			if !p.Hidden || p.SaleEndsAt == nil {
				t.Errorf("the sale's product is %+v, expected it hidden and its sale ended", p)
			}
		}
	}
	if found != 1 {
		t.Errorf("the shop has %d products of sales, expected 1", found)
	}
}
