package ledger

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// Accounts are the two users of a database, named after it: flashsale_owner and flashsale_app. The owner has all rights
// on the tables, and the routines run with its rights. The application's user has only EXECUTE and SELECT, so it can
// change stock only through a routine.
type Accounts struct {
	AppDSN   string // for the server and the functions
	ownerDSN string
	admin    *mysql.Config
	owner    account
	app      account
}

type account struct{ name, password string }

// maxDatabaseName keeps the owner's name within MySQL's 32 characters.
const maxDatabaseName = 26

// AccountsOf derives the two users of the database of an administrator's DSN. Their passwords are an HMAC-SHA-256 of the
// administrator's: every process with the DSN can compute them, nothing needs storing, and they do not reveal it.
func AccountsOf(adminDSN string) (Accounts, error) {
	admin, err := Config(adminDSN)
	if err != nil {
		return Accounts{}, err
	}
	if len(admin.DBName) > maxDatabaseName || strings.ContainsAny(admin.DBName, "`'\"\\%") {
		return Accounts{}, fmt.Errorf("reading the DSN: the database's name must have at most %d characters and no quotes", maxDatabaseName)
	}
	a := Accounts{admin: admin}
	a.owner, a.ownerDSN = derive(admin, "owner")
	a.app, a.AppDSN = derive(admin, "app")
	return a, nil
}

func derive(admin *mysql.Config, role string) (account, string) {
	mac := hmac.New(sha256.New, []byte(admin.Passwd))
	mac.Write([]byte("flashsale/" + admin.DBName + "/" + role))
	cfg := admin.Clone()
	cfg.User = admin.DBName + "_" + role
	// The suffix satisfies servers that require upper case, lower case, digits and a special character.
	cfg.Passwd = base64.RawURLEncoding.EncodeToString(mac.Sum(nil)) + "-aA1"
	return account{cfg.User, cfg.Passwd}, cfg.FormatDSN()
}

// signIn is how the application's user authenticates: the part after IDENTIFIED in CREATE USER.
type signIn struct {
	identified string
	args       []any
}

func (a Accounts) byPassword() signIn { return signIn{"BY ?", []any{a.app.password}} }

// byIAM lets Aurora's plugin check the user's token, which travels in clear text and therefore only over TLS.
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.IAMDBAuth.DBAccounts.html
func (Accounts) byIAM() signIn { return signIn{"WITH AWSAuthenticationPlugin AS 'RDS'", nil} }

// create makes the database and its users, or resets the users' passwords and rights.
func (a Accounts) create(ctx context.Context, app signIn) (err error) {
	cfg := a.admin.Clone()
	cfg.DBName = ""     // it may not exist yet
	cfg.ReadTimeout = 0 // as in migrate
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return fmt.Errorf("preparing the administrator's connection: %w", err)
	}
	db := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, db.Close()) }()

	name := a.admin.DBName
	onAll := "`" + strings.ReplaceAll(name, "_", `\_`) + "`.*" // in a GRANT, _ stands for any character
	for _, step := range []struct {
		statement string
		args      []any
	}{
		{"CREATE DATABASE IF NOT EXISTS `" + name + "`", nil},
		{"CREATE USER IF NOT EXISTS ?@'%' IDENTIFIED BY ?", []any{a.owner.name, a.owner.password}},
		{"ALTER USER ?@'%' IDENTIFIED BY ?", []any{a.owner.name, a.owner.password}},
		{"GRANT ALL ON " + onAll + " TO ?@'%'", []any{a.owner.name}},
		{"CREATE USER IF NOT EXISTS ?@'%' IDENTIFIED " + app.identified, append([]any{a.app.name}, app.args...)},
		{"ALTER USER ?@'%' IDENTIFIED " + app.identified, append([]any{a.app.name}, app.args...)},
		{"GRANT SELECT, EXECUTE ON " + onAll + " TO ?@'%'", []any{a.app.name}},
	} {
		if _, err := db.ExecContext(ctx, step.statement, step.args...); err != nil {
			statement, _, _ := strings.Cut(step.statement, " ?")
			return fmt.Errorf("preparing the database and its users (%s; the DSN's user must be allowed to create users): %w", statement, err)
		}
	}
	return nil
}
