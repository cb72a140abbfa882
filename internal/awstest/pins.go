package awstest

import (
	"fmt"
	"regexp"
	"strings"
)

const (
	maxStatement = 16 << 10 // a longer one pins
	maxQuoted    = 80       // characters of a statement in a pin's description
)

var (
	// passable matches the beginning of statements that do not pin. RDS Proxy also passes a few others, such as SETs that
	// it tracks; the checkout sends none of them.
	passable = regexp.MustCompile(`(?i)^\s*(CALL|SELECT|START TRANSACTION READ ONLY$|COMMIT$|ROLLBACK$)\b`)
	// session matches what pins anywhere in a statement: variables, named locks, results of the previous statement.
	session  = regexp.MustCompile(`(?i)@|\b(GET_LOCK|RELEASE_LOCK|RELEASE_ALL_LOCKS|LAST_INSERT_ID|ROW_COUNT|FOUND_ROWS|SQL_CALC_FOUND_ROWS)\b`)
	literals = regexp.MustCompile(`'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|` + "`[^`]*`")
)

// pin returns the reason why RDS Proxy would pin the connection for this command, or "" if it would not.
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/rds-proxy-pinning.html
func pin(command []byte) string {
	if command[0] == comPing {
		return ""
	}
	if command[0] != comQuery {
		return fmt.Sprintf("command 0x%02x", command[0]) // such as a prepared statement
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
