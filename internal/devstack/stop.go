package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// ErrInUse means that another process uses the servers of a directory.
var ErrInUse = errors.New("another process uses the private servers")

// Stop stops the servers that killed processes left behind in the directory, and reports whether there were any. It
// refuses with ErrInUse while a process uses them.
func Stop(ctx context.Context, dir string) (stopped bool, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return false, fmt.Errorf("devstack: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "use.lock")); errors.Is(err, os.ErrNotExist) {
		return false, ctx.Err()
	}
	s := &Stack{dir: dir, log: func(string, ...any) {}}
	if s.use, err = openLock(s.usePath()); err != nil {
		return false, fmt.Errorf("devstack: %w", err)
	}
	defer func() { err = errors.Join(err, s.use.close()) }()
	if free, err := s.use.try(syscall.LOCK_EX); err != nil || !free {
		return false, errors.Join(ErrInUse, err)
	}
	s.cache = &server{name: "the cache", dir: filepath.Join(dir, "cache"), grace: cacheGrace}
	s.database = &database{server: server{name: "the database", dir: filepath.Join(dir, "mysql"), grace: databaseGrace}}
	if len(serversIn(s.cache.dir))+len(serversIn(s.database.dir)) == 0 {
		return false, nil
	}
	if s.state, err = readState(dir); err != nil {
		s.state = state{} // only its ports matter
	}
	// The processes are found by their directory; those of the record may have ended.
	s.state.MySQL.process, s.state.Cache.process = process{}, process{}
	if err := s.stop(); err != nil {
		return false, fmt.Errorf("devstack: %w", err)
	}
	return true, nil
}
