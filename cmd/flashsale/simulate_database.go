package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"flashsale/pkg/ledger"
)

// saleDatabase is a database for one simulated sale, so that nothing of the sale stays in the shop. The cache needs no such
// care: its keys carry the database's name. This process holds a lock with the database's name, so that the next sale can
// tell a database in use from one that a killed process left behind.
type saleDatabase struct {
	dsn   string
	admin *sql.DB
	lock  *sql.Conn
}

const (
	saleDatabasePrefix = "flashsale_rush_"
	dropPatience       = time.Minute
)

var saleDatabaseName = regexp.MustCompile("^" + saleDatabasePrefix + "[a-z0-9]{8}$")

// newSaleDatabase names a database on the server of an administrator's DSN, and drops those of killed sales. The migration
// creates it.
func newSaleDatabase(ctx context.Context, adminDSN string) (*saleDatabase, error) {
	cfg, err := ledger.Config(adminDSN)
	if err != nil {
		return nil, err
	}
	name := saleDatabasePrefix + strings.ToLower(rand.Text()[:8])
	cfg.DBName, cfg.ReadTimeout = name, 0 // dropping may take long
	d := &saleDatabase{dsn: cfg.FormatDSN()}
	cfg = cfg.Clone()
	cfg.DBName = "" // it does not exist yet
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("preparing the sale's database: %w", err)
	}
	d.admin = sql.OpenDB(connector)
	d.lock, err = d.admin.Conn(ctx)
	if err == nil {
		_, err = d.lock.ExecContext(ctx, "DO GET_LOCK(?, 0)", name) // nobody else knows the name
	}
	if err == nil {
		err = dropLeftSales(ctx, d.admin, cfg)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("preparing the sale's database: %w", err), d.admin.Close())
	}
	return d, nil
}

// Close drops the database and its users, also after an interrupt.
func (d *saleDatabase) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), dropPatience)
	defer cancel()
	err := dropDatabase(ctx, d.admin, d.dsn)
	return errors.Join(err, d.lock.Close(), d.admin.Close())
}

// dropLeftSales drops the databases of sales whose process was killed.
func dropLeftSales(ctx context.Context, admin *sql.DB, cfg *mysql.Config) error {
	rows, err := admin.QueryContext(ctx, "SELECT schema_name FROM information_schema.schemata WHERE IS_FREE_LOCK(schema_name) = 1 AND LEFT(schema_name, ?) = ?",
		len(saleDatabasePrefix), saleDatabasePrefix)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	var left []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		if saleDatabaseName.MatchString(name) {
			left = append(left, name)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, name := range left {
		of := cfg.Clone()
		of.DBName = name
		if err := dropDatabase(ctx, admin, of.FormatDSN()); err != nil {
			return err
		}
	}
	return nil
}

// dropDatabase drops a migrated database and its users.
func dropDatabase(ctx context.Context, admin *sql.DB, dsn string) error {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return fmt.Errorf("reading the sale's DSN: %w", err)
	}
	accounts, err := ledger.AccountsOf(dsn)
	if err != nil {
		return err
	}
	for _, statement := range []string{
		"DROP DATABASE IF EXISTS `" + cfg.DBName + "`",
		"DROP USER IF EXISTS " + strings.Join(accounts.Users(), "@'%', ") + "@'%'",
	} {
		if _, err := admin.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("dropping the sale's database: %w", err)
		}
	}
	return nil
}
