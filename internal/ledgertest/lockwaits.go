package ledgertest

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// Each transaction of InnoDB's status names its connection and, after one or two names of its host, its user:
// "MySQL thread id 12, OS thread handle 1, query id 3 localhost 127.0.0.1 fs_1_app updating".
var statusConnection = regexp.MustCompile(`(?m)^(?:MySQL|MariaDB) thread id (\d+), .* query id \d+ (.*)`)

// LockWaits lists the schema's connections whose calls wait for a row's lock at this moment, from InnoDB's status.
// (information_schema.innodb_trx is a copy that the server does not renew while it is read every 100 ms: where two tests
// look at it, neither sees anything new.)
func (e *Env) LockWaits(tb testing.TB) (connections []int64) {
	tb.Helper()
	var engine, name, status string
	if err := e.Admin.QueryRowContext(context.Background(), "SHOW ENGINE INNODB STATUS").Scan(&engine, &name, &status); err != nil {
		tb.Fatalf("reading InnoDB's status: %v", err)
	}
	users := " " + must(mysql.ParseDSN(e.AdminDSN))(tb).DBName + "_"
	for _, transaction := range strings.Split(status, "\n---TRANSACTION ")[1:] { // the part before them is about an earlier deadlock
		c := statusConnection.FindStringSubmatch(transaction)
		if c != nil && strings.Contains(c[2], users) && strings.Contains(transaction, "\nLOCK WAIT ") {
			connections = append(connections, must(strconv.ParseInt(c[1], 10, 64))(tb))
		}
	}
	return connections
}
