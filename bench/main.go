// Command bench measures the checkout on this machine: `make bench` runs it, docs/performance.md has the figures that matter.
//
// An experiment compares a few cases on one database server. Each case runs once a round, and each round starts with
// another case. A figure is the median over the rounds. A ratio compares two cases of the same round, so a slow minute
// affects both of them. The report names each experiment during which other processes took the CPU.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

type options struct {
	Experiments []string `arg:"" optional:"" enum:"hot,batches,http,overload,expiry,payments,growth,hoard,limit" help:"Any of hot, batches, http, overload, expiry, payments, growth, hoard, limit (default: all). The report keeps earlier figures of the others." placeholder:"EXPERIMENT"`
	Also        []string `help:"Measure on this database server, too: the go-sql-driver DSN of a user who may create databases and users. Repeatable." placeholder:"DSN"`
	Rounds      int      `help:"How often each case runs (default: ${default}). Figures are medians." default:"5" placeholder:"N"`
	Tiny        bool     `kong:"-"` // for tests: as short as possible
	Out         string   `help:"Directory of the report (default: ${default})." default:".local/bench" placeholder:"DIR"`

	Flashsale string `help:"The flashsale command to measure (default: ${default})." default:".local/bin/flashsale" placeholder:"PATH"`
	Before    string `help:"The flashsale command of another release: the experiments http and payments measure it, too, in the same rounds." placeholder:"PATH"`
	MySQLDSN  string `name:"mysql-dsn" help:"Administrator's DSN of the database server." env:"MYSQL_DSN" required:"" placeholder:"DSN"`
	CacheAddr string `help:"Address of the cache." env:"CACHE_ADDR" required:"" placeholder:"HOST:PORT"`
}

// experiments add figures to the trial's record. The report's template describes them.
var experiments = []struct {
	name string
	run  func(ctx context.Context, t *trial) error
}{{"hot", runHot}, {"batches", runBatches}, {"http", runHTTP}, {"overload", runOverload}, {"expiry", runExpiry}, {"payments", runPayments}, {"growth", runGrowth}, {"hoard", runHoard}, {"limit", runLimit}}

func main() {
	// The server under test gets a signal when the thread that started it ends: keep this one (see onServer).
	runtime.LockOSThread()
	var o options
	parser := kong.Must(&o, kong.Name("bench"), kong.Description("Measure the checkout on this machine. Run it with `make bench`."))
	if _, err := parser.Parse(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	if err := o.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(3)
	}
}

// run runs the experiments. It saves each record at once, and one failed experiment does not stop the others.
func (o *options) run(ctx context.Context) error {
	if o.Rounds < 1 {
		return fmt.Errorf("--rounds is %d, expected at least 1", o.Rounds)
	}
	report, err := openReport(o.Out)
	if err != nil {
		return err
	}
	var databases []database
	for _, dsn := range append([]string{o.MySQLDSN}, o.Also...) {
		d, err := identify(ctx, dsn)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(databases, func(o database) bool { return o.label == d.label }) {
			return fmt.Errorf("--also names a second %s; the report has one of each", d.label)
		}
		databases = append(databases, d)
	}
	if err := o.warnIfBusy(ctx); err != nil {
		return err
	}
	var failed error
	for _, e := range experiments {
		if len(o.Experiments) > 0 && !slices.Contains(o.Experiments, e.name) {
			continue
		}
		for _, d := range databases {
			progress("%s on %s", e.name, d.label)
			t := &trial{options: o, database: d, Record: &Record{
				Experiment: e.name, Database: d.label, Settings: d.settings, Machine: machine(), MeasuredAt: time.Now().UTC().Round(time.Second), Rounds: o.Rounds,
			}}
			err := e.run(ctx, t)
			if ctx.Err() != nil {
				return fmt.Errorf("interrupted during %s; earlier figures are in %s", e.name, report.path())
			}
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s on %s: %w", e.name, d.label, err))
				continue
			}
			if err := report.save(t.Record); err != nil {
				return err
			}
			fmt.Print(summary(t.Record))
		}
	}
	fmt.Println("Report:", report.path())
	return failed
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }
