package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

var hotAbout = "Callers place holds of one unit on one product, each as soon as its last call has returned. Every design writes the same row of `holds`. " +
	"On the link with 1 ms more, each response arrives a millisecond later than on loopback.\n\n" +
	"- **SELECT … FOR UPDATE**: `BEGIN; SELECT … FOR UPDATE; INSERT; UPDATE; COMMIT` from the client, a connection per caller. This is the common design.\n" +
	"- **ledger**: one `CALL place_hold`, as `flashsale run` makes it: callers queue for the " + strconv.Itoa(ledger.MaxConns) + " connections of its pool.\n" +
	"- **ledger, no queue**: the same call over a connection per caller, as from so many Lambda functions without RDS Proxy.\n" +
	"- **bare INSERT**: the row alone, autocommit, a connection per caller. It touches no product and waits for no lock: the upper bound."

// The designs that place holds.
const (
	selectForUpdate = "SELECT … FOR UPDATE"
	theLedger       = "ledger"
	noQueue         = "ledger, no queue"
	bareInsert      = "bare INSERT"
)

var (
	designs    = []string{selectForUpdate, theLedger, noQueue, bareInsert}
	hotCallers = []int{16, 64, 256}
	links      = []string{"loopback", "1 ms more"}
)

// hotCase names a case, such as "loopback, 64 callers: ledger".
func hotCase(link string, callers int, design string) string {
	return fmt.Sprintf("%s, %d callers: %s", link, callers, design)
}

// runHot measures throughput on one hot row in each design.
func runHot(ctx context.Context, t *trial) error {
	for round := range t.Rounds {
		for _, link := range links {
			for _, callers := range hotCallers {
				if err := t.onSchema(ctx, func(ctx context.Context, s *site) error { return s.hotRound(ctx, round, link, callers) }); err != nil {
					return err
				}
			}
			rate := func(callers int) float64 { return t.last(hotCase(link, callers, theLedger), "holds/s") }
			t.add(link+": ledger", "rate at 256 callers ÷ rate at 16", rate(256)/rate(16))
		}
	}
	return nil
}

// hotRound measures every design once in a new schema. Only the calls may use the application's user.
func (s *site) hotRound(ctx context.Context, round int, link string, callers int) (err error) {
	adminDSN, appDSN := s.adminDSN, s.appDSN
	if link != links[0] {
		adminDSN, appDSN = strings.Replace(adminDSN, "@tcp(", "@"+slowLink+"(", 1), strings.Replace(appDSN, "@tcp(", "@"+slowLink+"(", 1)
	}
	pooled, err := ledger.Open(appDSN, nothing{})
	if err != nil {
		return err
	}
	admin, err1 := connect(adminDSN, callers)
	app, err2 := connect(appDSN, callers)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pooled.Close(), admin.Close(), app.Close()) }()
	ops := map[string]func(context.Context, int) error{
		selectForUpdate: func(ctx context.Context, _ int) error { return holdFromClient(ctx, admin, s.onSale) },
		theLedger:       place(pooled, s.onSale),
		noQueue:         place(ledger.New(app, nothing{}), s.onSale),
		bareInsert:      func(ctx context.Context, _ int) error { return insertHold(ctx, admin, s.onSale) },
	}
	for i := range designs {
		design := designs[(round+i)%len(designs)]
		one := load{workers: s.size(callers, callers/8), length: s.length(2 * time.Second), counts: "holds", op: ops[design]}
		if err := s.measured(hotCase(link, callers, design), one)(ctx); err != nil {
			return err
		}
	}
	rate := func(design string) float64 { return s.last(hotCase(link, callers, design), "holds/s") }
	for _, design := range []string{theLedger, noQueue} {
		s.add(hotCase(link, callers, design), "÷ SELECT … FOR UPDATE", rate(design)/rate(selectForUpdate))
		s.add(hotCase(link, callers, design), "share of the bare-INSERT rate, %", 100*rate(design)/rate(bareInsert))
	}
	return nil
}

func insertHold(ctx context.Context, db interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}, product string,
) error {
	id := newID()
	_, err := db.ExecContext(ctx, `INSERT INTO holds (id, product_id, qty, unit_price, currency, status, created_at, expires_at)
		VALUES (?, ?, 1, 4999, 'USD', 'active', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) + INTERVAL 120 SECOND)`, id[:], product)
	return err
}

// holdFromClient is the common design: the row stays locked during four round trips.
func holdFromClient(ctx context.Context, db *sql.DB, product string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	var available int64
	err = tx.QueryRowContext(ctx, "SELECT stock - reserved_stock - sold_stock FROM products WHERE id = ? FOR UPDATE", product).Scan(&available)
	if err == nil && available < 1 {
		err = checkout.SoldOut(available)
	}
	if err == nil {
		err = insertHold(ctx, tx, product)
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, "UPDATE products SET reserved_stock = reserved_stock + 1, version = version + 1, updated_at = UTC_TIMESTAMP(6) WHERE id = ?", product)
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// slowLink is the DSN's network name for connections whose round trips take linkDelay longer.
const (
	slowLink  = "benchlink"
	linkDelay = time.Millisecond
)

func init() {
	mysql.RegisterDialContext(slowLink, func(ctx context.Context, addr string) (net.Conn, error) {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		return &link{Conn: conn}, err
	})
}

// link delays the first read after a write. It has no SyscallConn, so the driver cannot look past Read.
type link struct {
	net.Conn
	waiting bool // for the response to what was written
}

func (l *link) Write(b []byte) (int, error) {
	l.waiting = true
	return l.Conn.Write(b)
}

func (l *link) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if l.waiting {
		l.waiting = false
		time.Sleep(linkDelay)
	}
	return n, err
}
