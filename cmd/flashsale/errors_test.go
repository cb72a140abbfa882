package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// A database that was never migrated has no application user; an administrator that is denied access has a wrong password.
func TestOnlyUnmigratedDatabasesGetTheAdviceToMigrate(t *testing.T) {
	for _, c := range []struct {
		number  uint16
		message string
		want    bool
	}{
		{1045, "Access denied for user 'root'@'localhost' (using password: YES)", false},
		{1045, "Access denied for user 'flashsale_app'@'localhost' (using password: YES)", true},
		{1146, "Table 'flashsale.holds' doesn't exist", true},
		{1176, "Key 'payment_events_received' doesn't exist in table 'payment_events'", true},
		{1213, "Deadlock found when trying to get lock", false},
	} {
		line := oneLine(fmt.Errorf("connecting: %w", &mysql.MySQLError{Number: c.number, Message: c.message}))
		if got := strings.Contains(line, "flashsale migrate"); got != c.want || !strings.Contains(line, c.message) {
			t.Errorf("error %d is shown as %q; expected its message, and the advice to migrate: %v", c.number, line, c.want)
		}
	}
}
