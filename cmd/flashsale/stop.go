package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"flashsale/internal/devstack"
)

type (
	stopCmd  struct{}
	cleanCmd struct{}
)

// Run stops every flashsale run of this directory, which stop their private servers, and then the private servers that
// killed processes left behind.
func (stopCmd) Run(env environment) error {
	if err := localOnly(env); err != nil {
		return err
	}
	servers, err := runningServers()
	if err != nil {
		return err
	}
	for _, s := range servers {
		if err := errors.Join(s.stop(env.ctx, s.file), s.file.Close()); err != nil {
			return err
		}
		if err := write(env.out, "Stopped the server on %s (pid %d).\n", s.Addr, s.PID); err != nil {
			return err
		}
	}
	left, err := devstack.Stop(env.ctx, serversDir)
	switch {
	case errors.Is(err, devstack.ErrInUse):
		return fmt.Errorf("%w: another command of this directory still uses the private database and cache", errRefused)
	case err != nil:
		return fmt.Errorf("stopping the private servers: %w", err)
	case left:
		return write(env.out, "Stopped the private database and cache.\n")
	case len(servers) == 0:
		return write(env.out, "Nothing runs in this directory.\n")
	}
	return nil
}

// Run deletes localDir, but not under a process that uses it.
func (cleanCmd) Run(env environment) error {
	if err := localOnly(env); err != nil {
		return err
	}
	if filepath.IsAbs(localDir) {
		return fmt.Errorf("%w: the shop is above this directory, in %s: run this command there", errRefused, filepath.Dir(localDir))
	}
	servers, err := runningServers()
	if err != nil {
		return err
	}
	for _, s := range servers {
		_ = s.file.Close()
		return fmt.Errorf("%w: this directory's server runs on %s (pid %d); stop it first, with Ctrl-C or flashsale stop", errRefused, s.Addr, s.PID)
	}
	if _, err := os.Lstat(localDir); errors.Is(err, fs.ErrNotExist) {
		return write(env.out, "There is nothing to delete in this directory.\n")
	}
	if _, err := devstack.Stop(env.ctx, serversDir); errors.Is(err, devstack.ErrInUse) {
		return fmt.Errorf("%w: another command of this directory uses the private database and cache; wait for its end", errRefused)
	} else if err != nil {
		return fmt.Errorf("stopping the private servers: %w", err)
	}
	if err := os.RemoveAll(localDir); err != nil {
		return fmt.Errorf("deleting the private servers: %w", err)
	}
	return write(env.out, "Deleted %s/ of this directory.\n", localDir)
}

// recorded is a running server of this directory and its open record.
type recorded struct {
	runRecord
	file *os.File
}

func runningServers() ([]recorded, error) {
	paths, err := filepath.Glob(filepath.Join(localDir, "run-*.json"))
	if err != nil {
		return nil, fmt.Errorf("looking for running servers: %w", err)
	}
	var found []recorded
	for _, path := range paths {
		file, err := os.Open(path) //nolint:gosec // G304: a record of this directory
		if err != nil {
			return nil, fmt.Errorf("looking for running servers: %w", err)
		}
		s := recorded{file: file}
		if !locked(file) || json.NewDecoder(file).Decode(&s.runRecord) != nil {
			_ = file.Close() // its server has ended
			continue
		}
		found = append(found, s)
	}
	return found, nil
}
