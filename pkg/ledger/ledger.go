package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"flashsale/pkg/checkout"
)

// The limits of one call. Two lock waits fit into readTimeout, and a read fits into callBudget.
const (
	lockWait       = 2 * time.Second // innodb_lock_wait_timeout
	dialTimeout    = 2 * time.Second
	readTimeout    = 5 * time.Second // without it a call can outlast every context
	acquireTimeout = 2 * time.Second // for a place in a lane, and then for a connection of the pool
	callBudget     = 8 * time.Second // one call with its retries
	auditTimeout   = 2 * time.Minute // one query of the audit, which reads every row
)

// Ledger implements checkout.Ledger.
type Ledger struct {
	Role Role // what Check expects; RoleApp unless set before the first call

	db           *sql.DB
	lanes        *lanes         // how calls share the connections of db; nil: freely
	holds        *holdGroups    // how holds share calls; nil: they do not
	payments     *paymentGroups // how payments share calls; nil: they do not
	known        known          // requests that go alone; empty if nothing shares calls
	turns        *lane          // of holds that exclude each other; nil: the database makes them wait
	rec          checkout.Recorder
	routinesSeen atomic.Pointer[time.Time] // when an audit found all of them

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
	db, err := pool(cfg, maxConns())
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
	l.lanes, l.holds, l.payments = newLanes(), newHoldGroups(l), newPaymentGroups(l)
	l.known, l.turns = newKnown(), newLane(laneSize{connections: math.MaxInt64, perProduct: 1})
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

// New makes a ledger of a pool that the caller configured with Config. It has no lanes
// and no groups: calls share the pool freely.
func New(db *sql.DB, rec checkout.Recorder) *Ledger {
	return &Ledger{Role: RoleApp, db: db, rec: rec, audits: db, snapshot: sql.TxOptions{ReadOnly: true}}
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

// Check fails if the database does not respond. It fails with ErrNotMigrated if the database lacks a routine that the
// role calls.
func (l *Ledger) Check(ctx context.Context) error {
	missing, err := l.missingRoutines(ctx, l.db)
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("%w (%s)", ErrNotMigrated, strings.Join(missing, ", "))
	}
	if err != nil {
		return fmt.Errorf("checking the database: %w", err)
	}
	return nil
}

// missingRoutines lists what the role calls and the database lacks. A user sees only the routines that it may call, so
// only RoleApp sees those that routines call.
func (l *Ledger) missingRoutines(ctx context.Context, db querier) ([]string, error) {
	installed, err := installedRoutines(ctx, db)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, name := range Routines() {
		if (l.Role == RoleApp || l.Role.MayCall(name)) && !slices.Contains(installed, routines[name].installed) {
			missing = append(missing, routines[name].installed)
		}
	}
	return missing, nil
}
