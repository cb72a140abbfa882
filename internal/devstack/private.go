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

// private is a server of one caller. It dies with the caller's process.
type private struct {
	server  *server
	prepare func(context.Context) error
	mu      sync.Mutex
	running running
}

// start starts the server, on its last port if it has one, because clients know that port.
func (p *private) start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running.gone() {
		return fmt.Errorf("devstack: %s is running already", p.server.name)
	}
	if err := p.prepare(ctx); err != nil {
		return fmt.Errorf("devstack: %w", err)
	}
	start := p.server.startAnywhere
	if p.running.Port != 0 {
		start = p.server.start
	}
	r, err := start(ctx, p.running.Port, func(running) error { return nil })
	if err != nil {
		return fmt.Errorf("devstack: %w", err)
	}
	p.running = r
	return nil
}

func (p *private) now() running {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running
}

func (p *private) do(what func(running) error) error {
	if err := what(p.now()); err != nil {
		return fmt.Errorf("devstack: %s: %w", p.server.name, err)
	}
	return nil
}

func (p *private) kill() error { return p.do(func(r running) error { return r.kill() }) }
func (p *private) stop() error { return p.do(func(r running) error { return r.end(p.server.grace) }) }

// MySQL is a private MariaDB or MySQL server for fault tests.
type MySQL struct {
	private
	database *database
}

// StartMySQL starts a database server with its data in dir, which it creates. The caller must Stop it.
func StartMySQL(ctx context.Context, dir string, log func(format string, args ...any)) (*MySQL, error) {
	dir, programs, err := privateDir(ctx, dir, log)
	if err != nil {
		return nil, err
	}
	db, err := newDatabase(dir, programs)
	if err != nil {
		return nil, fmt.Errorf("devstack: %w", err)
	}
	db.tied = true
	m := &MySQL{database: db}
	m.server = &db.server
	m.prepare = func(ctx context.Context) error {
		return db.prepare(ctx, func(format string, args ...any) { report(log, format, args...) })
	}
	if err := m.start(ctx); err != nil {
		return nil, err
	}
	return m, nil
}

// DSN is a go-sql-driver DSN of an administrator of the database "flashsale"; it survives a Restart.
func (m *MySQL) DSN() string { return m.database.dsn(m.now()) }

// Kill ends the server with SIGKILL, like a crash, and returns when it is dead.
func (m *MySQL) Kill() error { return m.kill() }

// Restart starts the killed or stopped server again, on the same port with the same data.
func (m *MySQL) Restart(ctx context.Context) error { return m.start(ctx) }

// Stop ends the server cleanly; it does nothing when the server is dead.
func (m *MySQL) Stop() error { return m.stop() }

// Cache is a private Valkey or Redis for fault tests.
type Cache struct{ private }

// StartCache starts a cache server that works in dir, which it creates. The caller must Stop it.
func StartCache(ctx context.Context, dir string, log func(format string, args ...any)) (*Cache, error) {
	dir, programs, err := privateDir(ctx, dir, log)
	if err != nil {
		return nil, err
	}
	srv, err := newCache(dir, programs)
	if err != nil {
		return nil, fmt.Errorf("devstack: %w", err)
	}
	srv.tied = true
	c := &Cache{}
	c.server, c.prepare = srv, func(context.Context) error { return nil }
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Addr is the server's host:port; it survives a Restart.
func (c *Cache) Addr() string { return c.now().addr() }

// Kill ends the server with SIGKILL and returns when it is dead. Its data are lost.
func (c *Cache) Kill() error { return c.kill() }

// Restart starts the killed or stopped server again, empty, on the same port.
func (c *Cache) Restart(ctx context.Context) error { return c.start(ctx) }

// Stop ends the server, paused or not; it does nothing when the server is dead.
func (c *Cache) Stop() error { return c.stop() }

// Pause freezes the server: the kernel still accepts connections, but the server does not respond.
func (c *Cache) Pause() error {
	return c.do(func(r running) error {
		if err := r.signal(syscall.SIGSTOP); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return until(ctx, pollEvery, func() (bool, error) {
			st, err := readProcStat(r.PID)
			return st.stopped, err
		})
	})
}

// Resume continues a paused server, which then serves the requests that have arrived.
func (c *Cache) Resume() error {
	return c.do(func(r running) error { return r.signal(syscall.SIGCONT) })
}

func privateDir(ctx context.Context, dir string, log func(string, ...any)) (string, programs, error) {
	p, err := install(ctx, log)
	if err != nil {
		return "", p, fmt.Errorf("devstack: %w", err)
	}
	abs, err := filepath.Abs(dir)
	if err := errors.Join(err, os.MkdirAll(abs, 0o700)); err != nil {
		return "", p, fmt.Errorf("devstack: make the server's directory: %w", err)
	}
	return abs, p, nil
}
