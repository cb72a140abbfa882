package bench

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/uuid"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// schema is a migrated database of its own on a server, with an administrator's connection. It is dropped at the end.
type schema struct {
	admin    *sql.DB
	adminDSN string
	appDSN   string
	name     string
	version  string // of the server
}

func newSchema(ctx context.Context, serverDSN string) (*schema, error) {
	cfg, err := mysql.ParseDSN(serverDSN)
	if err != nil {
		return nil, fmt.Errorf("reading the DSN: %w", err)
	}
	suffix := make([]byte, 6)
	_, _ = rand.Read(suffix) // never fails
	cfg.DBName = "bench_" + hex.EncodeToString(suffix)
	s := &schema{name: cfg.DBName, adminDSN: cfg.FormatDSN()}
	accounts, err := ledger.AccountsOf(s.adminDSN)
	if err != nil {
		return nil, err
	}
	s.appDSN = accounts.AppDSN
	if s.admin, err = connect(s.adminDSN, 4, 0); err != nil {
		return nil, err
	}
	if err := ledger.Migrate(ctx, s.adminDSN); err != nil {
		_ = s.drop() // what there is of it; why there is no more is the error to tell
		return nil, err
	}
	if err := s.admin.QueryRowContext(ctx, "SELECT VERSION()").Scan(&s.version); err != nil {
		return nil, errors.Join(fmt.Errorf("asking for the server's version: %w", err), s.drop())
	}
	return s, nil
}

// drop takes the schema and its users away.
func (s *schema) drop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var failed error
	for _, statement := range []string{
		"DROP DATABASE IF EXISTS " + s.name, "DROP USER IF EXISTS " + s.name + "_owner@'%'", "DROP USER IF EXISTS " + s.name + "_app@'%'",
	} {
		if _, err := s.admin.ExecContext(ctx, statement); err != nil {
			failed = errors.Join(failed, fmt.Errorf("cleaning up: %w", err))
		}
	}
	return errors.Join(failed, s.admin.Close())
}

// connect makes a pool of connections as the ledger configures them, over a link with the given delay.
func connect(dsn string, conns int, delay time.Duration) (*sql.DB, error) {
	cfg, err := ledger.Config(dsn)
	if err != nil {
		return nil, err
	}
	cfg.DialFunc = dialLink(delay)
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("preparing the database connection: %w", err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// product puts a product on sale.
func (s *schema) product(ctx context.Context, id string, stock int64) error {
	db, err := connect(s.appDSN, 1, 0)
	if err != nil {
		return err
	}
	l := ledger.New(db, nothing{})
	name, maxQty := "Benchmark", int64(100)
	_, _, err = l.PutProduct(ctx, checkout.ProductChange{
		ID: id, Name: &name, Price: &checkout.Money{Amount: 4999, Currency: "USD"}, Stock: &stock, MaxQtyPerHold: &maxQty,
	})
	return errors.Join(err, db.Close())
}

// nothing is a checkout.Recorder.
type nothing struct{}

func (nothing) Record(*checkout.Metric, float64, ...string) {}

func newID() checkout.ID { return checkout.ID(uuid.Must(uuid.NewV7())) }
