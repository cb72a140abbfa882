package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"flashsale/pkg/checkout"
)

var (
	//go:embed migrations/*.sql
	migrationFiles embed.FS
	//go:embed routines/*.sql
	routineFiles embed.FS
)

// sqlMode is stored with every routine, so that the server's default does not decide how strict a routine is.
const sqlMode = "'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"

// The migration lock: how long it outlives a killed migration, and how often and how long another migration retries.
const (
	lockLease   = 10 * time.Second
	lockRetry   = 250 * time.Millisecond
	lockTimeout = time.Minute
)

// Migrate creates or updates the database of dsn: the database itself, its two users (see Accounts), the tables and the
// routines. dsn is an administrator's with the right to create users. Migrate is idempotent, and concurrent migrations wait for
// each other.
func Migrate(ctx context.Context, dsn string) error { return migrate(ctx, dsn, Accounts.byPassword) }

// MigrateForIAM is Migrate for Aurora, where the application's user signs in with IAM instead of a password.
func MigrateForIAM(ctx context.Context, dsn string) error { return migrate(ctx, dsn, Accounts.byIAM) }

func migrate(ctx context.Context, dsn string, app func(Accounts) signIn) (err error) {
	accounts, err := AccountsOf(dsn)
	if err != nil {
		return err
	}
	if err := accounts.create(ctx, app(accounts)); err != nil {
		return err
	}
	cfg, err := Config(accounts.ownerDSN)
	if err != nil {
		return err
	}
	cfg.Params["sql_mode"] = sqlMode
	cfg.ReadTimeout = 0 // changing a large table may take minutes; ctx limits it
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return fmt.Errorf("preparing the owner's connection: %w", err)
	}
	db := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := migrateTables(ctx, db); err != nil {
		return err
	}
	if err := installRoutines(ctx, db); err != nil {
		return err
	}
	return applyOldEvents(ctx, db)
}

// applyOldEvents applies the events that a release before 00003 settled, oldest first, so that they become payments. It
// leaves an event that fails to the sweep, which reports it.
func applyOldEvents(ctx context.Context, db *sql.DB) error {
	const page, rest = 500, "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL"
	// A sum of refunds has a kind of its own since 00003.
	if _, err := db.ExecContext(ctx, `
		UPDATE payment_events SET kind = 'refunded_sum'
		WHERE provider = 'stripe' AND type = 'charge.refunded' AND kind = 'refunded'
		  AND result IN ('stored', 'unmatched', 'applied', 'ignored') AND retry_at < '1971-01-01'`); err != nil {
		return fmt.Errorf("preparing events of the release before: %w", err)
	}
	for {
		events, err := oldEvents(ctx, db, page)
		if err != nil {
			return fmt.Errorf("looking for events of the release before: %w", err)
		}
		for _, e := range events {
			if _, err := db.ExecContext(ctx, "CALL apply_event(?, ?, "+rest+", 0, FALSE)", e.Provider, e.EventID); err != nil {
				if _, err := db.ExecContext(ctx, "CALL keep_event(?, ?, "+rest+")", e.Provider, e.EventID); err != nil {
					return fmt.Errorf("postponing event %s of %s: %w", e.EventID, e.Provider, err)
				}
			}
		}
		if len(events) < page {
			return nil
		}
	}
}

func oldEvents(ctx context.Context, db *sql.DB, limit int) (events []checkout.EventRef, err error) {
	rows, err := db.QueryContext(ctx, `
		SELECT provider, event_id FROM payment_events
		WHERE result IN ('stored', 'unmatched', 'applied', 'ignored') AND retry_at < '1971-01-01' ORDER BY retry_at, received_at LIMIT ?`, limit)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		e, err := scanEventRef(rows)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, rows.Err()
}

func migrateTables(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return fmt.Errorf("reading the migrations: %w", err)
	}
	locker, err := lock.NewMySQLTableLocker(
		lock.WithTableLeaseDuration(lockLease), lock.WithTableHeartbeatInterval(lockLease/5),
		lock.WithTableLockTimeout(lockRetry, uint64(lockTimeout/lockRetry)))
	if err != nil {
		return fmt.Errorf("preparing the migration lock: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectMySQL, db, files, goose.WithLocker(locker))
	if err != nil {
		return fmt.Errorf("preparing the migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrating the tables: %w", err)
	}
	return nil
}

// installRoutines creates routines that are missing or differ, and leaves the others alone. MySQL cannot replace a
// procedure in one step, so between DROP and CREATE a CALL fails and is retried (errors.go). The comment of an installed
// routine is the digest of its text.
func installRoutines(ctx context.Context, db *sql.DB) error {
	files, err := routineFiles.ReadDir("routines")
	if err != nil {
		return fmt.Errorf("reading the routines: %w", err)
	}
	for _, file := range files {
		text, err := routineFiles.ReadFile(path.Join("routines", file.Name()))
		if err != nil {
			return fmt.Errorf("reading the routines: %w", err)
		}
		if err := installRoutine(ctx, db, strings.TrimSuffix(file.Name(), ".sql"), string(text)); err != nil {
			return fmt.Errorf("installing the routine %s: %w", file.Name(), err)
		}
	}
	return nil
}

func installRoutine(ctx context.Context, db *sql.DB, name, text string) error {
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text)))
	var installed string
	err := db.QueryRowContext(ctx, "SELECT routine_comment FROM information_schema.routines WHERE routine_schema = DATABASE() AND routine_name = ?", name).Scan(&installed)
	if err == nil && installed == digest {
		return nil
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if _, err := db.ExecContext(ctx, "DROP PROCEDURE IF EXISTS "+name); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, strings.Replace(text, "SQL SECURITY DEFINER", "SQL SECURITY DEFINER COMMENT '"+digest+"'", 1))
	var server *mysql.MySQLError
	if errors.As(err, &server) && server.Number == erRoutineExists { // a concurrent migration installed the same text
		return nil
	}
	return err
}
