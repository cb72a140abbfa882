package ledgertest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/go-sql-driver/mysql"

	"flashsale/pkg/ledger"
)

// made has the statements that make the tables of a migrated schema, by the server's address. All migrations run for the first
// schema of a test process and server. Later schemas start with copies of its tables, which takes half as long.
var made = struct {
	sync.Mutex
	scripts map[string]string
}{scripts: map[string]string{}}

// migrate makes the schema of an administrator's DSN, and migrates it.
func migrate(ctx context.Context, dsn string) (err error) {
	cfg, err := ledger.Config(dsn)
	if err != nil {
		return err
	}
	made.Lock()
	script := made.scripts[cfg.Addr]
	if script == "" { // others wait for it
		defer made.Unlock()
		if err := ledger.Migrate(ctx, dsn); err != nil {
			return err
		}
		made.scripts[cfg.Addr], err = tables(ctx, dsn)
		return err
	}
	made.Unlock()
	name := cfg.DBName
	cfg.DBName, cfg.MultiStatements = "", true
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, "CREATE DATABASE "+name+"; USE "+name+"; "+script); err != nil {
		return fmt.Errorf("making the tables: %w", err)
	}
	return ledger.Migrate(ctx, dsn) // the users, the routines and the rights
}

// tables returns statements that make the tables of a schema that was just migrated, with what the migrations have written.
func tables(ctx context.Context, dsn string) (_ string, err error) {
	cfg, err := ledger.Config(dsn)
	if err != nil {
		return "", err
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return "", err
	}
	db := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, db.Close()) }()
	names, err := tableNames(ctx, db)
	if err != nil {
		return "", err
	}
	script := []string{"SET foreign_key_checks = 0"}
	for name := range strings.SplitSeq(names, ",") {
		create, err := createTable(ctx, db, name)
		if err != nil {
			return "", err
		}
		script = append(script, create)
	}
	var versions string
	if err := db.QueryRowContext(ctx, "SELECT GROUP_CONCAT('(', version_id, ', ', is_applied, ')' ORDER BY id) FROM goose_db_version").Scan(&versions); err != nil {
		return "", fmt.Errorf("reading the versions: %w", err)
	}
	script = append(script, "INSERT INTO goose_db_version (version_id, is_applied) VALUES "+versions,
		"INSERT INTO audit_state (id, holds_upto, orders_upto, changes_upto, full_at) VALUES (1, REPEAT(0x00, 16), '1000-01-01', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))")
	return strings.Join(script, "; "), nil
}

func tableNames(ctx context.Context, db *sql.DB) (names string, err error) {
	if err := db.QueryRowContext(ctx, `
		SELECT GROUP_CONCAT(table_name ORDER BY table_name) FROM information_schema.tables WHERE table_schema = DATABASE()`).Scan(&names); err != nil {
		return "", fmt.Errorf("listing the tables: %w", err)
	}
	return names, nil
}

// createTable returns the statement that makes a table, without the counter of its rows.
func createTable(ctx context.Context, db *sql.DB, name string) (create string, err error) {
	if err := db.QueryRowContext(ctx, "SHOW CREATE TABLE "+name).Scan(&name, &create); err != nil {
		return "", fmt.Errorf("reading the table %s: %w", name, err)
	}
	return counter.ReplaceAllString(create, ""), nil
}

var counter = regexp.MustCompile(` AUTO_INCREMENT=\d+`)
