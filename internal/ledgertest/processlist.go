package ledgertest

import (
	"errors"

	"github.com/go-sql-driver/mysql"
)

// Unlisted reports whether MySQL could not list its processes, because a statement of another test has bytes that are no
// text in it.
func Unlisted(err error) bool {
	const cannotConvertString = 3854
	var server *mysql.MySQLError
	return errors.As(err, &server) && server.Number == cannotConvertString
}
