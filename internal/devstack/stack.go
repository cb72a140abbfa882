package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Options configure Start.
type Options struct {
	Dir string                           // created if missing; each directory has one pair of servers
	Log func(format string, args ...any) // progress messages; may be nil
}

// Stack is this process's use of a directory's servers.
type Stack struct {
	dir      string
	use      *fileLock // kept open: it stays the same file even if the directory is deleted
	database *database
	cache    *server
	log      func(string, ...any)
	state    state
	closing  sync.Once
	closed   error
}

// Start makes sure that the directory's servers run and respond. It installs, initialises and starts them if needed.
// ctx limits that work, not the life of the servers. The caller must Close the Stack.
func Start(ctx context.Context, o Options) (*Stack, error) {
	programs, err := install(ctx, o.Log)
	if err != nil {
		return nil, fmt.Errorf("devstack: %w", err)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("devstack: %w", err)
	}
	s := &Stack{dir: dir, log: func(format string, args ...any) { report(o.Log, format, args...) }}
	if err := s.start(ctx, programs); err != nil {
		return nil, fmt.Errorf("devstack: %w", s.explain(err))
	}
	return s, nil
}

// DSN is a go-sql-driver DSN of an administrator of the database "flashsale", without any parameters.
func (s *Stack) DSN() string { return s.database.dsn(s.state.MySQL) }

// CacheAddr is the cache's host:port.
func (s *Stack) CacheAddr() string { return s.state.Cache.addr() }

// Close ends this process's use. The last user's Close stops both servers and waits for their end.
// A second Close does nothing and returns the result of the first.
func (s *Stack) Close() error {
	s.closing.Do(func() {
		if err := s.leave(); err != nil {
			s.closed = fmt.Errorf("devstack: %w", err)
		}
	})
	return s.closed
}

// start looks for the servers and starts them, one process at a time.
func (s *Stack) start(ctx context.Context, p programs) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("make the servers' directory: %w", err)
	}
	starting, err := openLock(filepath.Join(s.dir, "start.lock"))
	if err != nil {
		return err
	}
	defer func() { _ = starting.close() }() // which unlocks
	if err := starting.lock(ctx, syscall.LOCK_EX); err != nil {
		return err
	}
	if s.cache, err = newCache(s.dir, p); err != nil {
		return err
	}
	if s.database, err = newDatabase(s.dir, p); err != nil {
		return err
	}
	if s.use, err = openLock(s.usePath()); err != nil {
		return err
	}
	// Waits while the last user stops the servers. While this process has its share of the lock, no other stops them.
	if err := s.use.lock(ctx, syscall.LOCK_SH); err != nil {
		return errors.Join(err, s.use.close())
	}
	if err := s.up(ctx); err != nil {
		return errors.Join(err, s.leave())
	}
	return nil
}

func (s *Stack) usePath() string { return filepath.Join(s.dir, "use.lock") }

// up ensures that both servers run.
func (s *Stack) up(ctx context.Context) (err error) {
	// Without a readable state, up looks for the servers in /proc.
	if s.state, err = readState(s.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.log("%v: going on without it", err)
	}
	if err := s.ensure(ctx, s.cache, &s.state.Cache, func(context.Context) error { return nil }); err != nil {
		return err
	}
	return s.ensure(ctx, &s.database.server, &s.state.MySQL, func(ctx context.Context) error {
		return s.database.prepare(ctx, s.log)
	})
}

// ensure reuses the running server or starts one, if possible on its last port: processes and people may have noted the
// addresses.
func (s *Stack) ensure(ctx context.Context, srv *server, known *running, prepare func(context.Context) error) error {
	if !known.worksIn(srv.dir) {
		known.process = process{} // the process has ended, or the pid is another process's
	} else {
		err := srv.await(ctx, *known, reuseLimit)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("wait for the running %s: %w", srv.name, err) // ctx has ended, which says nothing about the server
		}
		s.log("stopping the running %s, because it does not respond: %v", srv.name, err)
	}
	if err := s.end(srv, *known); err != nil {
		return err
	}
	if err := prepare(ctx); err != nil {
		return err
	}
	s.log("starting %s", srv.name)
	begun := time.Now()
	r, err := srv.startAnywhere(ctx, known.Port, func(r running) error {
		*known = r
		return s.state.write(s.dir)
	})
	if err != nil {
		return err
	}
	s.log("%s runs on %s after %v, log in %s", srv.name, r.addr(), time.Since(begun).Round(time.Millisecond), srv.log)
	return nil
}

// leave ends this process's use and, if it was the last, stops both servers. The lock keeps others from starting them
// meanwhile. leave releases the share before it tries the lock: of several processes that leave together, the last to
// try finds the lock free, or held by one that is stopping the servers. Converting the share into an exclusive lock in
// one call does not ensure that on every file system.
func (s *Stack) leave() error {
	err := s.use.unlock()
	if err == nil {
		var last bool
		if last, err = s.use.try(syscall.LOCK_EX); last {
			err = s.stop()
		}
	}
	return errors.Join(err, s.use.close())
}

// stop stops both servers.
func (s *Stack) stop() error {
	if s.use.isAt(s.usePath()) {
		// Before the signals: if this process is killed now, the next Start must not reuse a dying server.
		idle := state{MySQL: running{Port: s.state.MySQL.Port}, Cache: running{Port: s.state.Cache.Port}}
		if err := idle.write(s.dir); err != nil {
			s.log("%v", err) // no reason to let them run
		}
	}
	return errors.Join(s.end(s.cache, s.state.Cache), s.end(&s.database.server, s.state.MySQL))
}

// end stops the server of this Stack, and any other that works in its directory. Another process may have replaced the
// server, or may have been killed before it could record it. Two servers must never share a directory.
func (s *Stack) end(srv *server, known running) error {
	all := []process{known.process}
	// The directory may have been deleted while this process used it, and created again with servers of its own.
	if s.use.isAt(s.usePath()) {
		all = append(all, serversIn(srv.dir)...)
	}
	for _, p := range all {
		if err := p.end(srv.grace); err != nil {
			return fmt.Errorf("stop %s: %w", srv.name, err)
		}
	}
	return nil
}
