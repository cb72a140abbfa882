package ledger_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/google/uuid"
	"github.com/pressly/goose/v3"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

const previousRelease = "testdata/release/"

// newPreviousRelease creates a schema with the tables and routines of the release before 00003. It has no ledger yet.
func newPreviousRelease(t *testing.T) *ledgertest.Env {
	t.Helper()
	return newRelease(t, 2)
}

// newRelease is newPreviousRelease with the tables as they were after a migration.
func newRelease(t *testing.T, version int64) *ledgertest.Env {
	t.Helper()
	cfg, err := mysql.ParseDSN(ledgertest.ServerDSN(t))
	if err != nil {
		t.Fatal(err)
	}
	server, err := sql.Open("mysql", cfg.FormatDSN())
	if err != nil {
		t.Fatal(err)
	}
	suffix := make([]byte, 6)
	_, _ = rand.Read(suffix) // never fails
	cfg.DBName = "fs_" + hex.EncodeToString(suffix)
	exec(t, server, "CREATE DATABASE "+cfg.DBName)
	exec(t, server, "CREATE USER "+cfg.DBName+"_owner@'%' IDENTIFIED BY 'Replaced-by-the-migration-1'")
	exec(t, server, "GRANT ALL ON "+cfg.DBName+".* TO "+cfg.DBName+"_owner@'%'")
	admin, err := ledger.Config(cfg.FormatDSN())
	if err != nil {
		t.Fatal(err)
	}
	connector, err := mysql.NewConnector(admin)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() {
		ledgertest.Drop(t, server, cfg.FormatDSN())
		_, _ = db.Close(), server.Close()
	})
	provider, err := goose.NewProvider(goose.DialectMySQL, db, os.DirFS(previousRelease+"migrations"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(context.Background(), version); err != nil {
		t.Fatal(err)
	}
	routines, err := filepath.Glob(previousRelease + "routines/*.sql")
	if err != nil || len(routines) == 0 {
		t.Fatalf("no routines of the previous release (%v)", err)
	}
	for _, file := range routines {
		installText(t, db, file)
	}
	return &ledgertest.Env{Admin: db, AdminDSN: cfg.FormatDSN(), Counts: &ledgertest.Counts{}}
}

// installText replaces a routine with the text of a file.
func installText(t *testing.T, db *sql.DB, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, db, "DROP PROCEDURE IF EXISTS "+strings.TrimSuffix(filepath.Base(file), ".sql"))
	var database string
	if err := db.QueryRowContext(context.Background(), "SELECT DATABASE()").Scan(&database); err != nil {
		t.Fatal(err)
	}
	// The owner made it: on MySQL it could not replace an administrator's.
	exec(t, db, strings.Replace(string(text), "CREATE PROCEDURE", "CREATE DEFINER=`"+database+"_owner`@`%` PROCEDURE", 1))
}

// migrate updates the schema to this release, and opens its ledger.
func migrate(t *testing.T, env *ledgertest.Env) {
	t.Helper()
	if err := ledger.Migrate(context.Background(), env.AdminDSN); err != nil {
		t.Fatal(err)
	}
	if env.Ledger != nil {
		return
	}
	accounts, err := ledger.AccountsOf(env.AdminDSN)
	if err != nil {
		t.Fatal(err)
	}
	if env.Ledger, err = ledger.Open(accounts.DSN(ledger.RoleApp), env.Counts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Close() })
}

// oldPurse is an order at 10.00 USD that the previous release's routines drive.
type oldPurse struct {
	purse
	stripe bool
	events []checkout.PaymentEvent // in the order of delivery
}

func newOldPurse(t *testing.T, env *ledgertest.Env, stripe bool) *oldPurse {
	t.Helper()
	s := &oldPurse{purse: purse{Env: env, product: "p" + strings.ReplaceAll(uuid.NewString(), "-", ""), id: ledgertest.NewID()}, stripe: stripe}
	s.call(t, "put_product", s.product, "Test product", 1000, "USD", 1, 1, false, nil, false, nil)
	s.hold(t, s.id)
	return s
}

func (s *oldPurse) call(t *testing.T, routine string, args ...any) {
	t.Helper()
	exec(t, s.Admin, "CALL "+routine+"("+strings.TrimSuffix(strings.Repeat("?, ", len(args)), ", ")+")", args...)
}

func (s *oldPurse) hold(t *testing.T, id checkout.ID) {
	t.Helper()
	s.call(t, "place_hold", id[:], s.product, 1, ttl.Microseconds(), nil, nil, nil)
}

// do makes one step: an operation, or an event as purse.event reads it. Payment "_" has no id.
func (s *oldPurse) do(t *testing.T, step string) {
	t.Helper()
	switch step {
	case "order":
		s.call(t, "create_order", s.id[:], window.Microseconds())
	case "cancel":
		s.call(t, "cancel_order", s.id[:])
	case "time":
		(&stage{Env: s.Env}).age(t, s.id)
		s.call(t, "expire_due", s.product, 100, 100, 0)
	case "sold out":
		other := ledgertest.NewID()
		s.hold(t, other)
	case "others leave":
		if _, err := s.Admin.ExecContext(t.Context(), "UPDATE holds SET created_at = created_at - INTERVAL 1 HOUR, expires_at = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND WHERE product_id = ? AND id <> ? AND status = 'active'", s.product, s.id[:]); err != nil {
			t.Fatal(err)
		}
		s.call(t, "expire_due", s.product, 100, 100, 0)
	case "unknown":
		e := s.event("A 1000")
		other := ledgertest.NewID()
		e.Subject = &other
		s.deliver(t, e)
	case "other":
		e := s.event("A 1000")
		e.Kind, e.Type = "other", "payment.created"
		s.deliver(t, e)
	default:
		e := s.event(step)
		e.Subject = &s.id
		if s.stripe {
			e.Provider = checkout.ProviderStripe
			if e.Kind == checkout.PaymentRefunded {
				e.Type = "charge.refunded"
			}
		}
		if strings.HasPrefix(step, "_") {
			e.PaymentID = ""
		}
		s.deliver(t, e)
	}
}

func (s *oldPurse) deliver(t *testing.T, e checkout.PaymentEvent) {
	t.Helper()
	s.events = append(s.events, e)
	var amount, currency any
	if e.Amount != (checkout.Money{}) {
		amount, currency = e.Amount.Amount, e.Amount.Currency
	}
	s.call(t, "apply_payment", e.Provider, e.EventID, e.Type, string(e.Kind), e.Subject[:], e.PaymentID, amount, currency, make([]byte, 32), nil, window.Microseconds())
}

// sweepEvents applies the waiting events again, as the sweep does.
func sweepEvents(t *testing.T, env *ledgertest.Env) {
	t.Helper()
	events, err := env.WaitingEvents(t.Context(), 100)
	if err != nil || len(events) == 0 {
		t.Fatalf("the events to retry are %v (%v), expected some", events, err)
	}
	for _, e := range events {
		if _, err := env.RetryEvent(t.Context(), e, window); err != nil {
			t.Fatal(err)
		}
	}
}

// dump returns the rows of a query as sorted lines.
func dump(t *testing.T, env *ledgertest.Env, query string) string {
	t.Helper()
	rows, err := env.Admin.QueryContext(context.Background(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for rows.Next() {
		values, targets := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			t.Fatal(err)
		}
		line := ""
		for _, v := range values {
			line += v.String + " "
		}
		lines = append(lines, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
