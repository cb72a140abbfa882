package ledger

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// Accounts are the users of a database, named after it: flashsale_owner, and one for each role, such as flashsale_holds. The
// owner has all rights on the tables, and the routines run with its rights. A role's user has only the rights of its role,
// so it can change stock only through a routine.
type Accounts struct {
	admin *mysql.Config
	owner account
	roles map[Role]account
}

type account struct{ name, password, dsn string }

// maxDatabaseName keeps the longest user's name within MySQL's 32 characters.
const maxDatabaseName = 23

// AccountsOf derives the users of the database of an administrator's DSN. Their passwords are an HMAC-SHA-256 of the
// administrator's: every process with the DSN can compute them, nothing needs storing, and they do not reveal it.
func AccountsOf(adminDSN string) (Accounts, error) {
	admin, err := Config(adminDSN)
	if err != nil {
		return Accounts{}, err
	}
	if len(admin.DBName) > maxDatabaseName || strings.ContainsAny(admin.DBName, "`'\"\\%") {
		return Accounts{}, fmt.Errorf("reading the DSN: the database's name must have at most %d characters and no quotes", maxDatabaseName)
	}
	a := Accounts{admin: admin, owner: derive(admin, "owner"), roles: map[Role]account{}}
	for _, role := range Roles() {
		a.roles[role] = derive(admin, string(role))
	}
	return a, nil
}

// DSN is what a role's user signs in with.
func (a Accounts) DSN(r Role) string { return a.roles[r].dsn }

// Users lists the names of all users.
func (a Accounts) Users() []string {
	names := []string{a.owner.name}
	for _, role := range Roles() {
		names = append(names, a.roles[role].name)
	}
	return names
}

func derive(admin *mysql.Config, role string) account {
	mac := hmac.New(sha256.New, []byte(admin.Passwd))
	mac.Write([]byte("flashsale/" + admin.DBName + "/" + role))
	cfg := admin.Clone()
	cfg.User = Role(role).User(admin.DBName)
	// The suffix satisfies servers that require upper case, lower case, digits and a special character.
	cfg.Passwd = base64.RawURLEncoding.EncodeToString(mac.Sum(nil)) + "-aA1"
	return account{cfg.User, cfg.Passwd, cfg.FormatDSN()}
}

// signIn is how a role's user authenticates: the part after IDENTIFIED in CREATE USER.
type signIn func(account) (identified string, args []any)

func byPassword(a account) (string, []any) { return "BY ?", []any{a.password} }

// byIAM lets Aurora's plugin check the user's token, which travels in clear text and therefore only over TLS.
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.IAMDBAuth.DBAccounts.html
func byIAM(account) (string, []any) { return "WITH AWSAuthenticationPlugin AS 'RDS'", nil }

type step struct {
	statement string
	args      []any
}

// refuseOthers fails if a user that create would take over is somebody else's: the administrator's own, or one with rights
// that none of ours has.
func (a Accounts) refuseOthers(ctx context.Context) (err error) {
	db, err := a.connect("") // the database may not exist yet
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, name := range a.Users() {
		if name == a.admin.User {
			return fmt.Errorf("the DSN signs in as %s, which is the name of a user that the migration makes: use another administrator or another database", name)
		}
		grants, err := grantsOf(ctx, db, name)
		if err != nil {
			return fmt.Errorf("reading the rights of the user %s: %w", name, err)
		}
		for _, grant := range grants {
			if !a.isOurs(grant, name == a.owner.name) {
				return fmt.Errorf("the user %s exists and has rights that the migration does not give: rename it, or use another database", name)
			}
		}
	}
	return nil
}

// grantsOf lists the rights of a user; none if there is no such user.
func grantsOf(ctx context.Context, db *sql.DB, name string) ([]string, error) {
	rows, err := db.QueryContext(ctx, "SHOW GRANTS FOR ?@'%'", name)
	var grants []string
	if err == nil {
		grants, err = scanAll(rows, scanOne[string]) // MariaDB reports a missing user only here
	}
	var server *mysql.MySQLError
	if errors.As(err, &server) && server.Number == erNoSuchGrant {
		return nil, nil
	}
	return grants, err
}

// grantForm splits a line of SHOW GRANTS into the rights and what they are on.
var grantForm = regexp.MustCompile(`^GRANT (.+) ON (?:PROCEDURE )?(\S+) TO `)

// isOurs reports whether a line of SHOW GRANTS can be from a migration of this database.
func (a Accounts) isOurs(grant string, owner bool) bool {
	parts := grantForm.FindStringSubmatch(grant)
	if parts == nil {
		return false
	}
	if parts[1] == "USAGE" {
		return true
	}
	database := strings.ReplaceAll(parts[2], `\`, "")
	if !strings.HasPrefix(database, "`"+a.admin.DBName+"`.") || strings.Contains(grant, "WITH GRANT OPTION") {
		return false
	}
	if owner {
		return true
	}
	for right := range strings.SplitSeq(parts[1], ", ") {
		if right != "SELECT" && right != "EXECUTE" {
			return false
		}
	}
	return true
}

// create makes the database and its users, or resets the users' passwords. The owner gets its rights.
func (a Accounts) create(ctx context.Context, roles signIn) error {
	users, args := []string{"?@'%' IDENTIFIED BY ?"}, []any{a.owner.name, a.owner.password}
	for _, role := range Roles() {
		identified, more := roles(a.roles[role])
		users, args = append(users, "?@'%' IDENTIFIED "+identified), append(append(args, a.roles[role].name), more...)
	}
	list := strings.Join(users, ", ")
	return a.execute(ctx, []step{
		{"CREATE DATABASE IF NOT EXISTS `" + a.admin.DBName + "`", nil},
		{"CREATE USER IF NOT EXISTS " + list, args},
		{"ALTER USER " + list, args},
		{"GRANT ALL ON " + a.onAll() + " TO ?@'%'", []any{a.owner.name}},
	})
}

// grant gives each role its rights on the tables and routines, which exist now. RoleApp has more: programs of the release
// before 00004 sign in as its user and call routines that have no digest in their names.
func (a Accounts) grant(ctx context.Context) error {
	to := map[string][]any{"SELECT, EXECUTE ON " + a.onAll(): {a.roles[RoleApp].name}} // users, by right
	for _, role := range Roles() {
		if role == RoleApp {
			continue
		}
		user, may := a.roles[role].name, rightsOf[role]
		if may.tables == nil {
			to["SELECT ON "+a.onAll()] = append(to["SELECT ON "+a.onAll()], user)
		}
		for _, table := range may.tables {
			right := "SELECT ON `" + a.admin.DBName + "`." + table
			to[right] = append(to[right], user)
		}
		for _, routine := range may.routines {
			right := "EXECUTE ON PROCEDURE `" + a.admin.DBName + "`." + routines[routine].installed
			to[right] = append(to[right], user)
		}
	}
	var steps []step
	for _, right := range slices.Sorted(maps.Keys(to)) {
		users := strings.TrimSuffix(strings.Repeat("?@'%', ", len(to[right])), ", ")
		steps = append(steps, step{"GRANT " + right + " TO " + users, to[right]})
	}
	return a.execute(ctx, steps)
}

// onAll names all tables and routines of the database in a GRANT, where _ stands for any character.
func (a Accounts) onAll() string { return "`" + strings.ReplaceAll(a.admin.DBName, "_", `\_`) + "`.*" }

// connect opens the administrator's connection to a database, or to none. Its statements may wait, as those of migrate.
func (a Accounts) connect(database string) (*sql.DB, error) {
	cfg := a.admin.Clone()
	cfg.DBName, cfg.ReadTimeout = database, 0
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("preparing the administrator's connection: %w", err)
	}
	return sql.OpenDB(connector), nil
}

// execute runs statements as the administrator.
func (a Accounts) execute(ctx context.Context, steps []step) (err error) {
	db, err := a.connect("") // the database may not exist yet
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, step := range steps {
		if _, err := db.ExecContext(ctx, step.statement, step.args...); err != nil {
			statement, _, _ := strings.Cut(step.statement, " ?")
			return fmt.Errorf("preparing the database and its users (%s; the DSN's user must be allowed to create users): %w", statement, err)
		}
	}
	return nil
}
