package ledger

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strconv"

	"github.com/go-sql-driver/mysql"
)

// The server's error numbers that mean something here. MySQL: "Server Error Message Reference"; MariaDB: "MariaDB
// Error Code Reference". This is the only place that knows them.
const (
	erTooManyConnections = 1040
	erServerShutdown     = 1053
	erDuplicateKey       = 1062
	erCheckread          = 1020 // MariaDB with innodb_snapshot_isolation: the row changed under a snapshot
	erTooManyUserConns   = 1203
	erLockWaitTimeout    = 1205
	erLockDeadlock       = 1213
	erUserLimitReached   = 1226
	erRoutineExists      = 1304
	erNoSuchRoutine      = 1305 // a migration is between DROP and CREATE PROCEDURE
	erQueryInterrupted   = 1317
	erConnectionKilled   = 1927 // MariaDB
	erBorrowTimeout      = 9501 // RDS Proxy: no connection to the database became free in time
)

// verdict says what to do about a failed call.
type verdict int

const (
	// fail: it should not have happened; nothing was changed.
	fail verdict = iota
	// repeat: the server rolled it back, or never had it; the same call may succeed.
	repeat
	// repeatLost: the answer was lost, so it may or may not have happened; the same call with the same ids finds out.
	repeatLost
	// giveUp: nothing was changed, and a repeat at once would only add to the load.
	giveUp
)

// judge tells errors of the driver and the server apart, and names them for metrics.
func judge(err error) (verdict, string) {
	var server *mysql.MySQLError
	var network net.Error
	var dial *net.OpError
	switch {
	case errors.As(err, &server):
		name := strconv.Itoa(int(server.Number))
		switch server.Number {
		case erLockDeadlock, erCheckread, erNoSuchRoutine, erDuplicateKey, erServerShutdown, erQueryInterrupted, erConnectionKilled:
			return repeat, name
		case erLockWaitTimeout, erTooManyConnections, erTooManyUserConns, erUserLimitReached, erBorrowTimeout:
			return giveUp, name
		}
		return fail, name
	case errors.Is(err, driver.ErrBadConn):
		return repeat, "bad_conn"
	case errors.As(err, &dial) && dial.Op == "dial":
		return repeat, "dial"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return giveUp, "deadline"
	case errors.Is(err, mysql.ErrInvalidConn), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &network):
		return repeatLost, "lost"
	}
	return fail, "unknown"
}
