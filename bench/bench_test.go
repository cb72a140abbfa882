package main

import (
	"bytes"
	"context"
	"errors"
	"image/png"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 2, 3}, 2.5}, {[]float64{7}, 7}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median(%v) is %v, expected %v", c.values, got, c.want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing is %v, expected NaN", got)
	}
}

func TestNumberHasThreeDigits(t *testing.T) {
	for x, want := range map[float64]string{18114.4: "18,114", 99.97: "100", 32.62: "32.6", 2.854: "2.85", 0.5006: "0.501", 0: "0", 1e-5: "0", math.NaN(): "–"} {
		if got := number(x); got != want {
			t.Errorf("number(%v) is %q, expected %q", x, got, want)
		}
	}
}

func TestEachRoundStartsWithAnotherCase(t *testing.T) {
	var order string
	one := func(name string) func(context.Context) error {
		return func(context.Context) error { order += name; return nil }
	}
	trial := &trial{Record: &Record{Rounds: 4}}
	if err := trial.alternate(t.Context(), func() { order += " " }, one("a"), one("b"), one("c")); err != nil {
		t.Fatal(err)
	}
	if want := "abc bca cab abc "; order != want {
		t.Errorf("cases ran as %q, expected %q", order, want)
	}
}

func TestLoadCountsEachCall(t *testing.T) {
	var calls atomic.Int64
	start := time.Now()
	s, err := closed(t.Context(), 3, 20*time.Millisecond, func(context.Context) error {
		calls.Add(1)
		time.Sleep(time.Millisecond)
		return nil
	})
	if atLeast := float64(calls.Load()) / time.Since(start).Seconds(); err != nil || s.rate < atLeast || s.p50 < 1 || s.p99 < s.p50 {
		t.Errorf("sample is %+v (%v), expected at least %.0f calls a second of a millisecond or more", s, err, atLeast)
	}
}

func TestLoadFailsWhenCallsFail(t *testing.T) {
	refused := errors.New("refused")
	if _, err := closed(t.Context(), 2, 10*time.Millisecond, func(context.Context) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("error is %v, expected the error of the calls", err)
	}
}

// All calls are due at once, and the first ones stall. The times of the later ones have to include that.
func TestPacedCallsCountFromWhenTheyWereDue(t *testing.T) {
	const stall, calls = 50 * time.Millisecond, 2000
	stop, stalled := make(chan struct{}), make(chan struct{})
	time.AfterFunc(stall, func() { close(stalled) })
	s, err := paced(t.Context(), 0, stop, func(_ context.Context, n int) error {
		<-stalled
		if n == calls {
			close(stop)
		}
		return nil
	})
	if err != nil || s.p50 < float64(stall.Milliseconds()) {
		t.Errorf("median is %v ms (%v), expected at least the stall of %s", s.p50, err, stall)
	}
}

// The report blames other processes for their CPU time, but not a measured process.
func TestWatchSeparatesOurCPUFromOthers(t *testing.T) {
	busy := exec.CommandContext(t.Context(), "sh", "-c", "while :; do :; done")
	if err := busy.Start(); err != nil {
		t.Fatal(err)
	}
	pid := int32(busy.Process.Pid)
	ours, others := watch(pid), watch()
	const enough = 0.3 // seconds: many ticks of the kernel's clock
	var measured, blamed usage
	for measured.measured < enough {
		if err := sleep(t.Context(), 10*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		measured, blamed = ours(), others()
	}
	if blamed.measured != 0 || blamed.others-measured.others < enough/2 {
		t.Errorf("the busy process counts as %+v, expected its CPU time with the others; as a measured process %+v", blamed, measured)
	}
}

func TestReportKeepsOtherRecords(t *testing.T) {
	dir := t.TempDir()
	for _, one := range []*Record{
		{Experiment: "hot", Database: "MariaDB 1", Rounds: 1},
		{Experiment: "hot", Database: "MySQL 2", Rounds: 2},
		{Experiment: "reads", Database: "MariaDB 1", Rounds: 3},
		{Experiment: "hot", Database: "MariaDB 1", Rounds: 4},
	} {
		r, err := openReport(dir) // as each run does
		if err == nil {
			err = r.save(one)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r, err := openReport(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, one := range r.Records {
		got = append(got, one.Experiment+" "+one.Database+" "+number(float64(one.Rounds)))
	}
	slices.Sort(got)
	if want := []string{"hot MariaDB 1 4", "hot MySQL 2 2", "reads MariaDB 1 3"}; !reflect.DeepEqual(got, want) {
		t.Errorf("the report has %v, expected %v", got, want)
	}
}

func TestReportWarnsOfABusyMachine(t *testing.T) {
	r, err := openReport(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	one := &Record{Experiment: "hot", Database: "MariaDB 1", OthersCPU: 0.4}
	if err := r.save(one); err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile(r.path())
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{"document": string(document), "terminal": summary(one)} {
		if !strings.Contains(text, " processes took 40 %") {
			t.Errorf("the %s does not warn of 40 %% of the CPU:\n%s", where, text)
		}
	}
}

func TestSummaryMarksMissedTargets(t *testing.T) {
	one := &Record{Experiment: "http", Database: "MySQL 9"}
	if got := summary(one); !strings.Contains(got, "–, wanted ≤ 1.01") {
		t.Errorf("without figures the summary is %q, expected a dash", got)
	}
	one.add("reads and holds", "statements per hold", 8)
	one.add("refused", "statements/s for the product", 0.5)
	if got := summary(one); !strings.Contains(got, "8 **missed**, wanted ≤ 1.01") || !strings.Contains(got, " 0.5/s, wanted ≤ 1/s") {
		t.Errorf("the summary is %q, expected one missed target and one reached", got)
	}
}

// Every experiment measures everything that its targets need, on a real server. The figures are not checked.
func TestExperiments(t *testing.T) {
	t.Chdir("..") // where `make bench` runs
	o := &options{MySQLDSN: ledgertest.ServerDSN(t), CacheAddr: os.Getenv("CACHE_ADDR"), Tiny: true, Rounds: 1, Out: t.TempDir()}
	if o.CacheAddr == "" {
		o.CacheAddr = ledgertest.Servers(t).CacheAddr()
	}
	o.Flashsale = filepath.Join(o.Out, "flashsale")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", o.Flashsale, "./cmd/flashsale").CombinedOutput(); err != nil {
		t.Fatalf("building flashsale: %v\n%s", err, out)
	}
	if err := o.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := openReport(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile(r.path())
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range r.Records {
		got := summary(one)
		if strings.Contains(got, "–") {
			t.Errorf("a target was not measured:\n%s", got)
		}
		if cell := " | " + one.Cell(one.Figures[0].Case, one.Figures[0].Quantity) + " |"; !strings.Contains(string(document), "| "+one.Figures[0].Case+cell) {
			t.Errorf("the report has no row that starts with %q", one.Figures[0].Case+cell)
		}
	}
	if len(r.Records) != len(experiments) {
		t.Errorf("the report has %d records, expected one for each of %d experiments", len(r.Records), len(experiments))
	}
	for name := range reportCharts(r) {
		picture, err := os.ReadFile(r.file(name))
		if err == nil {
			_, err = png.Decode(bytes.NewReader(picture))
		}
		if err != nil || !strings.Contains(string(document), name) {
			t.Errorf("chart %s: %v; expected a picture that the report shows", name, err)
		}
	}
}

// The rate rule counts each address on its own, and an address gets through again when it has been quiet.
func TestLimitRateRefusesOneAddressOnly(t *testing.T) {
	handler := limitRate(http.NotFoundHandler(), 2, time.Hour)
	quick := limitRate(http.NotFoundHandler(), 2, time.Nanosecond)
	send := func(to http.Handler, address string) int {
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		r.RemoteAddr = address + ":1"
		to.ServeHTTP(w, r)
		return w.Code
	}
	var got []int
	for range 3 {
		got = append(got, send(handler, "127.0.0.1"))
	}
	got = append(got, send(handler, "127.0.0.2"), send(quick, "127.0.0.1"), send(quick, "127.0.0.1"), send(quick, "127.0.0.1"))
	if want := []int{404, 404, 403, 404, 404, 404, 404}; !slices.Equal(got, want) {
		t.Errorf("the statuses are %v, expected %v", got, want)
	}
}

func TestRefusesDirectoryThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&options{Rounds: 1, Out: file}).run(t.Context()); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("error is %v, expected one that names %s", err, file)
	}
}
