package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// A routine is installed under its file's name and the digest of its text, such as place_hold_1f0c9a3e. So two releases
// with different routines run side by side on one database: a migration creates what its release calls, and never changes
// or drops what the release before calls.

// routines are the installed names and the texts of routines/*.sql, by file name without .sql.
var routines = loadRoutines(routineFiles)

type routine struct {
	installed string
	text      string // with the installed names of the routines it calls
}

// routineUse finds the routines that a text creates or calls.
var routineUse = regexp.MustCompile(`\b(CREATE PROCEDURE|CALL) (\w+)`)

// loadRoutines panics if a text calls a routine that has no file, or itself: both are defects of this program.
func loadRoutines(files fs.FS) map[string]routine {
	all := map[string]routine{}
	names, err := fs.Glob(files, "routines/*.sql")
	if err != nil {
		panic(err)
	}
	var load func(name string) routine
	load = func(name string) routine {
		if r, ok := all[name]; ok {
			if r.installed == "" {
				panic("the routine " + name + " calls itself")
			}
			return r
		}
		all[name] = routine{}
		text, err := fs.ReadFile(files, path.Join("routines", name+".sql"))
		if err != nil {
			panic(err)
		}
		called := routineUse.ReplaceAllStringFunc(string(text), func(use string) string {
			verb, other, _ := strings.Cut(use, " ")
			if verb != "CALL" {
				return use
			}
			return "CALL " + load(other).installed
		})
		installed := fmt.Sprintf("%s_%.4x", name, sha256.Sum256([]byte(called)))
		all[name] = routine{installed, strings.Replace(called, "CREATE PROCEDURE "+name, "CREATE PROCEDURE "+installed, 1)}
		return all[name]
	}
	for _, name := range names {
		load(strings.TrimSuffix(path.Base(name), ".sql"))
	}
	return all
}

// keptReleases is how many releases keep their routines: the latest that migrated this database.
const keptReleases = 5

// installRoutines creates the routines that are missing, and drops those that only releases before the latest ones call.
// It can run again after it was killed at any point.
func installRoutines(ctx context.Context, db *sql.DB) error {
	installed, err := installedRoutines(ctx, db)
	if err != nil {
		return err
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(routines)) {
		r := routines[name]
		names = append(names, r.installed)
		if slices.Contains(installed, r.installed) {
			continue
		}
		_, err := db.ExecContext(ctx, r.text)
		var server *mysql.MySQLError
		if errors.As(err, &server) && server.Number == erRoutineExists { // a concurrent migration made it
			continue
		}
		if err != nil {
			return fmt.Errorf("creating the routine %s: %w", name, err)
		}
	}
	return dropRoutines(ctx, db, installed, names)
}

// dropRoutines records that this release uses names, and drops what no kept release uses. It leaves routines without a
// digest alone: releases before 00004 call them.
func dropRoutines(ctx context.Context, db *sql.DB, installed, names []string) error {
	list := strings.Join(names, "\n")
	if _, err := db.ExecContext(ctx, `
		INSERT INTO releases (id, routines, migrated_at) VALUES (UNHEX(SHA2(?, 256)), ?, UTC_TIMESTAMP(6))
		ON DUPLICATE KEY UPDATE migrated_at = UTC_TIMESTAMP(6)`, list, list); err != nil {
		return fmt.Errorf("recording the release: %w", err)
	}
	rows, err := db.QueryContext(ctx, "SELECT routines FROM releases ORDER BY migrated_at DESC LIMIT ?", keptReleases)
	if err != nil {
		return fmt.Errorf("reading the releases: %w", err)
	}
	kept, err := scanAll(rows, scanOne[string])
	if err != nil {
		return fmt.Errorf("reading the releases: %w", err)
	}
	used := strings.Split(strings.Join(kept, "\n"), "\n")
	for _, name := range installed {
		if versioned.MatchString(name) && !slices.Contains(used, name) {
			if _, err := db.ExecContext(ctx, "DROP PROCEDURE IF EXISTS `"+name+"`"); err != nil {
				return fmt.Errorf("dropping the routine %s of an old release: %w", name, err)
			}
		}
	}
	return nil
}

var versioned = regexp.MustCompile(`_[0-9a-f]{8}$`)

// querier is a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func installedRoutines(ctx context.Context, db querier) ([]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT routine_name FROM information_schema.routines WHERE routine_schema = DATABASE()")
	if err != nil {
		return nil, fmt.Errorf("listing the routines: %w", err)
	}
	names, err := scanAll(rows, scanOne[string])
	if err != nil {
		return nil, fmt.Errorf("listing the routines: %w", err)
	}
	return names, nil
}

// ErrNotMigrated means that the database lacks routines of this release: run `flashsale migrate`.
var ErrNotMigrated = errors.New("the database lacks routines of this release: run flashsale migrate")

// ErrNewerSchema means that a newer release migrated the database. Nothing was changed.
var ErrNewerSchema = errors.New("a newer release has migrated this database, and this one does not take it back")
