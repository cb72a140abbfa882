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

// prepare makes sure, before the sale, that the report can be written after it. The report of an earlier sale is removed:
// it would be taken for this one's if this one cannot be checked.
func (c simulateCmd) prepare() error {
	if err := os.MkdirAll(filepath.Dir(c.Report), 0o750); err != nil {
		return fmt.Errorf("preparing the report: %w", err)
	}
	for _, path := range []string{c.Report, c.beside()} {
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644) //nolint:gosec // G302, G304: the user's own file, which people show around
		if err != nil {
			return fmt.Errorf("preparing the report: %w", err)
		}
		info, err := file.Stat()
		err = errors.Join(err, file.Close())
		if err == nil && info.Mode().IsRegular() { // and not /dev/null
			err = os.Remove(path)
		}
		if err != nil {
			return fmt.Errorf("preparing the report: %w", err)
		}
	}
	return nil
}

// beside is the report as JSON.
func (c simulateCmd) beside() string {
	return strings.TrimSuffix(c.Report, filepath.Ext(c.Report)) + ".json"
}

// explain adds to every broken invariant why its requests went wrong, by the log of the sale's own server: what a caller
// is told of an internal error does not say.
func explain(report *simulator.Report) {
	for i := range report.Invariants {
		if c := &report.Invariants[i]; len(c.Requests) > 0 {
			c.Cause = causeIn(childLog, c.Requests)
		}
	}
}

// longestLine is how much of the log is read at once: a panic's line has its stack.
const longestLine = 1 << 20

// causeIn returns the error of the log's first line about one of the requests. It is empty where there is none or the
// log cannot be read, whose name is printed anyway.
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
		if json.Unmarshal(lines.Bytes(), &line) != nil || line.Error == "" { // the banner is not JSON
			continue
		}
		if slices.Contains(requests, line.RequestID) {
			cause, _, _ := strings.Cut(line.Error, "\n") // without a panic's stack
			return cause
		}
	}
	return ""
}

// conclude prints what matters, writes the report's files, and fails when an invariant is broken.
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
	page, err := report.HTML()
	if err != nil {
		return errors.Join(broken, err)
	}
	data, err := report.JSON()
	if err != nil {
		return errors.Join(broken, err)
	}
	for path, text := range map[string][]byte{c.Report: page, c.beside(): data} {
		if err := os.WriteFile(path, text, 0o644); err != nil { //nolint:gosec // G306: there is nothing secret in it, and people show it around
			return errors.Join(broken, fmt.Errorf("writing the report: %w", err))
		}
	}
	return errors.Join(write(env.out, "Report: %s\n        %s\n", c.Report, c.beside()), broken)
}
