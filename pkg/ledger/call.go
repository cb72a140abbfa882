package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"flashsale/pkg/checkout"
)

const (
	maxRetries   = 4
	firstBackoff = 5 * time.Millisecond
)

// call runs one routine that returns the row of snapshot.
func (l *Ledger) call(ctx context.Context, routine string, args ...any) (result, error) {
	r, err := callFor(ctx, l, scanResult, routine, args...)
	if err == nil {
		l.remember(r.hold)
	}
	return r, err
}

// returned is the row of a routine.
type returned interface {
	outcomeName() string
	productState() *checkout.Product // nil: the row has none
}

// callFor runs one routine. After a deadlock, a lost connection or a lost response it retries with the same arguments: the
// ids in them let a retry find what the first try did. It gives up after maxRetries or callBudget.
//
// It ignores the caller's cancellation but keeps the deadline: the server finishes a call in any case, and cutting the
// connection would only lose the response.
func callFor[R returned](ctx context.Context, l *Ledger, scan func(*sql.Rows) (R, error), routine string, args ...any) (none R, err error) {
	budget := callBudget
	if deadline, ok := ctx.Deadline(); ok {
		budget = min(budget, time.Until(deadline))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), budget)
	defer cancel()

	start := time.Now()
	query, values := statement(routine, args)
	for tries := 1; ; tries++ {
		r, err := try(ctx, l, scan, routine, query, args, values)
		if err == nil {
			l.record(routine, r.outcomeName(), start)
			return r, nil
		}
		class, name := classify(err)
		if (class == retry || class == retryLost) && tries <= maxRetries && l.backOff(ctx, tries) {
			l.rec.Record(checkout.LedgerRetries, 1, name)
			continue
		}
		err = fmt.Errorf("calling %s (try %d): %w", routine, tries, err)
		if notMigrated(err) {
			err = fmt.Errorf("%w: %w", ErrNotMigrated, err)
		}
		if class == fail {
			l.record(routine, "error", start)
			return none, err
		}
		l.record(routine, "busy", start)
		return none, checkout.Busy(err)
	}
}

// statement writes the CALL. Binary arguments travel as hexadecimal, so that the statement is readable in the process
// list, the slow log, and InnoDB's lists of transactions and deadlocks.
func statement(routine string, args []any) (string, []any) {
	places, values := make([]string, len(args)), make([]any, len(args))
	for i, arg := range args {
		places[i], values[i] = "?", arg
		if b, ok := arg.([]byte); ok {
			places[i], values[i] = "UNHEX(?)", nil
			if b != nil {
				values[i] = hex.EncodeToString(b)
			}
		}
	}
	return "CALL " + routines[routine].installed + "(" + strings.Join(places, ",") + ")", values
}

// try makes the call once. It limits the waits for a place in the lane and for a connection.
func try[R returned](ctx context.Context, l *Ledger, scan func(*sql.Rows) (R, error), routine, query string, args, values []any) (r R, err error) {
	leave, err := l.enter(ctx, routine, args)
	if err != nil {
		return r, err
	}
	defer leave()
	connecting, cancel := context.WithTimeout(ctx, acquireTimeout)
	defer cancel()
	conn, err := l.db.Conn(connecting)
	if err != nil {
		return r, fmt.Errorf("taking a connection: %w", err)
	}
	defer func() {
		if brokenState(err) {
			_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // closes it, which ends its transaction
		}
		if closed := conn.Close(); !errors.Is(closed, sql.ErrConnDone) {
			err = errors.Join(err, closed)
		}
	}()
	asked := time.Now()
	rows, err := conn.QueryContext(ctx, query, values...)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if !rows.Next() {
		return r, errors.Join(rows.Err(), sql.ErrNoRows)
	}
	if r, err = scan(rows); err == nil && r.productState() != nil {
		r.productState().AskedAt = asked
	}
	return r, err
}

// backOff sleeps before a retry. Jitter keeps callers that collided from colliding again. It returns false if ctx ends
// first.
func (l *Ledger) backOff(ctx context.Context, tries int) bool {
	longest := firstBackoff << (tries - 1)
	timer := time.NewTimer(longest/2 + rand.N(longest/2)) //nolint:gosec // G404: jitter, not a secret
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *Ledger) record(routine, outcome string, start time.Time) {
	if upkeep[routine] {
		return
	}
	l.rec.Record(checkout.LedgerCalls, 1, routine, outcome)
	l.rec.Record(checkout.LedgerDuration, time.Since(start).Seconds(), routine)
}
