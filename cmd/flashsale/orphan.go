package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"flashsale/internal/devstack"
)

// A server whose parent was killed (`kill -9` of make, a closed container) keeps running and keeps its address. The next
// `flashsale run` in the same directory stops such a server and takes its place. It leaves a server with a parent alone.

// runRecord is written by a server for the next one. The server holds a lock on the file while it runs, so that another
// process with the same pid is not mistaken for it.
type runRecord struct {
	PID    int    `json:"pid"`
	Parent int    `json:"parent"`
	Addr   string `json:"addr"`
}

// stopPatience is the time that an orphan gets to finish its requests and stop its servers.
const stopPatience = 30 * time.Second

func recordPath(addr string) string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		port = "unknown"
	}
	return filepath.Join(localDir, "run-"+port+".json")
}

// recordRun writes a record. release unlocks it.
func recordRun(addr string) (release func(), err error) {
	if err := os.MkdirAll(localDir, 0o750); err != nil {
		return nil, fmt.Errorf("recording the server: %w", err)
	}
	file, err := os.OpenFile(recordPath(addr), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("recording the server: %w", err)
	}
	record, err := json.Marshal(runRecord{os.Getpid(), os.Getppid(), addr})
	if err == nil {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err == nil {
		err = file.Truncate(0)
	}
	if err == nil {
		_, err = file.WriteAt(record, 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("recording the server: %w", err), file.Close())
	}
	return func() { _ = file.Close() }, nil // a record without a lock means nothing
}

// stopOrphan stops the server on addr if it belongs to this directory and has lost its parent.
func stopOrphan(ctx context.Context, addr string) error {
	taken := fmt.Errorf("%s is in use by another program; set ADDR to another address", addr)
	file, err := os.Open(recordPath(addr))
	if err != nil {
		return taken
	}
	defer func() { _ = file.Close() }()
	var record runRecord
	if json.NewDecoder(file).Decode(&record) != nil || !locked(file) {
		return taken
	}
	if devstack.ParentOf(record.PID) == record.Parent {
		return fmt.Errorf("this directory's server already runs on %s (pid %d); stop it, or set ADDR to another address", record.Addr, record.PID)
	}
	progress("stopping an orphaned server of this directory (pid %d)", record.PID)
	return record.stop(ctx, file)
}

// stop ends the server, by force if it does not end in time. file is its record.
func (record runRecord) stop(ctx context.Context, file *os.File) error {
	if err := syscall.Kill(record.PID, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stopping the server (pid %d): %w", record.PID, err)
	}
	deadline := time.Now().Add(stopPatience)
	for killed := false; locked(file); {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !killed && time.Now().After(deadline) {
			killed = true
			_ = syscall.Kill(record.PID, syscall.SIGKILL) // it may have just ended
		}
		time.Sleep(20 * time.Millisecond) // the lock is free once the process has ended
	}
	return nil
}

// locked reports whether a running server holds the lock of its record.
func locked(file *os.File) bool {
	fd := int(file.Fd())
	if syscall.Flock(fd, syscall.LOCK_SH|syscall.LOCK_NB) != nil {
		return true
	}
	_ = syscall.Flock(fd, syscall.LOCK_UN) // this only tested the lock
	return false
}
