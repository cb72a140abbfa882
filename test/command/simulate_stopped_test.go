package command

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
)

// Ctrl-C ends the arrivals; what is there is checked. A simulation that is killed takes its server with it.
func TestSimulateIsStopped(t *testing.T) {
	d, args := simulation(t, ledgertest.New(t).AdminDSN, "HOLD_TTL=1s", "PAYMENT_WINDOW=1s")
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		command, out := d.Begin(t, append(args, "--duration", "1m", "--spike", "1m")...)
		shoptest.Eventually(t, "the sale has begun", func() bool { return strings.Contains(out.String(), "spike") })
		if err := command.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		err := command.Wait()
		if signal == syscall.SIGINT && (err != nil || !strings.Contains(out.String(), "The sale was interrupted") || !strings.Contains(out.String(), "Report: ")) {
			t.Errorf("%v\n%s", err, out.String())
		}
		shoptest.Eventually(t, "its server has ended", func() bool { return len(d.Processes()) == 0 })
	}
	http.DefaultClient.CloseIdleConnections()
}

// Ctrl-C when nobody comes any more ends the checks: the second one, or the first if the sale was over by itself.
func TestSimulateIsStoppedForGood(t *testing.T) {
	const says = "flashsale: interrupted before the sale was checked: nothing can be said about it\n"
	s := shoptest.Open(t, 1, shoptest.Options{HoldTTL: time.Second, PaymentWindow: time.Second})
	proxy := httputil.NewSingleHostReverseProxy(shoptest.Must(url.Parse(s.URL))(t))
	var requests atomic.Int64
	// Answers get lost to the end, and after the last of them the checks wait for ten seconds.
	lossy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1)%10 == 0 {
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
		args   []string
		phases []string // in which Ctrl-C is pressed
	}{
		"in the checks": {args, []string{"checking"}},
		"twice":         {append(args, "--spike", "1m", "--duration", "1m"), []string{"spike", "checking"}},
	} {
		leaveOldReport(t, d)
		command, out := d.Begin(t, c.args...)
		for _, phase := range c.phases {
			shoptest.Eventually(t, name+": "+phase, func() bool { return strings.Contains(out.String(), "s "+phase) })
			if err := command.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
		_ = command.Wait()
		if code, text := command.ProcessState.ExitCode(), out.String(); code != 3 || !strings.HasSuffix(text, says) {
			t.Errorf("%s: exit %d\n%s", name, code, text)
		}
		noReport(t, d)
	}
}

// A server that dies in the sale and does not come back is found out, one that comes back is checked.
func TestSimulateOnAServerThatDies(t *testing.T) {
	for name, comesBack := range map[string]bool{"for good": false, "and comes back": true} {
		t.Run(name, func(t *testing.T) {
			d, args := simulation(t, ledgertest.New(t).AdminDSN, "HOLD_TTL=1s", "PAYMENT_WINDOW=1s")
			t.Parallel()
			leaveOldReport(t, d)
			addr := shoptest.FreeAddr(t)
			server, pid := d.Serve(t, addr)
			t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
			command, out := d.Begin(t, append(args, "--spike", "3s", "--duration", "3s", "--url", "http://"+addr)...)
			shoptest.Eventually(t, "the sale has begun", func() bool { return strings.Contains(out.String(), "spike") })
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			_ = server.Wait()
			if comesBack {
				server, pid = d.Serve(t, addr)
			}
			_ = command.Wait()
			code, text := command.ProcessState.ExitCode(), out.String()
			if comesBack {
				_ = syscall.Kill(pid, syscall.SIGTERM)
				_ = server.Wait()
				if code != 0 || !strings.Contains(text, "Report: ") || !strings.Contains(text, "no_answer") {
					t.Errorf("exit %d\n%s", code, text)
				}
				return
			}
			if says := "flashsale: the server at http://" + addr + " does not answer any more: nothing could be checked\n"; code != 3 || !strings.HasSuffix(text, says) {
				t.Errorf("exit %d\n%s", code, text)
			}
			noReport(t, d)
		})
	}
}

// leaveOldReport leaves what an earlier sale would have left.
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

// noReport makes sure that there is no report that could be taken for that of a sale which was not checked.
func noReport(t *testing.T, d shoptest.Desk) {
	t.Helper()
	if files := shoptest.Must(os.ReadDir(filepath.Join(d.Dir, "out")))(t); len(files) > 0 {
		t.Errorf("left behind: %v", files)
	}
}
