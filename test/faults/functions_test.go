package faults

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"flashsale/internal/lambdaemu"
	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
)

// calls counts the calls that the database is working on. (While a routine runs, its connection's user is its definer.)
func calls(t testing.TB, s *shoptest.Shop) (n int) {
	t.Helper()
	err := s.Admin.QueryRow("SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND command <> 'Sleep' AND id <> CONNECTION_ID()").Scan(&n)
	if ledgertest.Unlisted(err) {
		return 1 // look again
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A process is killed or frozen while the database works on its call. Meanwhile other shoppers' holds are placed.
func TestProcessLostInACall(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		signal syscall.Signal
		frozen time.Duration
	}{
		"killed": {syscall.SIGKILL, 0},
		"frozen": {syscall.SIGSTOP, ledgertest.Thorough(time.Second, 10*time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := shoptest.WithDefaults(t, shoptest.Options{})
			s := shoptest.New(t, 1_000_000, o)
			lost, other := s.StartFunction(t, "holds", o), s.StartFunction(t, "holds", o)
			s.InvokeHold(t, lost) // so that it is connected
			s.InvokeHold(t, other)

			unlock := s.LockProduct(t)
			type result struct {
				response shoptest.Response
				err      error
			}
			responded := make(chan result, 1)
			go func() {
				a, err := shoptest.Invoke(t, lost, "/v1/holds", s.HoldBody(2), 30*time.Second)
				responded <- result{a, err}
			}()
			shoptest.Eventually(t, "the call waits for the row", func() bool { return calls(t, s) > 0 })
			if err := lost.Signal(tc.signal); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			unlock()

			// Other shoppers get their holds while the process is lost.
			var waits []time.Duration
			for time.Since(began) < tc.frozen || len(waits) < 50 {
				start := time.Now()
				if a := s.InvokeHold(t, other); a.Status != http.StatusCreated {
					t.Fatalf("another shopper's hold: %+v", a)
				}
				waits = append(waits, time.Since(start))
			}
			slices.Sort(waits)
			t.Logf("%d holds of others: median %v, longest %v", len(waits), waits[len(waits)/2], waits[len(waits)-1])
			if tc.signal == syscall.SIGSTOP {
				if err := lost.Signal(syscall.SIGCONT); err != nil {
					t.Fatal(err)
				}
			}
			got := <-responded
			switch {
			case tc.signal == syscall.SIGKILL && !errors.Is(got.err, lambdaemu.ErrGone):
				t.Errorf("killed: %+v", got)
			case tc.signal == syscall.SIGSTOP && (got.err != nil || (got.response.Status != http.StatusCreated && got.response.Code() != "busy")):
				t.Errorf("thawed: %+v", got)
			}
			t.Logf("its own response: %d %s %v", got.response.Status, got.response.Code(), got.err)
			if tc.signal == syscall.SIGSTOP { // it works again
				if a := s.InvokeHold(t, lost); a.Status != http.StatusCreated {
					t.Errorf("after the freeze: %+v", a)
				}
			}
			// The lost call took effect completely, or not at all.
			if p := s.Stock(t); p.ReservedStock < int64(len(waits)+2) {
				t.Errorf("%d units are reserved after %d holds of one unit, expected at least as many", p.ReservedStock, len(waits)+2)
			}
			s.MustAudit(t)
		})
	}
}

// Connections that die while a process is frozen between two events are replaced. No request fails.
func TestConnectionsGoneStale(t *testing.T) {
	t.Parallel()
	cache := shoptest.StartCache(t)
	o := shoptest.WithDefaults(t, shoptest.Options{CacheAddr: cache.Addr()})
	s := shoptest.New(t, 100, o)
	f := s.StartFunction(t, "holds", o)
	const rounds, attempts = 3, 30
	killed := 0
	for range attempts {
		if a := s.InvokeHold(t, f); a.Status != http.StatusCreated {
			t.Fatalf("after %d lost connections: %+v", killed, a)
		}
		if err := f.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		// A KILL ends its connection a little later. If that is the connection that just served, nothing is left to kill.
		if killConnections(t, s) > 0 {
			killed++
		}
		if err := errors.Join(cache.Kill(), cache.Restart(context.Background())); err != nil {
			t.Fatal(err)
		}
		if err := f.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		if killed == rounds {
			break
		}
	}
	if killed < rounds {
		t.Errorf("%d of %d invocations left a connection to kill, expected %d", killed, attempts, rounds)
	}
	if a := s.InvokeHold(t, f); a.Status != http.StatusCreated {
		t.Errorf("after the last lost connection: %+v", a)
	}
	f.Stop() // a pipe carries its last output
	if out := f.Output(); strings.Contains(out, `"level":"ERROR"`) {
		t.Error(out)
	}
	s.MustAudit(t)
}

// killConnections ends all connections of the function holds at the server, and returns their number.
func killConnections(t testing.TB, s *shoptest.Shop) int {
	t.Helper()
	var ids []int64
	shoptest.Eventually(t, "the server lists its processes", func() bool {
		ids = nil
		rows, err := s.Admin.Query("SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND user LIKE '%\\_holds'")
		if err == nil {
			defer func() { _ = rows.Close() }()
			for err == nil && rows.Next() {
				var id int64
				err = rows.Scan(&id)
				ids = append(ids, id)
			}
			err = errors.Join(err, rows.Err())
		}
		if err != nil && !ledgertest.Unlisted(err) {
			t.Fatalf("reading the process list: %v", err)
		}
		return err == nil
	})
	for _, id := range ids {
		if _, err := s.Admin.Exec("KILL ?", id); err != nil {
			var gone *mysql.MySQLError
			if !errors.As(err, &gone) || gone.Number != 1094 { // it ended by itself
				t.Fatal(err)
			}
		}
	}
	return len(ids)
}

// A request that waits for a lock gets its response before its function's time is over.
func TestFunctionRespondsBeforeItsDeadline(t *testing.T) {
	t.Parallel()
	o := shoptest.WithDefaults(t, shoptest.Options{})
	s := shoptest.New(t, 10, o)
	f := s.StartFunction(t, "holds", o)
	s.InvokeHold(t, f)
	unlock := s.LockProduct(t)
	defer unlock()
	const limit = 1500 * time.Millisecond
	// A machine that stalls longer than the function's reserve makes one response late. A function without a reserve
	// would be late every time.
	shoptest.Eventually(t, "a response within the function's time", func() bool {
		r, err := shoptest.Invoke(t, f, "/v1/holds", s.HoldBody(1), limit)
		if err != nil {
			t.Logf("no response in time: %v", err)
			f = s.StartFunction(t, "holds", o)
			return false
		}
		shoptest.CheckProblem(t, r, http.StatusServiceUnavailable, "busy")
		if r.Header.Get("Retry-After") == "" {
			t.Errorf("got %+v, expected a Retry-After", r)
		}
		return true
	})
	unlock()
	shoptest.Eventually(t, "the call has ended", func() bool { return calls(t, s) == 0 })
	if a := s.InvokeHold(t, f); a.Status != http.StatusCreated {
		t.Errorf("the next request: %+v", a)
	}
	s.MustAudit(t)
}

// The functions keep working after their database is killed and restarted.
func TestFunctionsSurviveDatabaseRestart(t *testing.T) {
	t.Parallel()
	database := shoptest.StartDatabase(t)
	o := shoptest.WithDefaults(t, shoptest.Options{DSN: database.DSN()})
	s := shoptest.New(t, 100, o)
	f := s.StartFunction(t, "holds", o)
	s.InvokeHold(t, f)
	if err := database.Kill(); err != nil {
		t.Fatal(err)
	}
	a := s.InvokeHold(t, f)
	shoptest.CheckProblem(t, a, http.StatusServiceUnavailable, "busy")
	if err := database.Restart(context.Background()); err != nil {
		t.Fatal(err)
	}
	shoptest.Eventually(t, "holds again", func() bool { return s.InvokeHold(t, f).Status == http.StatusCreated })
	s.MustAudit(t)
}
