package test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// built is the flashsale command, built once for all tests into builtDir.
var built = sync.OnceValues(func() (string, error) {
	var err error
	if builtDir, err = os.MkdirTemp("", "flashsale"); err != nil {
		return "", err
	}
	path := filepath.Join(builtDir, "flashsale")
	out, err := exec.Command("go", "build", "-o", path, "flashsale/cmd/flashsale").CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return path, nil
})

var builtDir string

// desk is a directory to stand in, with nothing of the outside's configuration.
type desk struct {
	dir string
	env []string
}

func newDesk(t *testing.T, env ...string) desk {
	t.Helper()
	d := desk{dir: t.TempDir(), env: env}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case "MYSQL_DSN", "CACHE_ADDR", "ADDR", "HOLD_TTL", "PAYMENT_WINDOW", "WEBHOOK_SECRETS", "STRIPE_WEBHOOK_SECRETS", "LOG_LEVEL":
		default:
			d.env = append(d.env, v)
		}
	}
	return d
}

func (d desk) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(must(built())(t), args...)
	c.Dir, c.Env = d.dir, d.env
	return c
}

// run runs a command to its end.
func (d desk) run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	c := d.command(t, args...)
	c.Stdout, c.Stderr = &out, &err
	if e := c.Run(); e != nil {
		var failed *exec.ExitError
		if !errors.As(e, &failed) {
			t.Fatal(e)
		}
	}
	return c.ProcessState.ExitCode(), out.String(), err.String()
}

// serve starts `flashsale run` below a shell, as make does, and waits until it answers.
func (d desk) serve(t *testing.T, addr string) (parent *exec.Cmd, pid int) {
	t.Helper()
	parent = exec.Command("sh", "-c", must(built())(t)+` run & echo "pid $!"; wait`)
	parent.Dir, parent.Env = d.dir, slices.Concat(d.env, []string{"ADDR=" + addr})
	stdout := must(parent.StdoutPipe())(t)
	log := must(os.OpenFile(filepath.Join(d.dir, "run.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600))(t)
	parent.Stderr = log
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	_ = log.Close()
	lines := bufio.NewScanner(stdout)
	for pid == 0 && lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "pid "); ok {
			pid = int(must(json.Number(text).Int64())(t))
		}
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	_, port, _ := net.SplitHostPort(addr)
	eventually(t, "the server answers", func() bool {
		var record struct{ PID int }
		text, _ := os.ReadFile(filepath.Join(d.dir, ".local", "run-"+port+".json"))
		if json.Unmarshal(text, &record) != nil || record.PID != pid {
			return false // an earlier one still has the address
		}
		response, err := http.Get("http://" + addr + "/healthz")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	http.DefaultClient.CloseIdleConnections()
	return parent, pid
}

// working lists the processes that work below the desk's directory: the servers do.
func (d desk) working(t *testing.T) (found []string) {
	t.Helper()
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		if cwd, err := os.Readlink(link); err == nil && strings.HasPrefix(cwd, d.dir) {
			name, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "cmdline"))
			found = append(found, filepath.Dir(link)+" "+strings.ReplaceAll(string(name), "\x00", " "))
		}
	}
	return found
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func TestCommandsThatCannotBeUnderstood(t *testing.T) {
	d := newDesk(t)
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"frobnicate", 2, "frobnicate"},
		{"product put", 2, "<id>"},
		{"product put UPPER --stock 1", 2, "1 to 64 of a-z 0-9 -"},
		{"product put x --price 1", 2, "--currency"},
		{"product put x --price 1.999 --currency USD", 2, "--price"},
		{"product put x --price 1.5 --currency JPY", 2, "4999 JPY"},
		{"product put x --price -1 --currency USD", 2, ""},
		{"product put x --price=-1 --currency USD", 2, "--price"},
		{"product put x --price 1 --currency USDOLLAR", 2, "--currency"},
		{"product put x --stock -1", 2, ""},
		{"product put x --stock many", 2, "--stock"},
		{"product put x --max-qty-per-hold 0", 2, "--max-qty-per-hold"},
		{"product put x --sale-starts-at tomorrow", 2, "2026-11-27T09:00:00Z"},
		{"webhook send --type payment.succeeded", 2, "--order"},
		{"webhook send --type payment.succeeded --order ord_x --hold hold_x", 2, "--hold"},
		{"webhook send --type payment.succeeded --order ord_01h455vb4pex5vsknk084sn02q", 2, "WEBHOOK_SECRETS"},
		{"audit now", 2, "now"},
		{"with-servers", 2, "command"},
	} {
		code, stdout, stderr := d.run(t, strings.Fields(c.args)...)
		if code != c.code || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "flashsale: ") || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit %d\n%s%s", c.args, code, stdout, stderr)
		}
	}
	d.env = append(d.env, "HOLD_TTL=soon")
	if code, _, stderr := d.run(t, "audit"); code != 2 || stderr != "flashsale: HOLD_TTL cannot be understood, expected a duration such as 2m or 90s\n" {
		t.Errorf("exit %d: %s", code, stderr)
	}
	d.env = append(d.env, "HOLD_TTL=2m", "MYSQL_DSN=root:hunter2@tcp("+freeAddr(t)+")/flashsale")
	if code, _, stderr := d.run(t, "audit"); code != 3 || strings.Contains(stderr, "hunter2") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("without a database: exit %d: %s", code, stderr)
	}
	for _, args := range []string{"--help", "", "run --help", "product put --help", "webhook send --help"} {
		if code, stdout, stderr := d.run(t, strings.Fields(args)...); code != 0 || !strings.Contains(stdout, "Usage: flashsale") || stderr != "" {
			t.Errorf("%q: exit %d %s %s", args, code, stdout, stderr)
		}
	}
	if len(d.working(t)) > 0 {
		t.Error("something was started")
	}
}

// A purchase as the README has it, on private servers that the first command starts and the last one stops; then the
// ways in which a run can end.
func TestRunAndCommands(t *testing.T) {
	d := newDesk(t)
	addr := freeAddr(t)
	d.env = append(d.env, "ADDR="+addr)
	parent, pid := d.serve(t, addr)
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	s := &shop{url: "http://" + addr, product: "demo", client: http.DefaultClient}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)

	for _, page := range []string{"/docs/", "/openapi.yaml", "/metrics", "/v1/products/demo"} {
		a := s.do(t, http.MethodGet, page, "", nil)
		if a.status != http.StatusOK || a.body == "" {
			t.Errorf("%s: %d", page, a.status)
		}
		if page == "/docs/" && regexp.MustCompile(`(src|href)="(https?:)?//`).MatchString(a.body) {
			t.Error("the page needs the internet")
		}
	}
	order := s.mustOrder(t, 1)
	send := []string{"webhook", "send", "--type", "payment.succeeded", "--order", order.OrderID(), "--id", "evt_1"}
	for _, want := range []string{`"result":"applied"`, `"result":"duplicate"`} {
		if code, stdout, stderr := d.run(t, send...); code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("exit %d: %s%s", code, stdout, stderr)
		}
	}
	if code, stdout, stderr := d.run(t, append(send, "--age", "6m")...); code != 1 || !strings.Contains(stdout, "timestamp_out_of_tolerance") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	hold := s.mustHold(t, 1) // paid before the order
	if code, stdout, _ := d.run(t, "webhook", "send", "--type", "payment.succeeded", "--hold", hold.HoldID(), "--url", s.url); code != 0 || !strings.Contains(stdout, `"paid"`) {
		t.Errorf("exit %d: %s", code, stdout)
	}
	put := strings.Fields("product put lamp --name Lamp --price 29.90 --currency eur --stock 20 --sale-ends-at 2099-01-01T00:00:00Z")
	if code, stdout, stderr := d.run(t, put...); code != 0 || stdout != "Created lamp: \"Lamp\", 29.90 EUR, 20 of 20 available, at most 10 per hold, until 2099-01-01T00:00:00Z.\n" {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	if code, stdout, _ := d.run(t, "product", "put", "lamp", "--stock", "5", "--sale-ends-at", "none"); code != 0 || stdout != "Changed lamp: \"Lamp\", 29.90 EUR, 5 of 5 available, at most 10 per hold.\n" {
		t.Errorf("exit %d: %s", code, stdout)
	}
	if code, _, stderr := d.run(t, "product", "put", "demo", "--stock", "1"); code != 1 || !strings.Contains(stderr, "expected at least 2") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if code, _, stderr := d.run(t, "product", "put", "new", "--stock", "1"); code != 1 || !strings.Contains(stderr, "a new product needs") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if code, stdout, _ := d.run(t, "product", "list"); code != 0 || strings.Count(stdout, "\n") != 3 || !strings.Contains(stdout, "49.99 USD") {
		t.Errorf("exit %d: %s", code, stdout)
	}
	if code, stdout, stderr := d.run(t, "audit"); code != 0 || !strings.Contains(stdout, "Clean") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	var audit struct{ Clean bool }
	if code, stdout, _ := d.run(t, "audit", "--json"); code != 0 || json.Unmarshal([]byte(stdout), &audit) != nil || !audit.Clean {
		t.Errorf("exit %d: %s", code, stdout)
	}
	if code, _, stderr := d.run(t, "run"); code != 3 || !strings.Contains(stderr, "already runs on "+addr) {
		t.Errorf("a second run: exit %d: %s", code, stderr)
	}

	// Its parent is killed: the next run takes its place, and the data are there.
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	parent, second := d.serve(t, addr)
	t.Cleanup(func() { _ = syscall.Kill(second, syscall.SIGKILL) })
	if a := s.do(t, http.MethodGet, "/v1/orders/"+order.OrderID(), "", nil); a.text("status") != "paid" {
		t.Errorf("%+v", a)
	}
	// It is killed itself: the servers go on until the next run, which takes them over and ends orderly.
	if err := syscall.Kill(second, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	if len(d.working(t)) == 0 {
		t.Error("the servers are gone: this test tests nothing")
	}
	parent, third := d.serve(t, addr)
	if err := syscall.Kill(third, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := parent.Wait(); err != nil {
		t.Error(err)
	}
	if left := d.working(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	checkLog(t, filepath.Join(d.dir, "run.log"))
	if t.Failed() {
		t.Log(string(must(os.ReadFile(filepath.Join(d.dir, "run.log")))(t)))
	}
}

// checkLog checks that a log is JSON, a line a request, and keeps secrets.
func checkLog(t *testing.T, path string) {
	t.Helper()
	text := string(must(os.ReadFile(path))(t))
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
			t.Errorf("not JSON: %s", line)
		}
		if entry.Msg == "request" {
			requests++
			if entry.Method == "" || entry.Route == "" || entry.Status == 0 || entry.RequestID == "" || entry.Duration <= 0 {
				t.Errorf("incomplete: %s", line)
			}
		}
	}
	if requests < 10 {
		t.Errorf("%d requests in the log", requests)
	}
	if regexp.MustCompile(`whsec_|v1,|sha256`).MatchString(text) {
		t.Error("a secret or a signature is in the log")
	}
}

// Servers that are given are used, by run and by every other command, and nothing is started.
func TestGivenServers(t *testing.T) {
	s := open(t, 5, options{}) // its schema and its servers
	cacheAddr := os.Getenv("CACHE_ADDR")
	if cacheAddr == "" {
		t.Log("on the private cache")
		cacheAddr = privateCache(t).Addr()
	}
	addr := freeAddr(t)
	d := newDesk(t, "MYSQL_DSN="+s.AdminDSN, "CACHE_ADDR="+cacheAddr, "ADDR="+addr, "WEBHOOK_SECRETS="+secret("new"))
	if code, _, stderr := d.run(t, "migrate"); code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	parent, pid := d.serve(t, addr)
	other := &shop{url: "http://" + addr, product: s.product, client: http.DefaultClient}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	order := other.mustOrder(t, 5)
	if code, stdout, stderr := d.run(t, "webhook", "send", "--type", "payment.succeeded", "--order", order.OrderID()); code != 0 || !strings.Contains(stdout, "paid") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	if _, err := s.Admin.ExecContext(context.Background(), "UPDATE products SET sold_stock = 4 WHERE id = ?", s.product); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := d.run(t, "audit"); code != 1 || !strings.Contains(stdout, "sold_stock_drift") || !strings.Contains(stderr, "not clean") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
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
	case <-time.After(20 * time.Second):
		t.Error("it does not stop")
	}
	if _, err := os.Stat(filepath.Join(d.dir, ".local", "servers")); err == nil {
		t.Error("private servers were made")
	}
}
