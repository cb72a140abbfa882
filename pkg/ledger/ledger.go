package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/go-sql-driver/mysql"
	"golang.org/x/sync/semaphore"

	"flashsale/pkg/checkout"
)

// The limits of one call, each below the next: a lock wait ends before the driver gives up on the answer, and the
// answer before the caller's patience. Two lock waits in one call stay below readTimeout.
const (
	lockWait       = 2 * time.Second // innodb_lock_wait_timeout
	dialTimeout    = 2 * time.Second
	readTimeout    = 5 * time.Second // without it a call can hang past every context
	acquireTimeout = 2 * time.Second // for a turn, and then for a connection of the pool
	callBudget     = 8 * time.Second // a call with all its retries
	auditTimeout   = 2 * time.Minute // the answer of one query of the audit, which reads every row
)

// MaxConns is how many connections a ledger has. Callers queue up for them, not at the hot row: see docs/decisions.md.
const MaxConns = 8

// Ledger implements checkout.Ledger.
type Ledger struct {
	db       *sql.DB
	turns    *semaphore.Weighted // one for each connection of db: see turn
	rec      checkout.Recorder
	audits   *sql.DB       // one connection, with more patience
	snapshot sql.TxOptions // of the audit
}

var _ checkout.Ledger = (*Ledger)(nil)

// Open prepares a ledger on the database that dsn (go-sql-driver) names; it connects on the first call.
func Open(dsn string, rec checkout.Recorder) (*Ledger, error) {
	cfg, err := Config(dsn)
	if err != nil {
		return nil, err
	}
	l, err := open(cfg, rec)
	if err != nil {
		return nil, err
	}
	l.snapshot.Isolation = sql.LevelRepeatableRead // whatever the server's default is
	return l, nil
}

// OpenProxy is Open with what ProxyConfig returned.
func OpenProxy(cfg *mysql.Config, rec checkout.Recorder) (*Ledger, error) { return open(cfg, rec) }

func open(cfg *mysql.Config, rec checkout.Recorder) (*Ledger, error) {
	db, err := pool(cfg, MaxConns)
	if err != nil {
		return nil, err
	}
	patient := cfg.Clone()
	patient.ReadTimeout = auditTimeout
	audits, err := pool(patient, 1)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	l := New(db, rec)
	l.turns = semaphore.NewWeighted(MaxConns)
	l.audits = audits
	return l, nil
}

func pool(cfg *mysql.Config, conns int) (*sql.DB, error) {
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("preparing the database connection: %w", err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db, nil
}

// New makes a ledger of a pool that the caller has configured with Config. There are no turns: callers meet in the pool.
func New(db *sql.DB, rec checkout.Recorder) *Ledger {
	return &Ledger{db: db, turns: semaphore.NewWeighted(math.MaxInt64), rec: rec, audits: db, snapshot: sql.TxOptions{ReadOnly: true}}
}

// Config reads a DSN and sets what the ledger relies on.
func Config(dsn string) (*mysql.Config, error) {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("reading the DSN: %w", err)
	}
	if cfg.DBName == "" {
		return nil, fmt.Errorf("reading the DSN: it names no database, expected user:password@tcp(host:port)/database")
	}
	relyOn(cfg)
	if cfg.Params == nil {
		cfg.Params = map[string]string{}
	}
	cfg.Params["innodb_lock_wait_timeout"] = fmt.Sprint(int(lockWait.Seconds()))
	return cfg, nil
}

// ProxyConfig is Config for a connection through RDS Proxy, to addr (host:port). Nothing is sent there but CALL, SELECT
// and the audit's START TRANSACTION READ ONLY: a prepared statement, a transaction with an isolation level or a SET would
// pin the proxy's connection to this client, until it hangs up. So the lock wait timeout has to be the server's own
// (template.yaml sets it to the same value), and so has the isolation level of the audit's snapshot (REPEATABLE READ, as
// MySQL comes).
func ProxyConfig(addr, database, user string) *mysql.Config {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.DBName, cfg.User = "tcp", addr, database, user
	relyOn(cfg)
	return cfg
}

func relyOn(cfg *mysql.Config) {
	cfg.InterpolateParams = true
	cfg.ParseTime = true
	cfg.Loc = time.UTC
	cfg.RejectReadOnly = true
	cfg.ClientFoundRows = true
	cfg.MultiStatements = false
	cfg.Logger = &mysql.NopLogger{} // it would print what the calls return as errors anyway
	cfg.Timeout = dialTimeout
	cfg.ReadTimeout = readTimeout
	cfg.WriteTimeout = readTimeout
}

// Close closes all connections.
func (l *Ledger) Close() error { return errors.Join(l.db.Close(), l.audits.Close()) }

// Ping reports whether the database answers.
func (l *Ledger) Ping(ctx context.Context) error {
	if err := l.db.PingContext(ctx); err != nil {
		return fmt.Errorf("pinging the database: %w", err)
	}
	return nil
}
