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

// measure runs a load and adds its figures: rate, percentiles, CPU time per call, statements of the database server.
func (s *site) measure(ctx context.Context, name string, l load) error {
	var before, after float64
	var failed error
	var stop func() usage
	var used usage
	l.warmUp = s.length(time.Second) / 2
	l.begin = func() { before, failed = s.statements(ctx); stop = watch(s.pids...) }
	l.end = func() {
		used = stop()
		if failed == nil {
			after, failed = s.statements(ctx)
		}
	}
	sample, err := l.run(ctx)
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.addCPU(used)
	s.add(name, l.counts+"/s", sample.rate)
	s.add(name, "p50, ms", sample.p50)
	s.add(name, "p99, ms", sample.p99)
	if l.apart > 0 {
		s.add(name, "holds/s", sample.apart)
	}
	if s.addr == "" {
		return nil
	}
	s.add(name, "statements/s", (after-before-1)/used.took) // without the second count
	s.add(name, "CPU per call, µs", (used.ours-used.self)/used.took/(sample.rate+sample.apart)*1e6)
	return nil
}

// addCPU keeps the share of the machine's CPU that other processes took during the measurements.
func (t *trial) addCPU(u usage) {
	t.cpu.ours += u.ours
	t.cpu.others += u.others
	t.cpu.took += u.took
	t.OthersCPU = t.cpu.othersShare()
}
