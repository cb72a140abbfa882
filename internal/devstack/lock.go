package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// pollEvery is the interval between two checks of a condition.
const pollEvery = 10 * time.Millisecond

// until polls the condition until it holds, fails or ctx ends.
func until(ctx context.Context, every time.Duration, condition func() (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if ok, err := condition(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// fileLock is a flock(2) on an open file. It belongs to the open file, not to the process: two Stacks of one
// process exclude each other like two processes do, and the kernel drops it when the process dies. The servers
// do not inherit it, because Go opens files with O_CLOEXEC.
type fileLock struct{ f *os.File }

func openLock(path string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600) //nolint:gosec // G304: the caller's own directory
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	return &fileLock{f}, nil
}

// lock takes the lock (syscall.LOCK_EX or LOCK_SH). It polls, because a blocking flock does not end with ctx.
func (l *fileLock) lock(ctx context.Context, how int) error {
	if err := until(ctx, pollEvery, func() (bool, error) { return l.try(how) }); err != nil {
		return fmt.Errorf("lock %s: %w", l.f.Name(), err)
	}
	return nil
}

// try takes the lock if it is free.
func (l *fileLock) try(how int) (bool, error) {
	err := syscall.Flock(int(l.f.Fd()), how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return false, nil
	}
	return err == nil, err
}

func (l *fileLock) unlock() error {
	if err := syscall.Flock(int(l.f.Fd()), syscall.LOCK_UN); err != nil {
		return fmt.Errorf("unlock %s: %w", l.f.Name(), err)
	}
	return nil
}

// isAt reports whether the path still names the file that the lock is on.
func (l *fileLock) isAt(path string) bool {
	ours, err := l.f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(ours, there)
}

// close also unlocks.
func (l *fileLock) close() error {
	if err := l.f.Close(); err != nil {
		return fmt.Errorf("close lock file: %w", err)
	}
	return nil
}
