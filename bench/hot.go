package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

var hotAbout = "Callers place holds of one unit on one product, each as soon as its last call has returned. Every design writes the same row of `holds`. " +
	"On the link with 1 ms more, each response arrives a millisecond later than on loopback.\n\n" +
	"- **SELECT … FOR UPDATE**: `BEGIN; SELECT … FOR UPDATE; INSERT; UPDATE; COMMIT` from the client, a connection per caller. This is the usual design.\n" +
	"- **ledger**: one `CALL place_hold`, as `flashsale run` makes it: callers queue for the " + strconv.Itoa(ledger.MaxConns) + " connections of its pool.\n" +
	"- **ledger, no queue**: the same call over a connection per caller, as from so many Lambda functions without RDS Proxy.\n" +
	"- **bare INSERT**: the row alone, autocommit, a connection per caller. It touches no product and waits for no lock: the upper bound."

// A design places holds on a product.
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

// hotRound measures every design once on a new database.
func (s *site) hotRound(ctx context.Context, round int, link string, callers int) error {
	for i := range designs {
		design := designs[(round+i)%len(designs)]
		product, err := s.product(ctx)
		if err != nil {
			return err
		}
		op, closing, err := s.open(design, link, callers, product)
		if err != nil {
			return err
		}
		err = s.measure(ctx, hotCase(link, callers, design), load{workers: callers, length: s.length(2 * time.Second), counts: "holds", op: op})
		if err := errors.Join(err, closing()); err != nil {
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

// open connects a design's callers over a link.
func (s *site) open(design, link string, callers int, product string) (op func(context.Context, int) error, closing func() error, err error) {
	dsn := s.adminDSN // the application's user may do nothing but CALL
	if design == theLedger || design == noQueue {
		dsn = s.appDSN
	}
	if link != links[0] {
		cfg, err := mysql.ParseDSN(dsn)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the DSN: %w", err)
		}
		cfg.Net = slowLink
		dsn = cfg.FormatDSN()
	}
	if design == theLedger {
		l, err := ledger.Open(dsn, nothing{})
		if err != nil {
			return nil, nil, err
		}
		return place(l, product), l.Close, nil
	}
	db, err := connect(dsn, callers)
	if err != nil {
		return nil, nil, err
	}
	switch design {
	case noQueue:
		op = place(ledger.New(db, nothing{}), product)
	case selectForUpdate:
		op = func(ctx context.Context, _ int) error { return holdFromClient(ctx, db, product) }
	case bareInsert:
		op = func(ctx context.Context, _ int) error { return insertHold(ctx, db, product) }
	}
	return op, db.Close, nil
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

// holdFromClient is the usual design: the row stays locked during four round trips.
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
