package bench

import (
	"context"
	"fmt"
	"time"
)

// statements counts what clients have sent to the database server, by the server's own count. Pings are not in it, nor
// what routines do inside.
func (s *schema) statements(ctx context.Context) (float64, error) {
	var name string
	var n float64
	if err := s.admin.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Questions'").Scan(&name, &n); err != nil {
		return 0, fmt.Errorf("counting the server's statements: %w", err)
	}
	return n, nil
}

// countStatements returns how many statements a second clients send from when begin is called until end is, without
// the counting itself.
func (s *schema) countStatements(ctx context.Context) (begin, end func(), rate func() (float64, error)) {
	var first, last float64
	var start time.Time
	var took time.Duration
	var failed error
	begin = func() {
		first, failed = s.statements(ctx)
		start = time.Now()
	}
	end = func() {
		took = time.Since(start)
		if failed == nil {
			last, failed = s.statements(ctx)
		}
	}
	rate = func() (float64, error) { return (last - first - 1) / took.Seconds(), failed }
	return begin, end, rate
}

// idleStatements is countStatements of a server that nobody asks anything: what its sweep, its audit and whoever else
// uses the database server send.
func (s *site) idleStatements(ctx context.Context, r *Run, f Figures, key ...string) error {
	begin, end, rate := s.countStatements(ctx)
	begin()
	err := sleep(ctx, r.length(4*time.Second))
	end()
	if err != nil {
		return err
	}
	n, err := rate()
	f.Add("statements", n, key...)
	return err
}

// counted is measured with a count of the statements.
func (s *site) counted(ctx context.Context, f Figures, l load, key ...string) error {
	begin, end, rate := s.countStatements(ctx)
	l.begin, l.end = both(l.begin, begin), both(end, l.end)
	if err := s.measured(ctx, f, l, key...); err != nil {
		return err
	}
	n, err := rate()
	f.Add("statements", n, key...)
	return err
}

// above returns by how much the statements of a case are above the idle server's, a value a round. Below is none: others
// used the database server meanwhile.
func (f Figures) above(idle, database, name string) []Value {
	values := f.Differences("statements", []string{database, name}, []string{database, idle})
	for i, v := range values {
		if v < -1 {
			values[i] = none
		}
	}
	return values
}

// both calls two functions, which may be nil.
func both(first, second func()) func() {
	return func() {
		for _, call := range []func(){first, second} {
			if call != nil {
				call()
			}
		}
	}
}
