package awstest

import (
	"fmt"
	"regexp"
	"strings"
)

const (
	maxStatement = 16 << 10 // a longer one pins
	maxQuoted    = 80       // of a statement in a pin's description
)

var (
	// passable is how a statement begins that RDS Proxy does not pin on. Some others it lets pass too, such as a few SETs
	// that it tracks; the checkout sends none of them.
	passable = regexp.MustCompile(`(?i)^\s*(CALL|SELECT|START TRANSACTION READ ONLY$|COMMIT$|ROLLBACK$)\b`)
	// session is what it pins on anywhere in a statement: variables, named locks, what the last statement did.
	session  = regexp.MustCompile(`(?i)@|\b(GET_LOCK|RELEASE_LOCK|RELEASE_ALL_LOCKS|LAST_INSERT_ID|ROW_COUNT|FOUND_ROWS|SQL_CALC_FOUND_ROWS)\b`)
	literals = regexp.MustCompile(`'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|` + "`[^`]*`")
)

// pin says why RDS Proxy would keep a connection of the database for the client that sent a command; "" if it would not.
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/rds-proxy-pinning.html
func pin(command []byte) string {
	if command[0] == comPing {
		return ""
	}
	if command[0] != comQuery {
		return fmt.Sprintf("command 0x%02x", command[0]) // a prepared statement, for one
	}
	text := string(command[1:])
	bare := literals.ReplaceAllString(text, "''")
	switch {
	case len(text) > maxStatement:
		return fmt.Sprintf("a statement of %d bytes: %.*s", len(text), maxQuoted, text)
	case !passable.MatchString(bare):
		return fmt.Sprintf("%.*s", maxQuoted, text)
	case session.MatchString(bare):
		return fmt.Sprintf("%s in %.*s", session.FindString(bare), maxQuoted, text)
	case strings.Contains(bare, ";"):
		return fmt.Sprintf("several statements: %.*s", maxQuoted, text)
	}
	return ""
}
