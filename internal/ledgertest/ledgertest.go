// Package ledgertest gives a test a ledger of its own on a real database: a fresh schema with its two users, dropped at
// the end. The server is the one in MYSQL_DSN, otherwise the private server of this checkout.
package ledgertest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/uuid"

	"flashsale/internal/devstack"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// Env is a ledger on a schema of its own.
type Env struct {
	*ledger.Ledger         // connected as the application's user
	Admin          *sql.DB // an administrator's connection to the same schema, for changes that only a test may make
	AdminDSN       string
	Counts         *Counts
}

// New creates a migrated schema on the test server.
func New(tb testing.TB) *Env {
	tb.Helper()
	return On(tb, ServerDSN(tb))
}

// On creates a migrated schema on the server of an administrator's DSN.
func On(tb testing.TB, serverDSN string) *Env {
	tb.Helper()
	cfg := must(mysql.ParseDSN(serverDSN))(tb)
	suffix := make([]byte, 6)
	_, _ = rand.Read(suffix) // never fails
	cfg.DBName = "fs_" + hex.EncodeToString(suffix)
	dsn := cfg.FormatDSN()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := migrate(ctx, dsn); err != nil {
		tb.Fatal(err)
	}
	counts := &Counts{}
	l := must(ledger.Open(must(ledger.AccountsOf(dsn))(tb).DSN(ledger.RoleApp), counts))(tb)
	admin := sql.OpenDB(must(mysql.NewConnector(must(ledger.Config(dsn))(tb)))(tb))
	tb.Cleanup(func() {
		_ = l.Close()
		Drop(tb, admin, dsn)
		_ = admin.Close()
	})
	return &Env{Ledger: l, Admin: admin, AdminDSN: dsn, Counts: counts}
}

// Drop drops the schema of an administrator's DSN and its users.
func Drop(tb testing.TB, admin *sql.DB, dsn string) {
	tb.Helper()
	users := must(ledger.AccountsOf(dsn))(tb).Users()
	statements := []string{
		"DROP DATABASE IF EXISTS " + must(mysql.ParseDSN(dsn))(tb).DBName,
		"DROP USER IF EXISTS " + strings.Join(users, "@'%', ") + "@'%'",
	}
	for _, statement := range statements {
		if _, err := admin.ExecContext(context.Background(), statement); err != nil {
			tb.Logf("cleaning up: %v", err)
		}
	}
}

// Thorough picks the size of a test: quick in `make test`, thorough in `make test-all`, which sets TEST_ALL. Both sizes
// test the same promise.
func Thorough[T any](quick, thorough T) T {
	if os.Getenv("TEST_ALL") != "" {
		return thorough
	}
	return quick
}

// ServerDSN returns an administrator's DSN of the test server, and starts the server if needed.
func ServerDSN(tb testing.TB) string {
	tb.Helper()
	if dsn := os.Getenv("MYSQL_DSN"); dsn != "" {
		return dsn
	}
	return Servers(tb).DSN()
}

// Servers returns the private servers of this checkout, and starts them if needed. The last test that uses them stops
// them.
func Servers(tb testing.TB) *devstack.Stack {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	stack := must(devstack.Start(ctx, devstack.Options{Dir: filepath.Join(Root(tb), ".local", "servers"), Log: tb.Logf}))(tb)
	tb.Cleanup(func() {
		if err := stack.Close(); err != nil {
			tb.Errorf("closing the servers: %v", err)
		}
	})
	return stack
}

// Root is the directory of this checkout: the nearest one above the test with a go.mod.
func Root(tb testing.TB) string {
	tb.Helper()
	dir := must(os.Getwd())(tb)
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			tb.Fatal("no go.mod above the test's directory")
		}
		dir = filepath.Dir(dir)
	}
}

// MustPut creates or updates a product with a price of 49.99 USD and a limit of 100 units per hold.
func (e *Env) MustPut(tb testing.TB, id string, stock int64) checkout.Product {
	tb.Helper()
	return e.MustPutPrice(tb, id, stock, checkout.Money{Amount: 4999, Currency: "USD"})
}

// MustPutPrice is MustPut with a price.
func (e *Env) MustPutPrice(tb testing.TB, id string, stock int64, price checkout.Money) checkout.Product {
	tb.Helper()
	name, maxQty := "Test product", int64(100)
	p, _, err := e.PutProduct(context.Background(), checkout.ProductChange{ID: id, Name: &name, Price: &price, Stock: &stock, MaxQtyPerHold: &maxQty})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// MustAudit fails the test unless the audit is clean.
func (e *Env) MustAudit(tb testing.TB) ledger.Audit {
	tb.Helper()
	a := must(e.Audit(context.Background()))(tb)
	for _, f := range a.Broken {
		tb.Errorf("audit: %s: %s: %s", f.Check, f.Entity, f.Detail)
	}
	return a
}

// NewID returns a new id.
func NewID() checkout.ID { return checkout.ID(uuid.Must(uuid.NewV7())) }

// Counts is a checkout.Recorder for tests. It sums what was recorded, by metric name and labels, joined with "/".
type Counts struct {
	mu  sync.Mutex
	sum map[string]float64
}

// Record adds a measurement.
func (c *Counts) Record(m *checkout.Metric, value float64, labels ...string) {
	key := m.Name
	for _, l := range labels {
		key += "/" + l
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sum == nil {
		c.sum = map[string]float64{}
	}
	c.sum[key] += value
}

// Of returns the sum recorded under a key.
func (c *Counts) Of(key string) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sum[key]
}

// must unwraps a result, failing the test on an error.
func must[T any](v T, err error) func(testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}
