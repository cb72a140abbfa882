package ledger_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// byIAM is the clause of Aurora's plugin, which no server here has.
const byIAM = "IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'"

// tap is a network for DSNs. Through it a test can read the statements, and replace a clause in them.
type tap struct {
	name        string
	clause, new string // replaced in every statement, if not empty

	mu         sync.Mutex
	statements []string
}

func newTap(t *testing.T, clause, replacement string) *tap {
	t.Helper()
	p := &tap{name: "tap" + randomName(t), clause: clause, new: replacement}
	mysql.RegisterDialContext(p.name, func(ctx context.Context, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		return &tapped{conn, p}, err
	})
	t.Cleanup(func() { mysql.DeregisterDialContext(p.name) })
	return p
}

// seen returns the statements that contain text.
func (p *tap) seen(text string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.statements), func(s string) bool { return !strings.Contains(s, text) })
}

type tapped struct {
	net.Conn
	tap *tap
}

// Write gets one packet, because the driver writes each at once.
func (c *tapped) Write(packet []byte) (int, error) {
	const header, query = 4, 0x03
	if len(packet) <= header || packet[3] != 0 || packet[header] != query {
		return c.Conn.Write(packet)
	}
	c.tap.mu.Lock()
	c.tap.statements = append(c.tap.statements, string(packet[header+1:]))
	c.tap.mu.Unlock()
	body := packet[header:]
	if c.tap.clause != "" {
		body = bytes.ReplaceAll(body, []byte(c.tap.clause), []byte(c.tap.new))
	}
	n := len(body)
	_, err := c.Conn.Write(append([]byte{byte(n), byte(n >> 8), byte(n >> 16), 0}, body...))
	return len(packet), err
}

func randomName(t *testing.T) string {
	t.Helper()
	b := make([]byte, 6)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b)
}

// iamSchema is a schema that does not exist yet: an administrator's DSN for it through the tap, and a direct connection
// to the server. Everything created is dropped at the end.
func iamSchema(t *testing.T, p *tap) (name, dsn string, admin *sql.DB) {
	t.Helper()
	cfg, err := mysql.ParseDSN(ledgertest.ServerDSN(t))
	if err != nil {
		t.Fatal(err)
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	admin, name = sql.OpenDB(connector), "fs_"+randomName(t)
	behind := cfg.Clone()
	behind.Net, behind.DBName = p.name, name
	t.Cleanup(func() {
		ledgertest.Drop(t, admin, behind.FormatDSN())
		_ = admin.Close()
	})
	return name, behind.FormatDSN(), admin
}

// users returns the users of a schema.
func users(t *testing.T, admin *sql.DB, schema string) []string {
	t.Helper()
	rows, err := admin.QueryContext(context.Background(), "SELECT user FROM mysql.user WHERE user LIKE ? ORDER BY user", schema+`\_%`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var found []string
	for rows.Next() {
		var user string
		if err := rows.Scan(&user); err != nil {
			t.Fatal(err)
		}
		found = append(found, user)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// Without Aurora's plugin the server refuses the application's user (error 1524 on MySQL and MariaDB), and the
// migration names the step. The earlier steps are done, and can be repeated.
func TestMigrateForIAMAsksForAurorasPlugin(t *testing.T) {
	t.Parallel()
	p := newTap(t, "", "")
	name, dsn, admin := iamSchema(t, p)
	for range 2 {
		err := ledger.MigrateForIAM(context.Background(), dsn)
		var server *mysql.MySQLError
		if !errors.As(err, &server) || server.Number != 1524 || !strings.Contains(err.Error(), "CREATE USER IF NOT EXISTS") {
			t.Fatalf("got %v, expected error 1524 at CREATE USER", err)
		}
		if got := users(t, admin, name); len(got) > 1 || len(got) == 1 && got[0] != name+"_owner" {
			t.Errorf("the users are %v, expected at most the owner", got)
		}
	}
	got, want := p.seen("AWSAuthenticationPlugin"), "'"+name+"_app'@'%' "+byIAM
	if len(got) != 2 || !strings.HasPrefix(got[0], "CREATE USER IF NOT EXISTS") || !strings.Contains(got[0], want) {
		t.Errorf("got %q, expected CREATE USER with %q, twice", got, want)
	}
}

// The rest of the migration, on a server that gets a password instead of the plugin's clause. It results in the same
// schema and rights as Migrate, and can be repeated.
func TestMigrateForIAMDiffersOnlyByPlugin(t *testing.T) {
	t.Parallel()
	const password = "Stands-for-1-token"
	p := newTap(t, byIAM, "IDENTIFIED BY '"+password+"'")
	name, dsn, admin := iamSchema(t, p)
	for range 2 {
		if err := ledger.MigrateForIAM(context.Background(), dsn); err != nil {
			t.Fatal(err)
		}
	}
	got := p.seen("AWSAuthenticationPlugin")
	if len(got) != 4 || !strings.HasPrefix(got[0], "CREATE USER IF NOT EXISTS") || !strings.HasPrefix(got[1], "ALTER USER") {
		t.Fatalf("the statements with the plugin are %q, expected CREATE USER and ALTER USER, twice each", got)
	}
	for _, statement := range got {
		for _, role := range ledger.Roles() {
			if want := "'" + name + "_" + string(role) + "'@'%' " + byIAM; !strings.Contains(statement, want) {
				t.Errorf("%q lacks %q", statement, want)
			}
		}
	}
	if got := users(t, admin, name); len(got) != 1+len(ledger.Roles()) {
		t.Errorf("the users are %v, expected the owner and one for each role", got)
	}
	mustGrant(t, admin, name)

	cfg, err := ledger.Config(dsn)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Net, cfg.User, cfg.Passwd = "tcp", name+"_app", password
	l, err := ledger.OpenProxy(cfg, checkout.NoRecorder{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if a, err := l.Audit(context.Background()); err != nil || !a.Clean {
		t.Errorf("the application's user gets the audit %+v (%v), expected a clean one", a, err)
	}
	if _, err := l.Hold(context.Background(), checkout.Caller{}, ledgertest.NewID()); checkout.CodeOf(err) != checkout.CodeHoldNotFound {
		t.Errorf("the application's user gets %v from a routine, expected hold_not_found", err)
	}
}

// mustGrant compares the application's rights with those from Migrate.
func mustGrant(t *testing.T, admin *sql.DB, name string) {
	t.Helper()
	rows, err := admin.QueryContext(context.Background(), "SHOW GRANTS FOR "+name+"_app@'%'")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		var grant string
		if err := rows.Scan(&grant); err != nil {
			t.Fatal(err)
		}
		rights, _, _ := strings.Cut(grant, " TO ")
		all = append(all, strings.ReplaceAll(rights, `\`, ""))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"GRANT USAGE ON *.*", "GRANT SELECT, EXECUTE ON `" + name + "`.*"}; !slices.Equal(all, want) {
		t.Errorf("rights %q, want %q", all, want)
	}
}
