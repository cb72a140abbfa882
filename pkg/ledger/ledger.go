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

// The limits of one call. Two lock waits fit into readTimeout, and a read fits into callBudget.
const (
	lockWait       = 2 * time.Second // innodb_lock_wait_timeout
	dialTimeout    = 2 * time.Second
	readTimeout    = 5 * time.Second // without it a call can outlast every context
	acquireTimeout = 2 * time.Second // for a queue position, and then for a connection of the pool
	callBudget     = 8 * time.Second // one call with its retries
	auditTimeout   = 2 * time.Minute // one query of the audit, which reads every row
)

// MaxConns is the size of a ledger's connection pool. Callers queue for a connection instead of the hot row's lock: see
// docs/decisions.md.
const MaxConns = 8

// Ledger implements checkout.Ledger.
type Ledger struct {
	db       *sql.DB
	queue    *semaphore.Weighted // one position per connection of db: see acquire
	rec      checkout.Recorder
	audits   *sql.DB       // one connection, with a longer read timeout
	snapshot sql.TxOptions // the audit's transaction

	environment string // see Environment
}

var _ checkout.Ledger = (*Ledger)(nil)

// Open prepares a ledger on the database of dsn (go-sql-driver). It connects on the first call.
func Open(dsn string, rec checkout.Recorder) (*Ledger, error) {
	cfg, err := Config(dsn)
	if err != nil {
		return nil, err
	}
	l, err := open(cfg, rec)
	if err != nil {
		return nil, err
	}
	l.snapshot.Isolation = sql.LevelRepeatableRead // the server's default may differ
	return l, nil
}

// OpenProxy is Open for a configuration that ProxyConfig returned.
func OpenProxy(cfg *mysql.Config, rec checkout.Recorder) (*Ledger, error) { return open(cfg, rec) }

func open(cfg *mysql.Config, rec checkout.Recorder) (*Ledger, error) {
	db, err := pool(cfg, MaxConns)
	if err != nil {
		return nil, err
	}
	forAudits := cfg.Clone()
	forAudits.ReadTimeout = auditTimeout
	audits, err := pool(forAudits, 1)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	l := New(db, rec)
	l.queue = semaphore.NewWeighted(MaxConns)
	l.audits = audits
	l.environment = environment(cfg)
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

// New makes a ledger of a pool that the caller configured with Config. It has no queue in front of the pool.
func New(db *sql.DB, rec checkout.Recorder) *Ledger {
	return &Ledger{db: db, queue: semaphore.NewWeighted(math.MaxInt64), rec: rec, audits: db, snapshot: sql.TxOptions{ReadOnly: true}}
}

// Config reads a DSN and adds the settings that the ledger relies on.
func Config(dsn string) (*mysql.Config, error) {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("reading the DSN: %w", err)
	}
	if cfg.DBName == "" {
		return nil, fmt.Errorf("reading the DSN: it has no database name, expected user:password@tcp(host:port)/database")
	}
	setDriverOptions(cfg)
	if cfg.Params == nil {
		cfg.Params = map[string]string{}
	}
	cfg.Params["innodb_lock_wait_timeout"] = fmt.Sprint(int(lockWait.Seconds()))
	return cfg, nil
}

// ProxyConfig is Config for a connection through RDS Proxy at addr (host:port). The ledger sends only CALL, SELECT and
// the audit's START TRANSACTION READ ONLY there. A prepared statement, an isolation level or a SET would pin the proxy's
// connection to this client. So the server sets the lock wait timeout (template.yaml has the same value) and the
// isolation level of the audit (MySQL's default, REPEATABLE READ).
func ProxyConfig(addr, database, user string) *mysql.Config {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.DBName, cfg.User = "tcp", addr, database, user
	setDriverOptions(cfg)
	return cfg
}

func setDriverOptions(cfg *mysql.Config) {
	cfg.InterpolateParams = true
	cfg.ParseTime = true
	cfg.Loc = time.UTC
	cfg.RejectReadOnly = true
	cfg.ClientFoundRows = true
	cfg.MultiStatements = false
	cfg.Logger = &mysql.NopLogger{} // it would print errors that the calls return anyway
	cfg.Timeout = dialTimeout
	cfg.ReadTimeout = readTimeout
	cfg.WriteTimeout = readTimeout
}

// Close closes all connections.
func (l *Ledger) Close() error { return errors.Join(l.db.Close(), l.audits.Close()) }

// Ping checks that the database responds.
func (l *Ledger) Ping(ctx context.Context) error {
	if err := l.db.PingContext(ctx); err != nil {
		return fmt.Errorf("pinging the database: %w", err)
	}
	return nil
}
