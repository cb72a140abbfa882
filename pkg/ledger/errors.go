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

// The server's error numbers that the ledger handles; no other file knows numbers. Sources: MySQL's "Server Error
// Message Reference" and MariaDB's "Error Code Reference".
const (
	erTooManyConnections = 1040
	erNoSuchDatabase     = 1049
	erServerShutdown     = 1053
	erDuplicateKey       = 1062
	erNoSuchGrant        = 1141
	erNoSuchTable        = 1146
	erCheckread          = 1020 // MariaDB with innodb_snapshot_isolation: the row changed under a snapshot
	erTooManyUserConns   = 1203
	erLockWaitTimeout    = 1205
	erLockDeadlock       = 1213
	erUserLimitReached   = 1226
	erRoutineExists      = 1304
	erNoSuchRoutine      = 1305
	erRoutineDenied      = 1370 // also for a routine that does not exist, so that its name is not revealed
	erQueryInterrupted   = 1317
	erNoSuchDefiner      = 1449 // MySQL, if a call is killed while it looks up the routine's owner
	erAccountsLocked     = 3547 // as erNoSuchDefiner
	erTableDefChanged    = 1412 // a migration changed the table during the call
	erTransactionOpen    = 1568 // an earlier call left its transaction open: see brokenState
	erConnectionKilled   = 1927 // MariaDB
	erBorrowTimeout      = 9501 // RDS Proxy: no database connection became free in time
)

// errorClass says what to do about a failed call.
type errorClass int

const (
	// fail: a defect; nothing was changed.
	fail errorClass = iota
	// retry: the server rolled the call back, or never got it; a retry may succeed.
	retry
	// retryLost: the response was lost, so the call may have happened; a retry with the same ids finds out.
	retryLost
	// giveUp: nothing was changed, and a retry at once would only add load.
	giveUp
)

// classify tells the errors of the driver and the server apart, and names them for metrics.
func classify(err error) (errorClass, string) {
	var server *mysql.MySQLError
	var network net.Error
	var dial *net.OpError
	switch {
	case errors.As(err, &server):
		name := strconv.Itoa(int(server.Number))
		switch server.Number {
		case erLockDeadlock, erCheckread, erNoSuchRoutine, erRoutineDenied, erDuplicateKey, erServerShutdown, erQueryInterrupted,
			erConnectionKilled, erTableDefChanged, erTransactionOpen, erNoSuchDefiner, erAccountsLocked:
			return retry, name
		case erLockWaitTimeout, erTooManyConnections, erTooManyUserConns, erUserLimitReached, erBorrowTimeout:
			return giveUp, name
		}
		return fail, name
	case errors.Is(err, driver.ErrBadConn):
		return retry, "bad_conn"
	case errors.As(err, &dial) && dial.Op == "dial":
		return retry, "dial"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return giveUp, "deadline"
	case errors.Is(err, mysql.ErrInvalidConn), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &network):
		return retryLost, "lost"
	}
	return fail, "unknown"
}

// notMigrated reports whether a call failed because the database lacks its routine.
func notMigrated(err error) bool {
	var server *mysql.MySQLError
	return errors.As(err, &server) && (server.Number == erNoSuchRoutine || server.Number == erRoutineDenied)
}

// brokenState reports whether the connection of a failed call must not serve another. MySQL does not run a routine's
// handlers when the call is killed (1317), so its transaction stays open, with its locks.
func brokenState(err error) bool {
	var server *mysql.MySQLError
	if !errors.As(err, &server) {
		return err != nil // the driver closes most of these itself
	}
	return server.Number == erQueryInterrupted || server.Number == erTransactionOpen
}
