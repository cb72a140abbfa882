package ledger

import (
	"context"
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

// call runs one routine, and runs it again after a deadlock, a lost connection or a lost answer, always with the same
// arguments: the ids in them make a repeat find what the first try left. It gives up after maxRetries or callBudget.
//
// The caller's cancellation does not reach the server: a call that is under way runs to its end there in any case, and
// cutting the connection would only lose its answer. The caller's deadline does count.
func (l *Ledger) call(ctx context.Context, routine string, args ...any) (answer, error) {
	budget := callBudget
	if deadline, ok := ctx.Deadline(); ok {
		budget = min(budget, time.Until(deadline))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), budget)
	defer cancel()

	start := time.Now()
	query, args := statement(routine, args)
	for retry := 0; ; retry++ {
		a, err := l.try(ctx, query, args)
		if err == nil {
			l.record(routine, a.outcome, start)
			return a, nil
		}
		what, name := judge(err)
		if (what == repeat || what == repeatLost) && retry < maxRetries && l.pause(ctx, retry) {
			l.rec.Record(checkout.LedgerRetries, 1, name)
			continue
		}
		err = fmt.Errorf("calling %s (try %d): %w", routine, retry+1, err)
		if what == fail {
			l.record(routine, "error", start)
			return answer{}, err
		}
		l.record(routine, "busy", start)
		return answer{}, checkout.Busy(err)
	}
}

// statement writes the CALL. Binary arguments travel as hexadecimal, so that the statement is text everywhere that an
// operator may meet it: the process list, the slow log, InnoDB's lists of transactions and deadlocks.
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
	return "CALL " + routine + "(" + strings.Join(places, ",") + ")", values
}

// turn waits until there is a connection to have, in the order of arrival: database/sql gives a free one to any of those
// who wait, and with 64 callers the unluckiest would wait five times as long as most. It returns how to end the turn.
func (l *Ledger) turn(ctx context.Context) (end func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, acquireTimeout)
	defer cancel()
	if err := l.turns.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("waiting for a turn: %w", err)
	}
	return func() { l.turns.Release(1) }, nil
}

// try takes a connection, in a bounded time, and makes the call once.
func (l *Ledger) try(ctx context.Context, query string, args []any) (a answer, err error) {
	end, err := l.turn(ctx)
	if err != nil {
		return answer{}, err
	}
	defer end()
	acquire, cancel := context.WithTimeout(ctx, acquireTimeout)
	defer cancel()
	conn, err := l.db.Conn(acquire)
	if err != nil {
		return answer{}, fmt.Errorf("taking a connection: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return scanAnswer(conn.QueryRowContext(ctx, query, args...))
}

// pause waits before a retry, with jitter so that those who collided do not meet again; false when there is no time
// left for it.
func (l *Ledger) pause(ctx context.Context, retry int) bool {
	longest := firstBackoff << retry
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
	l.rec.Record(checkout.LedgerCalls, 1, routine, outcome)
	l.rec.Record(checkout.LedgerDuration, time.Since(start).Seconds(), routine)
}
