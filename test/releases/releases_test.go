package releases

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/uuid"

	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
	"flashsale/pkg/ledger"
)

// newDatabase is a name for a schema that does not exist yet, with a shop on it.
func newDatabase(t *testing.T) *shoptest.Shop {
	t.Helper()
	o := shoptest.WithDefaults(t, shoptest.Options{})
	cfg := shoptest.Must(mysql.ParseDSN(o.DSN))(t)
	cfg.DBName = "fs_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12]
	server := shoptest.Must(mysql.ParseDSN(o.DSN))(t)
	server.DBName = ""
	admin := sql.OpenDB(shoptest.Must(mysql.NewConnector(server))(t))
	s := &shoptest.Shop{
		Env:       &ledgertest.Env{Admin: admin, AdminDSN: cfg.FormatDSN()},
		ProductID: "p-" + uuid.NewString(),
		Client:    &http.Client{Timeout: 30 * time.Second},
		Signer:    signer(t),
	}
	t.Cleanup(func() {
		s.Client.CloseIdleConnections()
		ledgertest.Drop(t, admin, s.AdminDSN)
		_ = admin.Close()
	})
	return s
}

// program prepares a flashsale command on the shop's database.
func program(t *testing.T, s *shoptest.Shop, command string, args ...string) (*exec.Cmd, *shoptest.Output) {
	t.Helper()
	o := shoptest.WithDefaults(t, shoptest.Options{})
	out := &shoptest.Output{}
	c := exec.CommandContext(context.Background(), command, args...)
	c.Dir, c.Stdout, c.Stderr = t.TempDir(), out, out
	c.Env = shoptest.NewDesk(t, "MYSQL_DSN="+s.AdminDSN, "CACHE_ADDR="+o.CacheAddr, "WEBHOOK_SECRETS="+shoptest.Secret("new")).Env
	return c, out
}

func mustRun(t *testing.T, s *shoptest.Shop, command string, args ...string) {
	t.Helper()
	if c, out := program(t, s, command, args...); c.Run() != nil {
		t.Fatalf("%s: %s", strings.Join(args, " "), out)
	}
}

// serve starts `flashsale run` of a release, and returns its address and what stops it.
func serve(t *testing.T, s *shoptest.Shop, command string) (url string, stop func()) {
	t.Helper()
	listener := shoptest.Must(new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0"))(t)
	addr := listener.Addr().String()
	_ = listener.Close()
	c, out := program(t, s, command, "run")
	c.Env = append(c.Env, "ADDR="+addr)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		if err := c.Wait(); err != nil {
			t.Errorf("the server ended with %v: %s", err, out)
		}
	})
	t.Cleanup(stop)
	shoptest.Eventually(t, "the server responds", func() bool {
		r, err := s.Client.Get("http://" + addr + "/healthz")
		if err == nil {
			_ = r.Body.Close()
		}
		return err == nil && r.StatusCode == http.StatusOK
	})
	return "http://" + addr, stop
}

// A deployment and a rollback under load, on one database: the previous release serves, this one migrates and serves
// beside it and then alone, the previous one comes back, and this one again. No request fails but by a repeatable busy,
// and nothing is lost.
func TestDeploymentAndRollbackLoseNothing(t *testing.T) {
	t.Parallel()
	s := newDatabase(t)
	previous, this := shoptest.PreviousCommand(t), shoptest.Command(t)
	mustRun(t, s, previous, "migrate")
	mustRun(t, s, previous, "product", "put", s.ProductID, "--name", "Mug", "--price", "49.99", "--currency", "USD", "--stock", "1000000")

	oldURL, stopOld := serve(t, s, previous)
	c := newClients(t, s, oldURL)
	c.buy(t, "the previous release alone")
	mustRun(t, s, this, "migrate")
	c.buy(t, "the previous release on the new tables")
	newURL, stopNew := serve(t, s, this)
	c.use(oldURL, newURL)
	c.buy(t, "both releases, during the deployment")
	c.use(newURL)
	stopOld()
	c.buy(t, "this release alone")
	oldURL, stopOld = serve(t, s, previous)
	c.use(oldURL, newURL)
	c.buy(t, "both releases, during the rollback")
	c.use(oldURL)
	stopNew()
	c.buy(t, "the previous release after the rollback")
	newURL, _ = serve(t, s, this)
	c.use(oldURL, newURL)
	c.buy(t, "both releases, during the second deployment")
	c.use(newURL)
	stopOld()
	c.buy(t, "this release at the end")
	c.stop()

	s.URL = newURL
	for order, want := range c.orders {
		if got := s.Do(t, http.MethodGet, "/v1/orders/"+order, "", nil).Text("status"); got != want {
			t.Errorf("order %s is %q, expected %q", order, got, want)
		}
	}
	var report string
	shoptest.Eventually(t, "the audit is clean", func() bool { // once the sweep has made payments of the previous release's events
		audit, out := program(t, s, this, "audit")
		err := audit.Run()
		report = out.String()
		return err == nil
	})
	t.Logf("%d purchases, %d busy responses\n%s", c.done.Load(), c.busy.Load(), report)
}

// A migration that is killed at any point can run again, while the previous release serves.
func TestKilledMigrationRunsAgain(t *testing.T) {
	t.Parallel()
	previous, this := shoptest.PreviousCommand(t), shoptest.Command(t)
	for round := range ledgertest.Thorough(2, 20) {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			s := newDatabase(t)
			mustRun(t, s, previous, "migrate")
			oldURL, stopOld := serve(t, s, previous)
			mustRun(t, s, previous, "product", "put", s.ProductID, "--name", "Mug", "--price", "49.99", "--currency", "USD", "--stock", "1000000")
			c := newClients(t, s, oldURL)
			after := time.Duration(rand.Int64N(int64(1200 * time.Millisecond)))
			killed, _ := program(t, s, this, "migrate")
			if err := killed.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(after) // the random point
			_ = killed.Process.Kill()
			_ = killed.Wait()
			c.buy(t, "the previous release on half-migrated tables, killed after "+after.String())
			mustRun(t, s, this, "migrate")
			c.buy(t, "the previous release on the new tables")
			c.stop()
			stopOld()
			mustRun(t, s, this, "audit")
		})
	}
}

// An operator who runs the previous release's migration on the newer tables takes nothing back.
func TestOlderMigrationTakesNothingBack(t *testing.T) {
	t.Parallel()
	s := newDatabase(t)
	mustRun(t, s, shoptest.Command(t), "migrate")
	l := shoptest.Must(ledger.Open(shoptest.Must(ledger.AccountsOf(s.AdminDSN))(t).DSN(ledger.RoleApp), &ledgertest.Counts{}))(t)
	defer func() { _ = l.Close() }()
	var out bytes.Buffer
	old, _ := program(t, s, shoptest.PreviousCommand(t), "migrate")
	old.Stdout, old.Stderr = &out, &out
	err := old.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	if err := l.Check(t.Context()); err != nil {
		t.Errorf("after the previous release's migrate (%v: %s): %v", err, &out, err)
	}
}

// clients buy without end, through whichever servers are in use.
type clients struct {
	shop *shoptest.Shop
	urls atomic.Pointer[[]string]
	done atomic.Int64
	busy atomic.Int64
	stop func()

	mu     sync.Mutex
	orders map[string]string // the status that the clients saw last
}
