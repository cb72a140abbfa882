package command

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"flashsale/internal/shoptest"
)

// invalid is a command line that is refused, with its exit code and a part of the reason.
type invalid struct {
	args string
	code int
	says string
}

// rejects checks that each is refused in one line.
func rejects(t *testing.T, d shoptest.Desk, all []invalid) {
	t.Helper()
	for _, c := range all {
		code, stdout, stderr := d.Run(t, strings.Fields(c.args)...)
		if code != c.code || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "flashsale: ") || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit %d, expected one line with the reason, got\n%s%s", c.args, code, stdout, stderr)
		}
	}
}

func TestRejectsInvalidCommandLines(t *testing.T) {
	t.Parallel()
	d := shoptest.NewDesk(t)
	rejects(t, d, []invalid{
		{"frobnicate", 2, "frobnicate"},
		{"product put", 2, "<id>"},
		{"product put UPPER --stock 1", 2, `the product is "UPPER", expected 1 to 64 of a-z 0-9 - (see flashsale product put --help)`},
		{"product put lamp", 2, "nothing to change"},
		{"product put lamp --stok 5", 2, "(see flashsale product put --help)"},
		{"help frobnicate", 2, "frobnicate"},
		{"webhook send --type payment.suceeded --order ord_01h455vb4pex5vsknk084sn02q", 2, "did you mean payment.succeeded?"},
		{"webhook send --type invoice.paid", 2, "expected payment.succeeded, payment.failed, payment.processing"},
		{"webhook send --type payment.processing", 2, "--order"},
		{"product put x --price 1", 2, "--currency"},
		{"product put x --price 1.999 --currency USD", 2, "--price"},
		{"product put x --price 1.5 --currency JPY", 2, "4999 JPY"},
		{"product put x --price -1 --currency USD", 2, ""},
		{"product put x --price=-1 --currency USD", 2, "--price"},
		{"product put x --price 1 --currency USDOLLAR", 2, `--currency is "USDOLLAR", expected ISO 4217 such as USD`},
		{"product put x --stock -1", 2, ""},
		{"product put x --stock many", 2, "--stock"},
		{"product put x --max-qty-per-hold 0", 2, "--max-qty-per-hold"},
		{"product put x --sale-starts-at tomorrow", 2, "2026-11-27T09:00:00Z"},
		{"webhook send --type payment.succeeded", 2, "--order"},
		{"webhook send --type payment.succeeded --order ord_x --hold hold_x", 2, "--hold"},
		{"webhook send --type payment.succeeded --order ord_01h455vb4pex5vsknk084sn02q", 3, "or set WEBHOOK_SECRETS"},
		{"webhook listen", 2, "--forward-to"},
		{"webhook listen --forward-to 127.0.0.1:3000", 2, `--forward-to is "127.0.0.1:3000", expected a URL such as http://127.0.0.1:3000/events`},
		{"webhook listen --forward-to ftp://127.0.0.1/", 2, "expected a URL"},
		{"webhook listen --forward-to http:///events", 2, "expected a URL"},
		{"webhook listen --forward-to http://127.0.0.1:8080/v1/payments/webhook", 2, "your own back end"},
		{"audit now", 2, "now"},
		{"refunds record --amount 1 --note x", 2, "--payment"},
		{"refunds record --payment pay_1 --amount 1", 2, "--note"},
		{"refunds record --payment pay_1 --amount 1 --note x --provider paypal", 2, "--provider"},
		{"refunds record --payment pay_1 --amount 1 --note x --id 17", 2, `--id is "17", expected an id that starts with record:`},
		{"refunds record --payment pay_1 --amount 1 --note x --id record:", 2, "--id"},
		{"refunds record --payment= --amount 1 --note x", 2, "--payment is empty"},
		{"refunds record --payment pay_1 --amount 1 --note=", 2, "--note is empty"},
		{"refunds list now", 2, "now"},
		{"orders --status lost", 2, "--status"},
		{"orders --product UPPER", 2, "--product"},
		{"orders --since yesterday", 2, "2026-11-27T09:00:00Z"},
		{"orders --json --csv", 2, "--csv"},
		{"order", 2, "<id>"},
		{"order hold_01h455vb4pex5vsknk084sn02q", 2, "ord_ and 26 characters"},
		{"events", 2, "--unmatched"},
		{"events --stored --reused", 2, "--reused"},
		{"events --stored --disputes", 2, "--disputes"},
		{"token", 2, "<name>"},
		{"token ada --ttl 0s", 2, "--ttl is 0s, expected 1s to 720h0m0s"},
		{"token ada --ttl 721h", 2, "--ttl"},
		{"token ada --ttl soon", 2, "--ttl"},
		{"token ada", 3, "no shop here: there is no .local/signin-key.pem to sign with; use the directory of `flashsale run`"},
		{"--stack flashsale-dev token ada", 2, "without --stack"},
		{"with-servers", 2, "command"},
	})
	d.Env = append(d.Env, "HOLD_TTL=soon")
	if code, _, stderr := d.Run(t, "audit"); code != 2 || stderr != "flashsale: HOLD_TTL cannot be understood, expected a duration such as 2m or 90s\n" {
		t.Errorf("an invalid HOLD_TTL: exit %d, expected 2 and the reason, got %s", code, stderr)
	}
	for _, args := range []string{"help run", "version", "completion bash", "openapi"} {
		if code, stdout, stderr := d.Run(t, strings.Fields(args)...); code != 0 || stdout == "" {
			t.Errorf("%s with an invalid HOLD_TTL: exit %d, expected 0 and its text, got %s", args, code, stderr)
		}
	}
	d.Env = append(d.Env, "HOLD_TTL=2m", "MYSQL_DSN=root:hunter2@tcp("+shoptest.FreeAddr(t)+")/flashsale")
	if code, _, stderr := d.Run(t, "audit"); code != 3 || strings.Contains(stderr, "hunter2") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("without a database: exit %d: %s", code, stderr)
	}
	for _, args := range []string{"--help", "", "run --help", "product put --help", "webhook send --help", "help", "help product put"} {
		if code, stdout, stderr := d.Run(t, strings.Fields(args)...); code != 0 || !strings.Contains(stdout, "Usage: flashsale") || stderr != "" {
			t.Errorf("%q: exit %d, expected 0 and the help, got %s %s", args, code, stdout, stderr)
		}
	}
	if len(d.Processes()) > 0 {
		t.Error("something was started")
	}
}

// running is `flashsale run` on private servers of its own.
type running struct {
	shoptest.Desk
	shop   *shoptest.Shop
	addr   string
	parent *exec.Cmd
	pid    int
}

func startRun(t *testing.T, env ...string) *running {
	t.Helper()
	r := &running{Desk: shoptest.NewDesk(t), addr: shoptest.FreeAddr(t)}
	r.Env = append(append(r.Env, "ADDR="+r.addr), env...)
	r.shop = &shoptest.Shop{URL: "http://" + r.addr, ProductID: "demo", Client: http.DefaultClient}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	r.serve(t)
	return r
}

// serve starts the command, also in place of a server that runs.
func (r *running) serve(t *testing.T) {
	t.Helper()
	parent, pid := r.Serve(t, r.addr)
	r.parent, r.pid = parent, pid
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
}

// stop ends the command as an operator does. It must stop its servers, and leave a log that a program can read.
func (r *running) stop(t *testing.T, requests int) {
	t.Helper()
	if err := syscall.Kill(r.pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := r.parent.Wait(); err != nil {
		t.Error(err)
	}
	if left := r.Processes(); len(left) > 0 {
		t.Errorf("processes %v are left, expected none", left)
	}
	checkLog(t, filepath.Join(r.Dir, "run.log"), requests)
	if t.Failed() {
		t.Log(string(shoptest.Must(os.ReadFile(filepath.Join(r.Dir, "run.log")))(t)))
	}
}

// The README's purchase, on private servers that the first command starts and the last one stops.
func TestRunServesAPurchase(t *testing.T) {
	t.Parallel()
	d := startRun(t)
	s := d.shop
	for _, page := range []string{"/docs/", "/openapi.yaml", "/metrics", "/v1/products/demo"} {
		a := s.Do(t, http.MethodGet, page, "", nil)
		if a.Status != http.StatusOK || a.Body == "" {
			t.Errorf("%s: status %d, expected 200 with a body", page, a.Status)
		}
		if page == "/docs/" && regexp.MustCompile(`(src|href)="(https?:)?//`).MatchString(a.Body) {
			t.Error("the page needs the internet")
		}
	}
	order := s.MustOrder(t, 1)
	send := []string{"webhook", "send", "--type", "payment.succeeded", "--order", order.OrderID(), "--id", "evt_1"}
	for _, want := range []string{`"result":"applied"`, `"result":"duplicate"`} {
		if code, stdout, stderr := d.Run(t, send...); code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("webhook send: exit %d, expected 0 and its result, got %s%s", code, stdout, stderr)
		}
	}
	if code, stdout, stderr := d.Run(t, append(send, "--age", "6m")...); code != 1 || !strings.Contains(stdout, "timestamp_out_of_tolerance") {
		t.Errorf("an old signature: exit %d, expected 1 and timestamp_out_of_tolerance, got %s%s", code, stdout, stderr)
	}
	hold := s.MustHold(t, 1) // paid before the order
	if code, stdout, _ := d.Run(t, "webhook", "send", "--type", "payment.succeeded", "--hold", hold.HoldID(), "--url", s.URL); code != 0 || !strings.Contains(stdout, `"paid"`) {
		t.Errorf("a payment of a hold: exit %d, expected 0 and a paid order, got %s", code, stdout)
	}
	if code, stdout, stderr := d.Run(t, "audit"); code != 0 || !strings.Contains(stdout, "Clean") {
		t.Errorf("audit: exit %d, expected 0 and Clean, got %s%s", code, stdout, stderr)
	}
	var audit struct{ Clean bool }
	if code, stdout, _ := d.Run(t, "audit", "--json"); code != 0 || json.Unmarshal([]byte(stdout), &audit) != nil || !audit.Clean {
		t.Errorf("audit --json: exit %d, expected 0 and clean, got %s", code, stdout)
	}
	if code, _, stderr := d.Run(t, "run"); code != 3 || !strings.Contains(stderr, "already runs on "+d.addr) {
		t.Errorf("a second run: exit %d: %s", code, stderr)
	}

	d.stop(t, 8)
}

// Whatever part of a run is killed, the next run takes its place.
func TestRunTakesOverAfterAKill(t *testing.T) {
	t.Parallel()
	d := startRun(t)
	order := d.shop.MustOrder(t, 1)
	if code, stdout, stderr := d.Run(t, "webhook", "send", "--type", "payment.succeeded", "--order", order.OrderID()); code != 0 {
		t.Fatalf("webhook send: exit %d: %s%s", code, stdout, stderr)
	}
	// The parent is killed: the next run takes the server's place, and the data remain.
	if err := d.parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = d.parent.Wait()
	d.serve(t)
	if a := d.shop.Do(t, http.MethodGet, "/v1/orders/"+order.OrderID(), "", nil); a.Text("status") != "paid" {
		t.Errorf("the order is %+v after a restart, expected it paid", a)
	}
	// The server itself is killed: the database and the cache stay up, and the next run takes them over and stops in
	// order.
	if err := syscall.Kill(d.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = d.parent.Wait()
	if len(d.Processes()) == 0 {
		t.Error("the servers are gone: this test tests nothing")
	}
	d.serve(t)
	d.stop(t, 4)
}

// checkLog checks that a log is JSON with one line per request, at least as many as expected, and has no secrets.
func checkLog(t *testing.T, path string, expected int) {
	t.Helper()
	text := string(shoptest.Must(os.ReadFile(path))(t))
	requests := 0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "flashsale: ") {
			continue // progress, for a person
		}
		var entry struct {
			Msg, Method, Route string
			Status             int
			RequestID          string  `json:"request_id"`
			Duration           float64 `json:"duration_ms"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("the log has a line that is not JSON: %s", line)
		}
		if entry.Msg == "request" {
			requests++
			if entry.Method == "" || entry.Route == "" || entry.Status == 0 || entry.RequestID == "" || entry.Duration <= 0 {
				t.Errorf("the log has an incomplete line: %s", line)
			}
		}
	}
	if requests < expected {
		t.Errorf("the log has %d requests, expected at least %d", requests, expected)
	}
	if regexp.MustCompile(`whsec_|v1,|sha256`).MatchString(text) {
		t.Error("a secret or a signature is in the log")
	}
}

// If servers are given, run and all other commands use them, and nothing is started.
func TestUsesGivenServers(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 5, shoptest.Options{}) // its schema and its servers are given to the command
	cacheAddr := os.Getenv("CACHE_ADDR")
	if cacheAddr == "" {
		t.Log("on the private cache")
		cacheAddr = shoptest.StartCache(t).Addr()
	}
	addr := shoptest.FreeAddr(t)
	d := shoptest.NewDesk(t, "MYSQL_DSN="+s.AdminDSN, "CACHE_ADDR="+cacheAddr, "ADDR="+addr, "WEBHOOK_SECRETS="+shoptest.Secret("new"))
	if code, _, stderr := d.Run(t, "migrate"); code != 0 {
		t.Fatalf("migrate: exit %d, expected 0, got %s", code, stderr)
	}
	parent, pid := d.Serve(t, addr)
	other := &shoptest.Shop{URL: "http://" + addr, ProductID: s.ProductID, Client: http.DefaultClient}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	order := other.MustOrder(t, 5)
	if code, stdout, stderr := d.Run(t, "webhook", "send", "--type", "payment.succeeded", "--order", order.OrderID()); code != 0 || !strings.Contains(stdout, "paid") {
		t.Errorf("webhook send: exit %d, expected 0 and a paid order, got %s%s", code, stdout, stderr)
	}
	if _, err := s.Admin.ExecContext(context.Background(), "UPDATE products SET sold_stock = 4 WHERE id = ?", s.ProductID); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := d.Run(t, "audit"); code != 1 || !strings.Contains(stdout, "sold_stock_drift") || !strings.Contains(stderr, "not clean") {
		t.Errorf("audit of a wrong counter: exit %d, expected 1 and sold_stock_drift, got %s%s", code, stdout, stderr)
	}
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- parent.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("it does not stop")
	}
	if _, err := os.Stat(filepath.Join(d.Dir, ".local", "servers")); err == nil {
		t.Error("private servers were made")
	}
}
