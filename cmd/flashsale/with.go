package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

type withCmd struct {
	Command []string `arg:"" passthrough:"" help:"The command and its arguments."`
}

// Run keeps the private servers running while the command runs, so that several test processes share them.
func (c withCmd) Run(env environment) (err error) {
	if err := localOnly(env); err != nil {
		return err
	}
	s, err := openServers(env, databaseAndCache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	command := c.Command
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	if len(command) == 0 {
		return fmt.Errorf("%w: no command given", errUsage)
	}
	child := exec.CommandContext(env.ctx, command[0], command[1:]...) //nolint:gosec // G204: running the user's command is the purpose
	child.Env = append(os.Environ(), "MYSQL_DSN="+s.adminDSN, "CACHE_ADDR="+s.cacheAddr)
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.Cancel = func() error { return child.Process.Signal(syscall.SIGTERM) }
	child.WaitDelay = time.Minute
	err = child.Run()
	if child.ProcessState != nil && child.ProcessState.Success() { // also after Ctrl-C
		return nil
	}
	var failed *exec.ExitError
	if errors.As(err, &failed) && failed.ExitCode() > 0 {
		return &exitCode{failed.ExitCode()}
	}
	return err
}
