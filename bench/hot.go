package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"flashsale/pkg/ledger"
)

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
	var cases []func(context.Context) error
	for _, link := range links {
		for _, callers := range hotCallers {
			for _, design := range designs {
				cases = append(cases, t.onSchema(func(ctx context.Context, s *site) error { return s.runDesign(ctx, link, callers, design) }))
			}
		}
	}
	return t.alternate(ctx, func() {
		for _, link := range links {
			rate := func(callers int, design string) float64 { return t.last(hotCase(link, callers, design), "calls/s") }
			for _, callers := range hotCallers {
				for _, design := range []string{theLedger, noQueue} {
					t.add(hotCase(link, callers, design), "÷ SELECT … FOR UPDATE", rate(callers, design)/rate(callers, selectForUpdate))
					t.add(hotCase(link, callers, design), "share of the bare-INSERT rate, %", 100*rate(callers, design)/rate(callers, bareInsert))
				}
			}
			t.add(link+": ledger", "rate at 256 callers ÷ rate at 16", rate(256, theLedger)/rate(16, theLedger))
		}
	}, cases...)
}

// runDesign measures one design. Only the calls may use the application's user.
func (s *site) runDesign(ctx context.Context, link string, callers int, design string) (err error) {
	dsn := s.adminDSN
	if design == theLedger || design == noQueue {
		dsn = s.appDSN
	}
	if link != links[0] {
		dsn = strings.Replace(dsn, "@tcp(", "@"+slowLink+"(", 1)
	}
	pooled, err1 := ledger.Open(dsn, nothing{})
	db, err2 := connect(dsn, callers)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pooled.Close(), db.Close()) }()
	op := map[string]func(context.Context) error{
		selectForUpdate: func(ctx context.Context) error { return holdFromClient(ctx, db, s.onSale) },
		theLedger:       s.place(pooled),
		noQueue:         s.place(ledger.New(db, nothing{})),
		bareInsert:      func(ctx context.Context) error { return insertHold(ctx, db.ExecContext, s.onSale) },
	}[design]
	return s.measured(hotCase(link, callers, design), callers, op)(ctx)
}

type execute func(ctx context.Context, query string, args ...any) (sql.Result, error)

func insertHold(ctx context.Context, do execute, product string) error {
	id := newID()
	_, err := do(ctx, `INSERT INTO holds (id, product_id, qty, unit_price, currency, status, created_at, expires_at)
		VALUES (?, ?, 1, 4999, 'USD', 'active', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) + INTERVAL 120 SECOND)`, id[:], product)
	return err
}

// holdFromClient is the common design: the row stays locked during four round trips.
func holdFromClient(ctx context.Context, db *sql.DB, product string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after the commit
	var available int64
	err = tx.QueryRowContext(ctx, "SELECT stock - reserved_stock - sold_stock FROM products WHERE id = ? FOR UPDATE", product).Scan(&available)
	if err != nil {
		return err
	}
	if err := insertHold(ctx, tx.ExecContext, product); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "UPDATE products SET reserved_stock = reserved_stock + 1, version = version + 1, updated_at = UTC_TIMESTAMP(6) WHERE id = ?", product)
	if err != nil {
		return err
	}
	return tx.Commit()
}

// slowLink is the DSN's network name for connections whose round trips take a millisecond longer.
const slowLink = "benchlink"

func init() {
	mysql.RegisterDialContext(slowLink, func(ctx context.Context, addr string) (net.Conn, error) {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		return slowConn{conn}, err
	})
}

// slowConn delays each request; the driver sends one with one Write. It has no SyscallConn, so the driver cannot look
// past it.
type slowConn struct{ net.Conn }

func (c slowConn) Write(b []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return c.Conn.Write(b)
}
