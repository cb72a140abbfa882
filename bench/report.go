package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
)

// report is the directory with the records of all experiments on all database servers, and a document made from them.
// A new record replaces only that of the same experiment on the same server.
type report struct {
	dir     string
	Records []*Record
}

//go:embed report.md.tmpl
var reportText string

var reportTemplate = template.Must(template.New("report").Funcs(template.FuncMap{"join": strings.Join, "all": func() []experiment { return experiments }}).Parse(reportText))

// openReport reads the records of earlier runs. It fails now if the directory cannot be written to, not after an hour.
func openReport(dir string) (*report, error) {
	r := &report{dir: dir}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("opening the report: %w", err)
	}
	text, err := os.ReadFile(r.file("results.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return r, r.write("results.json", []byte("[]\n"))
	}
	if err == nil {
		err = json.Unmarshal(text, &r.Records)
	}
	if err != nil {
		return nil, fmt.Errorf("reading earlier figures: %w", err)
	}
	return r, r.write("results.json", text)
}

func (r *report) file(name string) string { return filepath.Join(r.dir, name) }
func (r *report) path() string            { return r.file("performance.md") }

func (r *report) write(name string, text []byte) error {
	if err := os.WriteFile(r.file(name), text, 0o600); err != nil { //nolint:gosec // G703: --out says where
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// save keeps a record and writes the document again.
func (r *report) save(record *Record) error {
	r.Records = slices.DeleteFunc(r.Records, func(old *Record) bool {
		return old.Experiment == record.Experiment && old.Database == record.Database
	})
	r.Records = append(r.Records, record)
	slices.SortStableFunc(r.Records, func(a, b *Record) int { return strings.Compare(a.Database, b.Database) })
	text, err := json.MarshalIndent(r.Records, "", " ")
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if err := r.write("results.json", text); err != nil {
		return err
	}
	for name, c := range reportCharts(r) {
		picture, err := c.png()
		if err = errors.Join(err, r.write(name, picture)); err != nil {
			return err
		}
	}
	var document strings.Builder
	if err := reportTemplate.Execute(&document, r); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return r.write("performance.md", []byte(document.String()))
}

// record returns the record of an experiment on a database server, an empty one if there is none.
func (r *report) record(experiment, database string) *Record {
	for _, one := range r.Records {
		if one.Experiment == experiment && one.Database == database {
			return one
		}
	}
	return &Record{Database: database}
}

// Databases are the servers that any record is from.
func (r *report) Databases() (all []string) {
	for _, one := range r.Records {
		if !slices.Contains(all, one.Database) {
			all = append(all, one.Database)
		}
	}
	return all
}

// Of returns the records of an experiment.
func (r *report) Of(experiment string) (all []*Record) {
	for _, d := range r.Databases() {
		if one := r.record(experiment, d); one.Experiment != "" {
			all = append(all, one)
		}
	}
	return all
}

// target is a figure that the design promises.
type target struct {
	experiment, text, row, quantity string
	atLeast                         bool // else: at most
	mariaDB, mySQL                  float64
	unit                            string
}

var targets = []target{
	{"hot", "rate ÷ SELECT … FOR UPDATE, loopback, 64 callers", hotCase("loopback", 64, theLedger), "÷ SELECT … FOR UPDATE", true, 2, 2, "×"},
	{"hot", "rate ÷ SELECT … FOR UPDATE, 1 ms more, 64 callers", hotCase("1 ms more", 64, theLedger), "÷ SELECT … FOR UPDATE", true, 10, 10, "×"},
	{"hot", "share of the bare-INSERT rate, loopback, 64 callers", hotCase("loopback", 64, theLedger), "share of the bare-INSERT rate, %", true, 40, 30, " %"},
	{"hot", "rate at 256 callers ÷ rate at 16, loopback", "loopback: ledger", "rate at 256 callers ÷ rate at 16", true, 0.8, 0.8, ""},
	{"http", "HTTP holds, share of the ledger's rate, 64 callers", "64 callers: HTTP", "share of the ledger's rate, %", true, 50, 50, " %"},
	{"soldout", "refusals per accepted hold", "refused", "refusals per accepted hold", true, 10, 10, ""},
	{"soldout", "database statements for a sold-out product", "refused", "statements/s for the product", false, 1, 1, "/s"},
	{"reads", "database statements for a product that is read", "reads only", "statements/s for the product", false, 1, 1, "/s"},
	{"reads", "extra statements per hold of a product that is read", "reads and holds", "extra statements per hold", false, 0.01, 0.01, ""},
	{"expiry", "due holds expired, 1 product", "1 product", "holds/s", true, 20_000, 20_000, "/s"},
	{"expiry", "p99 of new holds meanwhile ÷ idle p99, 100 products", "100 products", "p99 ÷ idle p99", false, 3, 3, "×"},
	{"expiry", "rate with a million old rows, share of the rate without", "1 product, old rows", "share of the rate without, %", true, 80, 80, " %"},
}

// outcome is a target with the measured value of one record.
func (t target) outcome(one *Record) (wanted, measured string) {
	want, sign := t.mySQL, "≤"
	if strings.HasPrefix(one.Database, "MariaDB") {
		want = t.mariaDB
	}
	if t.atLeast {
		sign = "≥"
	}
	got := one.median(t.row, t.quantity)
	if measured = number(got) + t.unit; t.atLeast && got < want || !t.atLeast && got > want {
		measured += " **missed**"
	}
	return sign + " " + number(want) + t.unit, measured
}

// Targets are the rows of the table of targets. Each has its text, then the wanted and the measured value per database server.
func (r *report) Targets() (rows [][]string) {
	for _, t := range targets {
		row := []string{t.text}
		for _, d := range r.Databases() {
			wanted, measured := t.outcome(r.record(t.experiment, d))
			row = append(row, wanted, measured)
		}
		rows = append(rows, row)
	}
	return rows
}

// summary is a record for the terminal.
func summary(one *Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s on %s\n", one.Experiment, one.Database)
	for _, t := range targets {
		if t.experiment == one.Experiment {
			wanted, measured := t.outcome(one)
			fmt.Fprintf(&b, "  %-58s %12s, wanted %s\n", t.text, measured, wanted)
		}
	}
	if one.Busy() {
		fmt.Fprintf(&b, "  WARNING: other processes took %s of this machine's CPU meanwhile. These figures are worth little.\n", one.OthersPercent())
	}
	return b.String()
}
