package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A server whose parent was killed (a `kill -9` of make, a closed container) goes on and keeps its address. The next
// `flashsale run` in the same directory stops it and takes its place; one that still has its parent is left alone.

// runRecord is written by a server for the next one. While it runs it holds a lock on the file, so that the record
// cannot be mistaken for one of a process that happens to have the same pid.
type runRecord struct {
	PID    int    `json:"pid"`
	Parent int    `json:"parent"`
	Addr   string `json:"addr"`
}

// stopPatience is how long an orphan may take to finish its requests and stop its servers.
const stopPatience = 30 * time.Second

func recordPath(addr string) string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		port = "unknown"
	}
	return filepath.Join(localDir, "run-"+port+".json")
}

// recordRun leaves a record; release takes it away.
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
	return func() { _ = file.Close() }, nil // the lock goes with it; the record alone means nothing
}

// stopOrphan stops the server that holds addr if it is one of this directory and has lost its parent.
func stopOrphan(ctx context.Context, addr string) error {
	taken := fmt.Errorf("%s is taken by another program; set ADDR to another address", addr)
	file, err := os.Open(recordPath(addr))
	if err != nil {
		return taken
	}
	defer func() { _ = file.Close() }()
	var record runRecord
	if json.NewDecoder(file).Decode(&record) != nil || !locked(file) {
		return taken
	}
	if parentOf(record.PID) == record.Parent {
		return fmt.Errorf("this directory's server runs already on %s (pid %d); stop it, or set ADDR to another address", record.Addr, record.PID)
	}
	progress("a server of this directory was left behind (pid %d): stopping it", record.PID)
	if err := syscall.Kill(record.PID, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stopping the server left behind: %w", err)
	}
	deadline := time.Now().Add(stopPatience)
	for killed := false; locked(file); {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !killed && time.Now().After(deadline) {
			killed = true
			_ = syscall.Kill(record.PID, syscall.SIGKILL) // it may have ended just now
		}
		time.Sleep(20 * time.Millisecond) // polls the lock, which tells when the process has gone
	}
	return nil
}

// locked reports whether a running server holds the lock of its record.
func locked(file *os.File) bool {
	fd := int(file.Fd())
	if syscall.Flock(fd, syscall.LOCK_SH|syscall.LOCK_NB) != nil {
		return true
	}
	_ = syscall.Flock(fd, syscall.LOCK_UN) // only a probe
	return false
}

// parentOf returns the pid of a process's parent now, 0 if it cannot be told.
func parentOf(pid int) int {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// pid (name) state ppid …; the name may contain anything, so count from its end.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1])
	return parent
}
