package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// child is a `flashsale run` of this same binary, for a command that needs a server of its own: on a free loopback port,
// with this process's environment and directory, so on the same database and cache.
type child struct {
	URL string
	Log string // the file with its log

	addr    string
	process *os.Process
	ended   chan struct{} // closed when the process has ended
	err     error         // why, then
}

const (
	childLog      = localDir + "/server.log"
	childPatience = 5 * time.Minute // a first start may install servers
	childPoll     = 50 * time.Millisecond
	logTail       = 12 // lines of the log that an error shows
)

// startChild starts a server and waits until it is healthy. variables (NAME=value) are added to the environment. ctx
// bounds the wait only: the server lives until Stop, or until this process ends, however that happens.
func startChild(ctx context.Context, env environment, variables ...string) (*child, error) {
	addr, err := freeLoopback(ctx)
	if err != nil {
		return nil, err
	}
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("starting a server: %w", err)
	}
	if err := os.MkdirAll(localDir, 0o750); err != nil {
		return nil, fmt.Errorf("starting a server: %w", err)
	}
	// The log of the run before is kept, with .1: it may say what went wrong.
	if err := os.Rename(childLog, childLog+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("starting a server: %w", err)
	}
	log, err := os.OpenFile(childLog, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting a server: %w", err)
	}
	defer func() { _ = log.Close() }() // the child has its own
	c := &child{URL: "http://" + addr, Log: childLog, addr: addr, ended: make(chan struct{})}
	command := exec.Command(binary, "run") //nolint:gosec,noctx // G204: this program itself; it outlives ctx
	command.Env = append(append(os.Environ(), variables...), "ADDR="+addr)
	command.Stdout, command.Stderr = log, log
	// A group of its own keeps a Ctrl-C in the terminal from it: who started it stops it.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := c.launch(command); err != nil {
		return nil, fmt.Errorf("starting a server: %w", err)
	}
	if err := c.waitHealthy(ctx, env); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// launch starts the process. The kernel sends the parent death signal when the *thread* that started it ends, so one
// thread stays locked until the process has ended.
func (c *child) launch(command *exec.Cmd) error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := command.Start(); err != nil {
			close(c.ended)
			started <- err
			return
		}
		c.process = command.Process
		started <- nil
		c.err = command.Wait()
		close(c.ended)
	}()
	return <-started
}

func (c *child) waitHealthy(ctx context.Context, env environment) error {
	ctx, cancel := context.WithTimeout(ctx, childPatience)
	defer cancel()
	for {
		select {
		case <-c.ended:
			return fmt.Errorf("the server ended before it was ready (%w): %s", c.err, c.tail())
		case <-ctx.Done():
			if env.ctx.Err() != nil { // Ctrl-C, not a server that is slow
				return ctx.Err()
			}
			return fmt.Errorf("the server is not ready after %s: %s", childPatience, c.tail())
		case <-time.After(childPoll):
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/healthz", nil)
		if err != nil {
			return fmt.Errorf("asking the server for its health: %w", err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			continue
		}
		_ = response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return nil
		}
	}
}

// Stop asks the server to end and waits until it has; what it does not finish in time is killed. Its log stays.
func (c *child) Stop() error {
	_ = c.process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-c.ended:
	case <-time.After(stopPatience):
		_ = c.process.Kill()
		<-c.ended
	}
	if err := os.Remove(recordPath(c.addr)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the server's record: %w", err)
	}
	if c.err != nil {
		return fmt.Errorf("the server ended with %w: %s", c.err, c.tail())
	}
	return nil
}

// tail returns the last lines of the log, as one.
func (c *child) tail() string {
	text, err := os.ReadFile(c.Log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(bytes.TrimSpace(text)), "\n")
	return c.Log + " ends with: " + strings.Join(lines[max(len(lines)-logTail, 0):], " | ")
}

// freeLoopback finds a port that is free now.
func freeLoopback(ctx context.Context) (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}
