package devstack

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// keepEvery is the interval between two looks at the servers. Each look costs microseconds.
const keepEvery = time.Second

// Keep starts a server again that ended by itself or was killed, on its old address, until ctx ends. It returns an
// error if it cannot. Let Keep return before you call Close.
func (s *Stack) Keep(ctx context.Context) error {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !s.state.MySQL.gone() && !s.state.Cache.gone() {
			continue
		}
		if err := s.restart(ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("devstack: restart the private servers: %w", s.explain(err))
		}
	}
}

// restart looks for the servers and starts them, one process at a time: another process may have been faster.
func (s *Stack) restart(ctx context.Context) error {
	starting, err := openLock(filepath.Join(s.dir, "start.lock"))
	if err != nil {
		return err
	}
	defer func() { _ = starting.close() }()
	if err := starting.lock(ctx, syscall.LOCK_EX); err != nil {
		return err
	}
	if !s.use.isAt(s.usePath()) {
		return fmt.Errorf("the directory %s was deleted", s.dir)
	}
	database, cache := s.DSN(), s.CacheAddr()
	s.log("a private server ended: restarting it")
	if err := s.up(ctx); err != nil {
		return err
	}
	if s.DSN() != database || s.CacheAddr() != cache {
		return errors.New("another program took the port of a private server that ended, so it has a new address: start this program again")
	}
	return nil
}

// noSpace matches what the servers and their installers say when the disk is full.
var noSpace = regexp.MustCompile(`(?i)no space left on device|\berror(?: number)? 28\b|errno: 28\b|disk (?:is )?full`)

// explain replaces a server's many lines about a full disk.
func (s *Stack) explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) || noSpace.MatchString(err.Error()) {
		return fmt.Errorf("the disk is full: %s", s.dir)
	}
	return err
}
