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

// Accounts are the two users of a database: the owner, who has its tables and whose rights the routines run with, and
// the application's, who has EXECUTE and SELECT and so cannot change stock except through a routine. They are named
// after the database: flashsale_owner and flashsale_app.
type Accounts struct {
	AppDSN   string // what the server and the functions connect with
	ownerDSN string
	admin    *mysql.Config
	owner    account
	app      account
}

type account struct{ name, password string }

// maxDatabaseName keeps "_owner" within the 32 characters that MySQL allows a user's name.
const maxDatabaseName = 26

// AccountsOf derives the two users of the database that an administrator's DSN names. Their passwords follow from the
// administrator's by HMAC-SHA-256, so that every process that has the DSN knows them, nothing has to be stored, and
// they tell nothing about it.
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
	// The suffix satisfies servers that ask for upper case, lower case, digits and a special character.
	cfg.Passwd = base64.RawURLEncoding.EncodeToString(mac.Sum(nil)) + "-aA1"
	return account{cfg.User, cfg.Passwd}, cfg.FormatDSN()
}

// signIn says how the application's user proves who it is: what follows IDENTIFIED in CREATE USER.
type signIn struct {
	identified string
	args       []any
}

func (a Accounts) byPassword() signIn { return signIn{"BY ?", []any{a.app.password}} }

// byIAM lets Aurora's plugin check the user's token, which is sent in clear text and so only over TLS.
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.IAMDBAuth.DBAccounts.html
func (Accounts) byIAM() signIn { return signIn{"WITH AWSAuthenticationPlugin AS 'RDS'", nil} }

// create makes the database and its users, or sets the users' passwords and rights right.
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
			what, _, _ := strings.Cut(step.statement, " ?")
			return fmt.Errorf("preparing the database and its users (%s; the DSN's user must be allowed to create users): %w", what, err)
		}
	}
	return nil
}
