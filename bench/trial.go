package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// trial is one experiment on one database server.
type trial struct {
	options *options
	database
	*Record
	cpu usage // of all measurements so far
}

// length is how long one case runs in one round.
func (t *trial) length(full time.Duration) time.Duration {
	if t.Tiny {
		return 200 * time.Millisecond
	}
	return full
}

// size is how many rows or repetitions there are.
func (t *trial) size(full, tiny int) int {
	if t.Tiny {
		return tiny
	}
	return full
}

// alternate runs every case once a round, and starts each round with another one: the first finds the emptiest tables.
// compare runs at the end of a round and adds ratios.
func (t *trial) alternate(ctx context.Context, compare func(), cases ...func(ctx context.Context) error) error {
	for round := range t.Rounds {
		first := round % len(cases)
		for _, run := range slices.Concat(cases[first:], cases[:first]) {
			if err := run(ctx); err != nil {
				return err
			}
		}
		compare()
	}
	return nil
}

// watched runs do, and adds the CPU time meanwhile to that of the trial.
func (s *site) watched(do func() error) (usage, error) {
	stop := watch(s.pids...)
	err := do()
	u := stop()
	s.cpu.others += u.others
	s.cpu.took += u.took
	s.OthersCPU = s.cpu.othersShare()
	return u, err
}

// measured returns a case that runs a load and adds its figures: throughput and percentiles; with a server also the CPU
// time of a call and the statements of the database server.
func (s *site) measured(name string, l load) func(context.Context) error {
	return func(ctx context.Context) error {
		var before, after float64
		var used usage
		l.warmUp = s.length(time.Second) / 2
		l.window = func(measure func() error) (err error) {
			if before, err = s.statements(ctx); err != nil {
				return err
			}
			if used, err = s.watched(measure); err != nil {
				return err
			}
			after, err = s.statements(ctx)
			return err
		}
		sample, err := l.run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s.add(name, l.counts+"/s", sample.rate)
		s.add(name, "p50, ms", sample.p50)
		s.add(name, "p99, ms", sample.p99)
		if l.apart > 0 {
			s.add(name, "holds/s", sample.apart)
		}
		if s.addr != "" {
			s.add(name, "statements/s", (after-before-1)/used.took) // without the second count
			s.add(name, "CPU per call, µs", (used.ours-used.self)/used.took/(sample.rate+sample.apart)*1e6)
		}
		return nil
	}
}

// idle is a case without load: it counts the statements of the server itself.
func (s *site) idle(ctx context.Context) error {
	before, err := s.statements(ctx)
	start := time.Now()
	err = errors.Join(err, sleep(ctx, s.length(4*time.Second)))
	if err != nil {
		return err
	}
	after, err := s.statements(ctx)
	s.add("idle", "statements/s", (after-before-1)/time.Since(start).Seconds())
	return err
}
