package ledger

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
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

// Migrate creates or updates the database of dsn: the database itself, its users (see Accounts), the tables and the
// routines. dsn is an administrator's with the right to create users. Migrate is idempotent, concurrent migrations wait for
// each other, and one that was killed can run again. It fails with ErrNewerSchema if a newer release migrated the database.
func Migrate(ctx context.Context, dsn string) error { return migrate(ctx, dsn, byPassword) }

// MigrateForIAM is Migrate for Aurora, where the roles' users sign in with IAM instead of a password.
func MigrateForIAM(ctx context.Context, dsn string) error { return migrate(ctx, dsn, byIAM) }

func migrate(ctx context.Context, dsn string, roles signIn) (err error) {
	accounts, err := AccountsOf(dsn)
	if err != nil {
		return err
	}
	if err := refuseNewer(ctx, accounts); err != nil {
		return err
	}
	if err := accounts.refuseOthers(ctx); err != nil {
		return err
	}
	if err := accounts.create(ctx, roles); err != nil {
		return err
	}
	cfg, err := Config(accounts.owner.dsn)
	if err != nil {
		return err
	}
	cfg.Params["sql_mode"] = sqlMode
	cfg.Params["innodb_lock_wait_timeout"] = "60" // seconds: it shares the tables with the traffic of the release before
	cfg.ReadTimeout = 0                           // changing a large table may take minutes; ctx limits it
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
	if err := accounts.grant(ctx); err != nil {
		return err
	}
	return applyOldEvents(ctx, db)
}

// applyOldEvents applies the events that a release before 00003 settled, oldest first, so that they become payments. It
// leaves an event that fails to the sweep, which reports it.
func applyOldEvents(ctx context.Context, db *sql.DB) error {
	const page = 500
	// A sum of refunds has a kind of its own since 00003.
	if _, err := db.ExecContext(ctx, `
		UPDATE payment_events SET kind = 'refunded_sum'
		WHERE provider = 'stripe' AND type = 'charge.refunded' AND kind = 'refunded'
		  AND result IN ('stored', 'unmatched', 'applied', 'ignored') AND retry_at < '1971-01-01'`); err != nil {
		return fmt.Errorf("preparing events of the release before: %w", err)
	}
	var begun time.Time // later events are the sweep's: under traffic there would be no end
	if err := db.QueryRowContext(ctx, "SELECT UTC_TIMESTAMP(6)").Scan(&begun); err != nil {
		return fmt.Errorf("reading the database's clock: %w", err)
	}
	for {
		events, err := oldEvents(ctx, db, begun, page)
		if err != nil {
			return fmt.Errorf("looking for events of the release before: %w", err)
		}
		for _, e := range events {
			if _, err := db.ExecContext(ctx, "CALL "+routines["retry_event"].installed+"(?, ?, 0)", e.Provider, e.EventID); err != nil {
				if _, err := db.ExecContext(ctx, "CALL "+routines["postpone_event"].installed+"(?, ?)", e.Provider, e.EventID); err != nil {
					return fmt.Errorf("postponing event %s of %s: %w", e.EventID, e.Provider, err)
				}
			}
		}
		if len(events) < page {
			return nil
		}
	}
}

func oldEvents(ctx context.Context, db *sql.DB, until time.Time, limit int) ([]checkout.EventRef, error) {
	rows, err := db.QueryContext(ctx, `
		SELECT provider, event_id FROM payment_events
		WHERE result IN ('stored', 'unmatched', 'applied', 'ignored') AND retry_at < '1971-01-01' AND received_at <= ?
		ORDER BY retry_at, received_at LIMIT ?`, until, limit)
	if err != nil {
		return nil, err
	}
	return scanAll(rows, scanEventRef)
}

// refuseNewer fails with ErrNewerSchema if a newer release migrated the database.
func refuseNewer(ctx context.Context, accounts Accounts) (err error) {
	db, err := accounts.connect(accounts.admin.DBName)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	migrations, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return fmt.Errorf("reading the migrations: %w", err)
	}
	var version int
	err = db.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version").Scan(&version)
	var server *mysql.MySQLError
	switch {
	case errors.As(err, &server) && (server.Number == erNoSuchDatabase || server.Number == erNoSuchTable):
		return nil
	case err != nil:
		return fmt.Errorf("reading the version of the tables: %w", err)
	case version > len(migrations):
		return fmt.Errorf("%w (its tables have version %d, this release knows %d)", ErrNewerSchema, version, len(migrations))
	}
	return nil
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
