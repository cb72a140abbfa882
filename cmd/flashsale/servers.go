package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"flashsale/internal/devstack"
	"flashsale/pkg/ledger"
)

// localDir has the data of the shop: private servers, the development webhook secret and the development sign-in key. It is the nearest
// one of this directory and those above it, else one that is made here.
var localDir = findLocal()

// serversDir has the private servers.
var serversDir = filepath.Join(localDir, "servers")

// findLocal knows a shop's directory by its files: ~/.local is no shop's.
func findLocal() string {
	const here = ".local"
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		for _, file := range []string{"servers", "webhook-secret", "signin-key.pem"} {
			if _, missing := os.Stat(filepath.Join(dir, here, file)); missing == nil {
				if wd, _ := os.Getwd(); wd == dir {
					return here
				}
				return filepath.Join(dir, here)
			}
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return here
}

// servers are the database and the cache of a command.
type servers struct {
	adminDSN  string
	appDSN    string
	cacheAddr string
	private   bool
	stack     *devstack.Stack // nil if both are given
}

// errNoShop means that a command found no shop to work on. Only run, migrate, with-servers, simulate and product put make private servers.
var errNoShop = errors.New("no shop")

// checkShop refuses a directory without private servers, if the environment gives none. A command in the wrong directory would
// otherwise work on a new, empty shop.
func checkShop(env environment) error {
	if env.config.MySQLDSN != "" {
		return nil
	}
	if _, err := os.Stat(filepath.Join(serversDir, "mysql")); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return noShop("MYSQL_DSN")
}

// noShop refuses a directory without a shop. The variable would do as well.
func noShop(variable string) error {
	here, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("looking for the shop: %w", err)
	}
	return fmt.Errorf("%w in %s: run `flashsale run` there first, use the directory of your shop, or set %s", errNoShop, here, variable)
}

// need is the servers that a command needs.
type need int

const (
	databaseOnly need = iota
	databaseAndCache
)

// openServers returns the servers of the environment, or else the private ones of this directory.
func openServers(env environment, n need) (*servers, error) {
	s := &servers{adminDSN: env.config.MySQLDSN, cacheAddr: env.config.CacheAddr}
	if s.adminDSN == "" || (s.cacheAddr == "" && n == databaseAndCache) {
		stack, err := devstack.Start(env.ctx, devstack.Options{Dir: serversDir, Log: progress})
		if err != nil {
			return nil, fmt.Errorf("starting the private servers: %w", err)
		}
		s.stack = stack
		if s.adminDSN == "" {
			s.adminDSN, s.private = stack.DSN(), true
		}
		if s.cacheAddr == "" {
			s.cacheAddr = stack.CacheAddr()
		}
	}
	given, err := givenServers(s.adminDSN, s.cacheAddr)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.appDSN = given.appDSN
	return s, nil
}

// givenServers returns servers that others start and stop.
func givenServers(adminDSN, cacheAddr string) (*servers, error) {
	accounts, err := ledger.AccountsOf(adminDSN)
	if err != nil {
		return nil, err
	}
	return &servers{adminDSN: adminDSN, appDSN: accounts.DSN(ledger.RoleApp), cacheAddr: cacheAddr}, nil
}

// Close releases the private servers. The last user stops them.
func (s *servers) Close() error {
	if s.stack == nil {
		return nil
	}
	return s.stack.Close()
}

// keep restarts private servers that end. The context that it returns also ends if one cannot be restarted. Call release
// before Close: it returns the reason.
func (s *servers) keep(ctx context.Context) (kept context.Context, release func() error) {
	if s.stack == nil {
		return ctx, func() error { return nil }
	}
	kept, cancel := context.WithCancel(ctx)
	result := make(chan error, 1)
	go func() {
		defer cancel()
		result <- s.stack.Keep(kept)
	}()
	return kept, func() error { cancel(); return <-result }
}

// progress reports a step that may take long.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "flashsale: "+format+"\n", args...)
}

// write prints to standard output. It returns errors, such as a closed pipe.
func write(out io.Writer, format string, args ...any) error {
	if _, err := fmt.Fprintf(out, format, args...); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}
