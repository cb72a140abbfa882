package command

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
)

// simulation is a desk on a schema of its own, and a small sale. What the sale takes longest for is waiting: 1 s for
// what lapses, and 10 s after a lost answer.
func simulation(t *testing.T, adminDSN string, env ...string) (shoptest.Desk, []string) {
	t.Helper()
	cacheAddr := shoptest.WithDefaults(t, shoptest.Options{}).CacheAddr
	d := shoptest.NewDesk(t, append(env, "MYSQL_DSN="+adminDSN, "CACHE_ADDR="+cacheAddr)...)
	return d, strings.Fields("simulate --shoppers 300 --stock 40 --spike 600ms --duration 1s --report out/sale.html")
}

func TestSimulateThatCannotBeUnderstood(t *testing.T) {
	d := shoptest.NewDesk(t)
	for args, says := range map[string]string{
		"--shoppers 0":                 "--shoppers is 0, expected 1 to 1000000",
		"--shoppers many":              "--shoppers",
		"--stock 0":                    "--stock is 0, expected 1 to 1000000",
		"--spike 1ms":                  "--spike is 1ms, expected 100ms to 1h0m0s",
		"--spike 10s --duration 5s":    "--duration is 5s, expected at least --spike (10s)",
		"--duration 3h":                "--duration is 3h0m0s",
		"--seed=-1":                    "--seed",
		"--url localhost:8080":         "expected such as http://127.0.0.1:8080",
		"--url http://a:b@127.0.0.1":   "where the server is and nothing more",
		"--report=":                    "--report is empty",
		"--report x.json":              "the JSON goes beside it",
		"--url http://127.0.0.1:1 now": "now",
	} {
		code, stdout, stderr := d.Run(t, append([]string{"simulate"}, strings.Fields(args)...)...)
		if code != 2 || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, says) {
			t.Errorf("%s: exit %d\n%s%s", args, code, stdout, stderr)
		}
	}
	if len(d.Processes()) > 0 {
		t.Error("something was started")
	}
}

// A sale on a server of its own, which is gone afterwards; the report is there, and needs nothing else.
func TestSimulate(t *testing.T) {
	d, args := simulation(t, ledgertest.New(t).AdminDSN, "HOLD_TTL=1s", "PAYMENT_WINDOW=1s")
	t.Parallel()
	code, stdout, stderr := d.Run(t, args...)
	if code != 0 || !strings.Contains(stdout, "requests/s p50") || !strings.Contains(stdout, "never_oversold") || strings.Contains(stdout, "BROKEN") {
		t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
	}
	page := string(shoptest.Must(os.ReadFile(filepath.Join(d.Dir, "out", "sale.html")))(t))
	if found := regexp.MustCompile(`(?i)<script|<link|@import|url\(|(src|href)\s*=\s*["']?(https?:)?//`).FindString(page); found != "" {
		t.Errorf("the page loads something: %s", found)
	}
	for _, text := range []string{"Every invariant held", "The first ten seconds", "prefers-color-scheme: dark", "flashsale simulate --seed 1 --shoppers 300"} {
		if !strings.Contains(page, text) {
			t.Errorf("the page has no %q", text)
		}
	}
	if n := strings.Count(page, "<svg"); n != 6 {
		t.Errorf("%d charts", n)
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
		t.Errorf("%+v", report)
	}
	if left := d.Processes(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if records, _ := filepath.Glob(filepath.Join(d.Dir, ".local", "run-*")); len(records) > 0 {
		t.Errorf("left behind: %v", records)
	}
}

// The evidence of a wrong ledger is printed, and the exit code is 1. The server is one that runs already.
func TestSimulateFindsAWrongLedger(t *testing.T) {
	s := shoptest.Open(t, 1, shoptest.Options{HoldTTL: time.Second, PaymentWindow: time.Second})
	s.BreakRoutine(t, "place_hold", "WHERE id = p_product_id AND stock - reserved_stock - sold_stock >= p_qty", "WHERE id = p_product_id")
	d, args := simulation(t, s.AdminDSN, "WEBHOOK_SECRETS="+shoptest.Secret("new"))
	t.Parallel()
	code, stdout, stderr := d.Run(t, append(args, "--url", s.URL)...)
	if code != 1 || !regexp.MustCompile(`(?m)^BROKEN  no_internal_error .*\n +key rush-1-.*: hold was answered 500 internal at .* \(request .*\)$`).MatchString(stdout) ||
		!strings.Contains(stderr, "the sale broke no_internal_error") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	page := string(shoptest.Must(os.ReadFile(filepath.Join(d.Dir, "out", "sale.html")))(t))
	if !strings.Contains(page, "invariants are broken") || !strings.Contains(page, "was answered 500 internal") {
		t.Error("the page does not say so")
	}
	if _, err := os.Stat(filepath.Join(d.Dir, ".local", "server.log")); err == nil {
		t.Error("a server was started")
	}
}

// What the answer to an internal error does not say is in the log of the sale's own server: the cause is printed with the
// evidence. Here it is a CHECK that is stricter than the ledger's guard.
func TestSimulateTellsTheCause(t *testing.T) {
	env := ledgertest.New(t)
	if _, err := env.Admin.ExecContext(context.Background(), "ALTER TABLE products ADD CONSTRAINT products_few_reserved CHECK (reserved_stock < 9)"); err != nil {
		t.Fatal(err)
	}
	d, args := simulation(t, env.AdminDSN, "HOLD_TTL=1s", "PAYMENT_WINDOW=1s")
	t.Parallel()
	code, stdout, stderr := d.Run(t, args...)
	if code != 1 || !regexp.MustCompile(`(?m)^BROKEN  no_internal_error .*\n( +key .*\n)+( +and \d+ more\n)? +the server's log says: .*products_few_reserved`).MatchString(stdout) {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	for _, file := range []string{"sale.html", "sale.json"} {
		if text := shoptest.Must(os.ReadFile(filepath.Join(d.Dir, "out", file)))(t); !strings.Contains(string(text), "products_few_reserved") {
			t.Errorf("%s does not tell the cause", file)
		}
	}
}

// A server on another database, with another secret, or none at all: one sentence says so.
func TestSimulateElsewhere(t *testing.T) {
	s := shoptest.Open(t, 1, shoptest.Options{})
	other := ledgertest.New(t)
	t.Parallel()
	for _, c := range []struct{ dsn, secret, url, says string }{
		{other.AdminDSN, shoptest.Secret("new"), s.URL, "does not appear at " + s.URL},
		{s.AdminDSN, shoptest.Secret("retired"), s.URL, "does not accept this command's webhook secret"},
		{s.AdminDSN, shoptest.Secret("new"), "http://" + shoptest.FreeAddr(t), "no server answers at"},
	} {
		d, args := simulation(t, c.dsn, "WEBHOOK_SECRETS="+c.secret)
		code, stdout, stderr := d.Run(t, append(args, "--url", c.url)...)
		if code != 3 || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit %d\n%s%s", c.says, code, stdout, stderr)
		}
	}
}
