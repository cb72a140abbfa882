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
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"flashsale/internal/devstack"
)

// child is a `flashsale run` of this binary, for a command that needs a server of its own. It runs on a free loopback port,
// with this process's environment and directory, so it has the same database and cache.
type child struct {
	URL string
	Log string // its log file

	addr    string
	process *os.Process
	ended   chan struct{} // closed when the process has ended
	err     error         // then: the reason
}

var childLog = filepath.Join(localDir, "server.log")

const (
	childPatience = 5 * time.Minute // a first start may install software
	childPoll     = 50 * time.Millisecond
	logTail       = 12 // lines of the log in an error
)

// startChild starts a server with additional variables (NAME=value) and waits until it is healthy. ctx limits only the
// wait: the server lives until Stop, or until this process ends, even if it is killed.
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
	// Keep the log of the previous run, with .1: it may explain a failure.
	if err := os.Rename(childLog, childLog+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("starting a server: %w", err)
	}
	log, err := os.OpenFile(childLog, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600) //nolint:gosec // G304: a file of the shop
	if err != nil {
		return nil, fmt.Errorf("starting a server: %w", err)
	}
	defer func() { _ = log.Close() }() // the child has a descriptor of its own
	c := &child{URL: "http://" + addr, Log: childLog, addr: addr, ended: make(chan struct{})}
	command := exec.Command(binary, "run") //nolint:gosec,noctx // G204: this program; it outlives ctx
	command.Env = append(append(os.Environ(), variables...), "ADDR="+addr)
	command.Stdout, command.Stderr = log, log
	// A process group of its own: Ctrl-C in the terminal must not reach the server before this process stops it.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	devstack.DieWithParent(command.SysProcAttr, syscall.SIGTERM)
	if err := c.launch(command); err != nil {
		return nil, fmt.Errorf("starting a server: %w", err)
	}
	if err := c.waitHealthy(ctx, env); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// launch starts the process, which gets its parent death signal when this process dies.
func (c *child) launch(command *exec.Cmd) error {
	return devstack.Tie(func() error {
		if err := command.Start(); err != nil {
			return err
		}
		c.process = command.Process
		return nil
	}, func() {
		c.err = command.Wait()
		close(c.ended)
	})
}

func (c *child) waitHealthy(ctx context.Context, env environment) error {
	ctx, cancel := context.WithTimeout(ctx, childPatience)
	defer cancel()
	for {
		select {
		case <-c.ended:
			return fmt.Errorf("the server ended before it was ready (%w): %s", c.err, c.tail())
		case <-ctx.Done():
			if env.ctx.Err() != nil { // Ctrl-C, not a slow server
				return ctx.Err()
			}
			return fmt.Errorf("the server is not ready after %s: %s", childPatience, c.tail())
		case <-time.After(childPoll):
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/healthz", nil)
		if err != nil {
			return fmt.Errorf("checking the server's health: %w", err)
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

// Stop ends the server, by force if it does not end in time. Its log stays.
func (c *child) Stop() error {
	_ = c.process.Signal(syscall.SIGTERM) // it may have ended
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

// tail returns the last lines of the log in one line.
func (c *child) tail() string {
	text, err := os.ReadFile(c.Log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(bytes.TrimSpace(text)), "\n")
	return c.Log + " ends with: " + strings.Join(lines[max(len(lines)-logTail, 0):], " | ")
}

// freeLoopback returns an address with a free port.
func freeLoopback(ctx context.Context) (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}
