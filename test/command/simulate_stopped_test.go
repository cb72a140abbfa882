package command

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
)

// After Ctrl-C arrivals stop and the checks run. A simulation that is killed takes its server with it.
// It drops its database, and the next simulation drops that of a killed one.
func TestSimulateStopsItsServer(t *testing.T) {
	shop := ledgertest.New(t)
	d, args := simulation(t, shop.AdminDSN, "HOLD_TTL=1s", "PAYMENT_WINDOW=1s")
	t.Parallel()
	var databases []string
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT} {
		command, out := d.Begin(t, append(args, "--duration", "1m", "--spike", "1m")...)
		shoptest.Eventually(t, "the sale has begun", func() bool { return strings.Contains(out.String(), "spike") })
		databases = append(databases, saleDatabase(t, d))
		if err := command.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		err := command.Wait()
		if signal == syscall.SIGINT && (err != nil || !strings.Contains(out.String(), "The sale was interrupted") || !strings.Contains(out.String(), "Report: ")) {
			t.Errorf("after Ctrl-C: %v, expected a report of the interrupted sale; got\n%s", err, out.String())
		}
		shoptest.Eventually(t, "its server has ended", func() bool { return len(d.Processes()) == 0 })
	}
	for _, name := range databases {
		left := 0
		query := "SELECT (SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = ?) + (SELECT COUNT(*) FROM mysql.user WHERE LEFT(user, LENGTH(?)) = ?)"
		if err := shop.Admin.QueryRowContext(t.Context(), query, name, name, name).Scan(&left); err != nil || left > 0 {
			t.Errorf("%d of the database %s and its users are left (%v), expected none", left, name, err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// Ctrl-C after the last arrival ends the checks: the second one, or the first if arrivals had ended by themselves.
func TestSimulateStopsDuringChecks(t *testing.T) {
	const says = "flashsale: interrupted before the sale was checked: there is no result\n"
	s := shoptest.Open(t, 1, shoptest.Options{HoldTTL: time.Second, PaymentWindow: time.Second})
	proxy := httputil.NewSingleHostReverseProxy(shoptest.Must(url.Parse(s.URL))(t))
	// Every response to an order is lost. The checks wait ten seconds after the last of them.
	lossy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == "/v1/orders" {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(lossy.Close)
	d, args := simulation(t, s.AdminDSN, "WEBHOOK_SECRETS="+shoptest.Secret("new"))
	t.Parallel()
	args = append(args, "--url", lossy.URL)
	for name, c := range map[string]struct {
		args    []string
		waitFor []string // Ctrl-C is sent once after each
	}{
		"in the checks": {args, []string{"s checking"}},
		"twice":         {append(args, "--shoppers", "600", "--spike", "1m", "--duration", "1m"), []string{"no_answer", "s checking"}},
	} {
		leaveOldReport(t, d)
		command, out := d.Begin(t, c.args...)
		for _, text := range c.waitFor {
			shoptest.Eventually(t, name+": "+text, func() bool { return strings.Contains(out.String(), text) })
			if err := command.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
		_ = command.Wait()
		if code, text := command.ProcessState.ExitCode(), out.String(); code != 3 || !strings.HasSuffix(text, says) {
			t.Errorf("%s: exit %d, expected 3 and a last line that says why; got\n%s", name, code, text)
		}
		oldReport(t, d)
	}
}

// After a server dies during the sale and restarts, the sale is still checked. internal/simulator tests a server that
// stays dead.
func TestSimulateChecksRestartedServer(t *testing.T) {
	d, args := simulation(t, ledgertest.New(t).AdminDSN, "HOLD_TTL=1s", "PAYMENT_WINDOW=1s")
	t.Parallel()
	addr := shoptest.FreeAddr(t)
	server, pid := d.Serve(t, addr)
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	command, out := d.Begin(t, append(args, "--spike", "3s", "--duration", "3s", "--url", "http://"+addr)...)
	shoptest.Eventually(t, "the sale has begun", func() bool { return strings.Contains(out.String(), "spike") })
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = server.Wait()
	server, pid = d.Serve(t, addr)
	_ = command.Wait()
	_ = syscall.Kill(pid, syscall.SIGTERM)
	_ = server.Wait()
	if code, text := command.ProcessState.ExitCode(), out.String(); code != 0 || !strings.Contains(text, "Report: ") || !strings.Contains(text, "no_answer") {
		t.Errorf("exit %d, expected 0 and a report with lost responses; got\n%s", code, text)
	}
}

// leaveOldReport leaves the report of an earlier sale.
func leaveOldReport(t *testing.T, d shoptest.Desk) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(d.Dir, "out"), 0o750); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"sale.html", "sale.json"} {
		if err := os.WriteFile(filepath.Join(d.Dir, "out", file), []byte("an earlier sale's"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// oldReport checks that a sale without a result has left the report of an earlier one, and nothing else.
func oldReport(t *testing.T, d shoptest.Desk) {
	t.Helper()
	files := shoptest.Must(os.ReadDir(filepath.Join(d.Dir, "out")))(t)
	page, err := os.ReadFile(filepath.Join(d.Dir, "out", "sale.html"))
	if err != nil || len(files) != 2 || string(page) != "an earlier sale's" {
		t.Errorf("the files %v are left, with %q (%v); expected the earlier report alone", files, page, err)
	}
}

// saleDatabase returns the name of the database of the sale in progress, from the environment of its server.
func saleDatabase(t *testing.T, d shoptest.Desk) string {
	t.Helper()
	for _, process := range d.Processes() {
		path, _, _ := strings.Cut(process, " ")
		variables, _ := os.ReadFile(filepath.Join(path, "environ"))
		for _, v := range strings.Split(string(variables), "\x00") {
			if _, name, found := strings.Cut(v, "/flashsale_rush_"); found && strings.HasPrefix(v, "MYSQL_DSN=") {
				name, _, _ = strings.Cut(name, "?")
				return "flashsale_rush_" + name
			}
		}
	}
	t.Fatal("no server has a database of its own")
	return ""
}
