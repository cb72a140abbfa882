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

// caseLength is a multiple of the server's two seconds between two reads of a product.
const caseLength = 4 * time.Second

// length is how long one case runs in one round.
func (t *trial) length(full time.Duration) time.Duration {
	if t.options.Tiny {
		return 200 * time.Millisecond
	}
	return full
}

// size is how many rows or repetitions there are.
func (t *trial) size(full, tiny int) int {
	if t.options.Tiny {
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

// watched runs do and adds its cost: the statements of the database server, if the site has a server, and the CPU time
// to that of the trial.
func (s *site) watched(ctx context.Context, name string, do func() error) (usage, error) {
	before, err1 := s.statements(ctx)
	stop := watch(s.pids...)
	err2 := do()
	used := stop()
	after, err3 := s.statements(ctx)
	s.cpu.others += used.others
	s.cpu.took += used.took
	s.OthersCPU = s.cpu.othersShare()
	if s.addr != "" {
		s.add(name, "statements/s", (after-before-1)/used.took) // without the second count
	}
	return used, errors.Join(err1, err2, err3)
}

// measured returns a case that runs a closed loop and adds its figures.
func (s *site) measured(name string, callers int, op func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		callers := s.size(callers, max(callers/8, 1))
		_, err := closed(ctx, callers, s.length(time.Second)/2, op) // the warm-up
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		var got sample
		used, err := s.watched(ctx, name, func() (err error) {
			got, err = closed(ctx, callers, s.length(caseLength), op)
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s.add(name, "calls/s", got.rate)
		s.add(name, "p50, ms", got.p50)
		s.add(name, "p99, ms", got.p99)
		if s.addr != "" {
			s.add(name, "CPU per call, µs", used.measured/used.took/got.rate*1e6)
		}
		return nil
	}
}

// idle returns a case without load.
func (s *site) idle(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := s.watched(ctx, name, func() error { return sleep(ctx, s.length(caseLength)) })
		return err
	}
}
