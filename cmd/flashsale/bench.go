package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-sql-driver/mysql"

	"flashsale/bench/measure"
)

type benchCmd struct {
	Experiments []string `arg:"" optional:"" help:"Which to run: hot, http, soldout, reads, expiry, payments, function (default: all). The others' figures stay in the document." placeholder:"EXPERIMENT"`
	Also        []string `help:"A second database server to measure on, as a go-sql-driver DSN of a user who may create databases and users; repeatable." placeholder:"DSN"`
	Rounds      int      `help:"How often each case runs (default: ${default}); figures are medians." default:"5" placeholder:"N"`
	Tiny        bool     `help:"As short as it can be, once: to see that it works, not to measure. Writes to .local/bench unless --out says otherwise."`
	Out         string   `help:"The directory of performance.md (default: docs)." placeholder:"DIR"`
}

const maxRounds = 99

func (c benchCmd) Run(env environment) (err error) {
	if err := localOnly(env); err != nil {
		return err
	}
	if c.Rounds < 1 || c.Rounds > maxRounds {
		return fmt.Errorf("%w: --rounds is %d, expected 1 to %d", errUsage, c.Rounds, maxRounds)
	}
	for _, dsn := range c.Also {
		if _, err := mysql.ParseDSN(dsn); err != nil {
			return fmt.Errorf("%w: --also: %w", errUsage, err)
		}
	}
	experiments, err := bench.Find(c.Experiments...)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	// What the user has set for a server of theirs must not change what is measured.
	for _, name := range []string{"HOLD_TTL", "PAYMENT_WINDOW", "LOG_LEVEL", "STRIPE_WEBHOOK_SECRETS"} {
		if os.Getenv(name) != "" {
			return fmt.Errorf("%w: %s is set; what is measured is the server as it comes", errUsage, name)
		}
	}
	if c.Tiny {
		c.Rounds = 1
	}
	if c.Out == "" {
		if c.Out = "docs"; c.Tiny {
			c.Out = filepath.Join(localDir, "bench")
		}
	}
	page := bench.Page{Dir: c.Out}
	if err := page.Prepare(); err != nil {
		return err
	}
	s, err := openServers(env, databaseAndCache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	r := &bench.Run{CacheAddr: s.cacheAddr, Rounds: c.Rounds, Tiny: c.Tiny, Log: progress, Serve: c.serve(env)}
	if r.Databases, err = c.databases(env.ctx, s.adminDSN); err != nil {
		return err
	}
	machine, err := bench.Describe(env.ctx, localDir, r.Databases, s.cacheAddr)
	if err != nil {
		return err
	}
	return c.measure(env, r, machine, experiments, page)
}

// measure runs the experiments. The figures of each are in the document as soon as it has ended, so that the hour before
// is not lost with the last one. One that fails does not keep the others from running.
func (c benchCmd) measure(env environment, r *bench.Run, machine bench.Machine, experiments []bench.Experiment, page bench.Page) error {
	var failed error
	for _, e := range experiments {
		progress("measuring %s: %s", e.Name, e.Title)
		start := time.Now()
		result, err := e.Run(env.ctx, r)
		if env.ctx.Err() != nil {
			return fmt.Errorf("interrupted while measuring %s: the figures of it are lost, those of others are kept", e.Name)
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("measuring %s: %w", e.Name, err))
			continue
		}
		result.Experiment, result.Title, result.Machine = e.Name, e.Title, machine
		result.MeasuredAt, result.Took = start, time.Since(start).Round(time.Second).String()
		result.Rounds, result.Tiny = c.Rounds, c.Tiny
		if err := errors.Join(page.Keep(result), page.Render()); err != nil {
			return err
		}
		if err := write(env.out, "%s", result.Summary()); err != nil {
			return err
		}
	}
	if failed != nil {
		return failed
	}
	return write(env.out, "Report: %s\n", page.Path())
}

// databases are the usual server and those of --also, each of which has to call itself something else.
func (c benchCmd) databases(ctx context.Context, usual string) ([]bench.Database, error) {
	var all []bench.Database
	for _, dsn := range append([]string{usual}, c.Also...) {
		d, err := bench.LabelDatabase(ctx, dsn)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(all, func(o bench.Database) bool { return o.Label == d.Label }) {
			return nil, fmt.Errorf("%w: --also names a second %s", errUsage, d.Label)
		}
		all = append(all, d)
	}
	return all, nil
}

func (c benchCmd) serve(env environment) func(context.Context, ...string) (*bench.Server, error) {
	return func(ctx context.Context, variables ...string) (*bench.Server, error) {
		server, err := startChild(ctx, env, variables...)
		if err != nil {
			return nil, err
		}
		return &bench.Server{URL: server.URL, PID: server.PID, Stop: server.Stop}, nil
	}
}
