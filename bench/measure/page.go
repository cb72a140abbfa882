package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Page is the document and the files beside it, below one directory: performance.md, and for each experiment
// performance/NAME.json and its charts performance/NAME-CHART.png.
type Page struct{ Dir string }

const (
	pageFile  = "performance.md"
	filesDir  = "performance"
	notesFile = "performance-notes.md" // written by hand: what limits it, and what was tried
)

// Path is the document's.
func (p Page) Path() string { return filepath.Join(p.Dir, pageFile) }

// Prepare makes the directory, and finds out whether it can be written to and what is there be read: an hour of measuring
// later would be too late.
func (p Page) Prepare() error {
	dir := filepath.Join(p.Dir, filesDir)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // G301: documents, for everybody to read
		return fmt.Errorf("keeping the figures: %w", err)
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return fmt.Errorf("keeping the figures: %w", err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return fmt.Errorf("keeping the figures: %w", err)
	}
	_, err = p.Results()
	return err
}

// Keep writes one experiment's result and charts, in the place of those of an earlier run, after Prepare.
func (p Page) Keep(r *Result) error {
	dir := filepath.Join(p.Dir, filesDir)
	old, err := filepath.Glob(filepath.Join(dir, r.Experiment+"-*.png"))
	if err != nil {
		return fmt.Errorf("keeping the figures: %w", err)
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("keeping the figures: %w", err)
		}
	}
	for _, c := range r.Charts {
		picture, err := c.png()
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(dir, chartFile(r, c)), picture); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("keeping the figures: %w", err)
	}
	return writeFile(filepath.Join(dir, r.Experiment+".json"), append(text, '\n'))
}

func chartFile(r *Result, c Chart) string { return r.Experiment + "-" + c.Name + ".png" }

// Results reads what is kept, in the order of Experiments.
func (p Page) Results() ([]*Result, error) {
	var results []*Result
	for _, e := range Experiments {
		path := filepath.Join(p.Dir, filesDir, e.Name+".json")
		text, err := os.ReadFile(path) //nolint:gosec // G304: the caller's own directory
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the figures: %w", err)
		}
		r := &Result{}
		if err := json.Unmarshal(text, r); err != nil {
			return nil, fmt.Errorf("reading the figures in %s: %w", path, err)
		}
		results = append(results, r)
	}
	return results, nil
}

// Render writes the document anew from all that is kept.
func (p Page) Render() error {
	results, err := p.Results()
	if err != nil {
		return err
	}
	_, missing := os.Stat(filepath.Join(p.Dir, notesFile))
	return writeFile(p.Path(), []byte(document(results, missing == nil)))
}

func writeFile(path string, text []byte) error {
	if err := os.WriteFile(path, text, 0o644); err != nil { //nolint:gosec // G306: documents, for everybody to read
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// markdown is a document that is being written.
type markdown struct{ strings.Builder }

func (m *markdown) line(format string, args ...any) {
	_, _ = fmt.Fprintf(m, format+"\n", args...) // to memory
}

func (m *markdown) paragraph(text string) { m.line("%s\n", text) }

// table writes a table; right says from which column on it is figures.
func (m *markdown) table(right int, head []string, rows [][]string) {
	m.line("| %s |", strings.Join(head, " | "))
	rule := make([]string, len(head))
	for i := range rule {
		if rule[i] = "---"; i >= right {
			rule[i] = "---:"
		}
	}
	m.line("|%s|", strings.Join(rule, "|"))
	for _, row := range rows {
		m.line("| %s |", strings.Join(row, " | "))
	}
	m.line("")
}
