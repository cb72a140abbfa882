package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"flashsale/internal/simulator"
)

// prepare makes sure, before the sale, that the report can be written after it. It leaves the report of an earlier sale alone.
func (c simulateCmd) prepare() error {
	if err := os.MkdirAll(filepath.Dir(c.Report), 0o750); err != nil {
		return fmt.Errorf("preparing the report: %w", err)
	}
	for _, path := range []string{c.Report, c.beside()} {
		if err := writeReport(path, nil, false); err != nil {
			return fmt.Errorf("preparing the report: %w", err)
		}
	}
	return nil
}

// writeReport replaces a file in one step, so that a reader never sees half a report. It writes to what is no regular
// file, such as /dev/null, directly. With keep false it only tries.
func writeReport(path string, text []byte, keep bool) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		file, err := os.OpenFile(path, os.O_WRONLY, 0) //nolint:gosec // G304: the user's own file
		if err != nil {
			return err
		}
		_, err = file.Write(text)
		return errors.Join(err, file.Close())
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // it is gone after the rename
	_, err = file.Write(text)
	err = errors.Join(err, file.Chmod(0o644), file.Close()) // it has no secret, and is to be shared
	if err == nil && keep {
		err = os.Rename(file.Name(), path)
	}
	return err
}

// beside is the file of the JSON report.
func (c simulateCmd) beside() string {
	return strings.TrimSuffix(c.Report, filepath.Ext(c.Report)) + ".json"
}

// explain adds the cause of internal errors, from the log of the sale's own server: the response does not tell it.
func explain(report *simulator.Report) {
	for i := range report.Invariants {
		if c := &report.Invariants[i]; len(c.Requests) > 0 {
			c.Cause = causeIn(childLog, c.Requests)
		}
	}
}

// longestLine limits a line of the log. The line of a panic contains its stack.
const longestLine = 1 << 20

// causeIn returns the error of the first line in the log about one of the requests. It is empty if there is none, or if
// the log cannot be read.
func causeIn(log string, requests []string) string {
	file, err := os.Open(log) //nolint:gosec // G304: this command's own file
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, longestLine)
	for lines.Scan() {
		var line struct {
			RequestID string `json:"request_id"`
			Error     string `json:"error"`
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil || line.Error == "" { // the banner at the start is not JSON
			continue
		}
		if slices.Contains(requests, line.RequestID) {
			cause, _, _ := strings.Cut(line.Error, "\n") // without a panic's stack
			return cause
		}
	}
	return ""
}

// conclude prints the summary, writes the report's files, and fails if an invariant is broken.
func (c simulateCmd) conclude(env environment, report *simulator.Report) error {
	if c.ownServer(env) {
		explain(report)
	}
	if err := write(env.out, "%s\n", summary(report)); err != nil {
		return err
	}
	broken := error(nil)
	if !report.Clean {
		broken = fmt.Errorf("%w: the sale broke %s", errRefused, strings.Join(report.BrokenNames(), ", "))
		if c.ownServer(env) {
			if err := write(env.out, "The server's log: %s\n", childLog); err != nil {
				return errors.Join(broken, err)
			}
		}
	}
	page, err := report.HTML(filepath.Base(c.beside()))
	if err != nil {
		return errors.Join(broken, err)
	}
	data, err := report.JSON()
	if err != nil {
		return errors.Join(broken, err)
	}
	for path, text := range map[string][]byte{c.Report: page, c.beside(): data} {
		if err := writeReport(path, text, true); err != nil {
			return errors.Join(broken, fmt.Errorf("writing the report: %w", err))
		}
	}
	return errors.Join(write(env.out, "Report: %s\n        %s\n", c.Report, c.beside()), broken)
}
