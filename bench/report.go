package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

var reportTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"targets": func() []target { return targets }, "percent": percent,
}).Parse(reportText))

// openReport reads the records of earlier runs. It fails now if the directory cannot be written to, not after an hour.
func openReport(dir string) (*report, error) {
	r := &report{dir: dir}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("opening the report: %w", err)
	}
	f, err := os.OpenFile(r.file("results.json"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the report: %w", err)
	}
	if err = json.NewDecoder(f).Decode(&r.Records); errors.Is(err, io.EOF) {
		err = nil // the file is new
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("reading earlier figures: %w", err)
	}
	return r, nil
}

func (r *report) file(name string) string { return filepath.Join(r.dir, name) }
func (r *report) path() string            { return r.file("performance.md") }

func (r *report) write(name string, text []byte) error {
	if err := os.WriteFile(r.file(name), text, 0o600); err != nil {
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

// Record returns the record of an experiment on a database server, an empty one if there is none.
func (r *report) Record(experiment, database string) *Record {
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
		all = append(all, one.Database)
	}
	return slices.Compact(all) // save sorts them
}

// target is a figure that the design promises.
type target struct {
	Experiment, Text, row, quantity string
	sign                            string // ≥, ≤ or <
	mariaDB, mySQL                  float64
	unit                            string
}

var targets = []target{
	{"hot", "share of the bare-INSERT rate, loopback, 16 callers", hotCase("loopback", 16, theLedger), "share of the bare-INSERT rate, %", "≥", 150, 150, " %"},
	{"hot", "the same, 64 callers", hotCase("loopback", 64, theLedger), "share of the bare-INSERT rate, %", "≥", 350, 350, " %"},
	{"hot", "the same, 256 callers", hotCase("loopback", 256, theLedger), "share of the bare-INSERT rate, %", "≥", 800, 800, " %"},
	{"hot", "share of the bare-INSERT rate, 1 ms more, 16 callers", hotCase("1 ms more", 16, theLedger), "share of the bare-INSERT rate, %", "≥", 90, 90, " %"},
	{"hot", "the same, 64 callers", hotCase("1 ms more", 64, theLedger), "share of the bare-INSERT rate, %", "≥", 130, 130, " %"},
	{"hot", "the same, 256 callers", hotCase("1 ms more", 256, theLedger), "share of the bare-INSERT rate, %", "≥", 600, 600, " %"},
	{"hot", "rate ÷ SELECT … FOR UPDATE, 1 ms more, 16 callers", hotCase("1 ms more", 16, theLedger), "÷ SELECT … FOR UPDATE", "≥", 30, 30, "×"},
	{"hot", "the same, 64 callers", hotCase("1 ms more", 64, theLedger), "÷ SELECT … FOR UPDATE", "≥", 80, 80, "×"},
	{"hot", "the same, 256 callers", hotCase("1 ms more", 256, theLedger), "÷ SELECT … FOR UPDATE", "≥", 180, 180, "×"},
	{"batches", "batches of 64, share of the bare rows' rate", batchCase(placeHolds, 64), "share of the bare INSERT's rate, %", "≥", 95, 85, " %"},
	{"batches", "batches of 256, share of the bare rows' rate", batchCase(placeHolds, 256), "share of the bare INSERT's rate, %", "≥", 95, 85, " %"},
	{"batches", "database CPU for a hold, batches of 64", batchCase(placeHolds, 64), "database CPU per hold, µs", "≤", 10, 10, " µs"},
	{"http", "database statements for a sold-out product", "refused", "statements/s for the product", "≤", 1, 1, "/s"},
	{"http", "database statements for a product that is read", "reads", "statements/s for the product", "≤", 1, 1, "/s"},
	{"http", "database statements for a hold of a product that is read", "reads and holds", "statements per hold", "≤", 1.01, 1.01, ""},
	{"limit", "holds with a limit, share of the signed-in rate without, 64 callers", limitCase(64, newShoppers), "share of the signed-in rate, %", "≥", 85, 85, " %"},
	{"expiry", "due holds expired, 1 product", "1 product", "holds/s", "≥", 20_000, 20_000, "/s"},
	{"expiry", "p99 of new holds meanwhile ÷ idle p99, 1 product", "1 product", "p99 ÷ idle p99", "<", 2, 2, "×"},
	{"expiry", "the same, 10 products", "10 products", "p99 ÷ idle p99", "<", 2, 2, "×"},
	{"expiry", "the same, 100 products", "100 products", "p99 ÷ idle p99", "<", 2, 2, "×"},
	{"expiry", "rate with a million old rows, share of the rate without", "1 product, old rows", "share of the rate without, %", "≥", 80, 80, " %"},
}

// Outcome compares the measured value of a record with the wanted one.
func (t target) Outcome(one *Record) string {
	want, got, verdict := t.mySQL, one.median(t.row, t.quantity), ""
	if strings.HasPrefix(one.Database, "MariaDB") {
		want = t.mariaDB
	}
	if t.sign == "≥" && got < want || t.sign == "≤" && got > want || t.sign == "<" && got >= want {
		verdict = " **missed**"
	}
	return number(got) + t.unit + verdict + ", wanted " + t.sign + " " + number(want) + t.unit
}

// summary is a record for the terminal.
func summary(one *Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s on %s\n", one.Experiment, one.Database)
	for _, t := range targets {
		if t.Experiment == one.Experiment {
			fmt.Fprintf(&b, "  %-58s %s\n", t.Text, t.Outcome(one))
		}
	}
	if one.Busy() {
		fmt.Fprintf(&b, "  WARNING: other processes took %s of this machine's CPU meanwhile. These figures are worth little.\n", percent(one.OthersCPU))
	}
	return b.String()
}
