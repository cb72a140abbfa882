package main

import (
	"errors"
	"strings"

	"github.com/go-sql-driver/mysql"

	"flashsale/pkg/checkout"
)

// oneLine formats an error in one line, with advice for an unmigrated database.
func oneLine(err error) string {
	text := strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "\n", "; ")), " ")
	var domain *checkout.Error
	if errors.As(err, &domain) && len(domain.Fields) > 0 {
		parts := make([]string, len(domain.Fields))
		for i, f := range domain.Fields {
			parts[i] = f.Field + ": " + f.Detail
		}
		text = strings.Join(parts, "; ")
	}
	var server *mysql.MySQLError
	if errors.As(err, &server) && unmigrated(server) {
		text += " (has this database been migrated? try: flashsale migrate)"
	}
	return text
}

// unmigrated reports whether a database that was never migrated, or lacks the latest migrations, returns this error. If access is denied to the
// application's user (…_app), the user may not exist yet; for an administrator the password is wrong.
func unmigrated(err *mysql.MySQLError) bool {
	switch err.Number {
	case erNoSuchTable, erNoSuchIndex, erNoSuchRoutine, erRoutineAccessDenied:
		return true
	case erAccessDenied:
		return strings.Contains(err.Message, "_app'@")
	}
	return false
}

// Errors that a database returns to the application's user before a migration.
const (
	erAccessDenied        = 1045
	erNoSuchTable         = 1146
	erNoSuchIndex         = 1176
	erNoSuchRoutine       = 1305
	erRoutineAccessDenied = 1370
)
