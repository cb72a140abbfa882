package test

import (
	"bytes"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	bench "flashsale/bench/measure"
	"flashsale/internal/shoptest"
)

// Every experiment runs, has figures in all its rows, an opinion on every target, and charts that are pictures; the
// document has all of it. How large the figures are is nobody's business here.
func TestBench(t *testing.T) {
	out := t.TempDir()
	d := shoptest.NewDesk(t, "MYSQL_DSN="+os.Getenv("MYSQL_DSN"), "CACHE_ADDR="+os.Getenv("CACHE_ADDR"))
	d.Dir = ".." // the source tree, which the functions are built from
	if code, stdout, stderr := d.Run(t, "bench", "--tiny", "--out", out); code != 0 {
		t.Fatalf("%d %s %s", code, stdout, stderr)
	}
	page := bench.Page{Dir: out}
	results, err := page.Results()
	if err != nil || len(results) != len(bench.Experiments) {
		t.Fatalf("%d results, %v", len(results), err)
	}
	document := string(shoptest.Must(os.ReadFile(page.Path()))(t))
	for _, r := range results {
		t.Run(r.Experiment, func(t *testing.T) {
			checkResult(t, r)
			if !strings.Contains(document, "## "+r.Title) {
				t.Error("the document has no such section")
			}
		})
	}
	pictures := shoptest.Must(filepath.Glob(filepath.Join(out, "performance", "*.png")))(t)
	for _, path := range pictures {
		if _, err := png.Decode(bytes.NewReader(shoptest.Must(os.ReadFile(path))(t))); err != nil || !strings.Contains(document, filepath.Base(path)) {
			t.Errorf("%s: %v", path, err)
		}
	}
	// One experiment again, by itself: the others stay.
	if code, stdout, stderr := d.Run(t, "bench", "--tiny", "--out", out, "reads"); code != 0 {
		t.Fatalf("%d %s %s", code, stdout, stderr)
	}
	if again := shoptest.Must(page.Results())(t); len(again) != len(results) || again[0].MeasuredAt != results[0].MeasuredAt {
		t.Errorf("%d results", len(again))
	}
}

func checkResult(t *testing.T, r *bench.Result) {
	t.Helper()
	if len(r.LeftOut) > 0 {
		t.Errorf("left out: %v", r.LeftOut)
	}
	if len(r.Tables) == 0 || len(r.Figures) == 0 {
		t.Error("there are no figures")
	}
	for _, table := range r.Tables {
		for _, row := range table.Rows {
			measured := 0
			for _, v := range row.Values {
				if !math.IsNaN(float64(v)) {
					measured++
				}
			}
			if measured == 0 || len(row.Values) != len(table.Columns) || len(row.Labels) != len(table.Labels) {
				t.Errorf("%s: %v has %d figures for %d columns", table.Title, row.Labels, measured, len(table.Columns))
			}
		}
	}
	for _, c := range r.Claims {
		// Other tests use the database server at the same time: what it counts is theirs as well.
		if math.IsNaN(float64(c.Measured)) && !strings.Contains(c.Text, "statements") {
			t.Errorf("nothing was measured for %q", c.Text)
		}
	}
}

func TestBenchRefusesWhatItCannotDo(t *testing.T) {
	d := shoptest.NewDesk(t)
	for _, args := range [][]string{{"no-such-experiment"}, {"--rounds", "0"}, {"--also", "no DSN"}} {
		if code, _, stderr := d.Run(t, append([]string{"bench"}, args...)...); code != 2 || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: %d %q", args, code, stderr)
		}
	}
	// What would only show after an hour of measuring shows at once.
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := d.Run(t, "bench", "--out", file); code != 3 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, file) {
		t.Errorf("%d %q", code, stderr)
	}
	d.Env = append(d.Env, "HOLD_TTL=5m")
	if code, _, stderr := d.Run(t, "bench"); code != 2 || !strings.Contains(stderr, "HOLD_TTL") {
		t.Errorf("%d %q", code, stderr)
	}
}

// Who may not log in as an administrator has a wrong password, and need not be told to migrate.
func TestBenchWithAWrongPassword(t *testing.T) {
	server := shoptest.Must(mysql.ParseDSN(os.Getenv("MYSQL_DSN")))(t)
	server.Passwd = "wrong"
	d := shoptest.NewDesk(t, "MYSQL_DSN="+os.Getenv("MYSQL_DSN"), "CACHE_ADDR="+os.Getenv("CACHE_ADDR"))
	code, _, stderr := d.Run(t, "bench", "--also", server.FormatDSN())
	if code != 3 || !strings.Contains(stderr, "Access denied") || strings.Contains(stderr, "migrate") {
		t.Errorf("%d %q", code, stderr)
	}
}
