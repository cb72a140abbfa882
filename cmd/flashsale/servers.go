package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"flashsale/internal/devstack"
	"flashsale/pkg/ledger"
)

// localDir holds what belongs to this directory: private servers, the development webhook secret.
const localDir = ".local"

// servers are the database and the cache that a command works on.
type servers struct {
	adminDSN  string
	appDSN    string
	cacheAddr string
	private   bool
	stack     *devstack.Stack // nil when both are given
}

// need says which servers a command works on.
type need int

const (
	databaseOnly need = iota
	databaseAndCache
)

// openServers returns the servers that the environment names, else the private ones of this directory.
func openServers(env environment, n need) (*servers, error) {
	s := &servers{adminDSN: env.config.MySQLDSN, cacheAddr: env.config.CacheAddr}
	if s.adminDSN == "" || (s.cacheAddr == "" && n == databaseAndCache) {
		stack, err := devstack.Start(env.ctx, devstack.Options{Dir: filepath.Join(localDir, "servers"), Log: progress})
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
	accounts, err := ledger.AccountsOf(s.adminDSN)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.appDSN = accounts.AppDSN
	return s, nil
}

// Close gives the private servers up; the last user stops them.
func (s *servers) Close() error {
	if s.stack == nil {
		return nil
	}
	return s.stack.Close()
}

// progress tells a person what takes so long.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "flashsale: "+format+"\n", args...)
}

// write prints to standard output; a closed pipe is an error like any other.
func write(out io.Writer, format string, args ...any) error {
	if _, err := fmt.Fprintf(out, format, args...); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}
