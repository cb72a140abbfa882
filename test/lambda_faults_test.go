package test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/go-sql-driver/mysql"

	"flashsale/internal/devstack"
	"flashsale/internal/lambdaemu"
	"flashsale/pkg/ledger"
)

// invoked is what a function answered to a POST.
func invoked(t testing.TB, f *lambdaemu.Function, path, body string, timeout time.Duration) (answer, error) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	text, err := f.Invoke(context.Background(), must(lambdaemu.Event(r))(t), timeout)
	if err != nil {
		return answer{}, err
	}
	var response events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(text, &response); err != nil {
		t.Fatal(err)
	}
	header := http.Header{}
	for name, value := range response.Headers {
		header.Set(name, value)
	}
	return answer{response.StatusCode, header, strings.TrimSpace(response.Body)}, nil
}

// start starts one process of a function of the shop.
func (s *shop) start(t testing.TB, name string, o options) *lambdaemu.Function {
	t.Helper()
	f := must(lambdaemu.Start(context.Background(), function(t, name), functionEnv(s, o)...))(t)
	t.Cleanup(f.Stop)
	return f
}

// invokeHold asks a process of the function holds for a unit.
func (s *shop) invokeHold(t testing.TB, f *lambdaemu.Function) answer {
	t.Helper()
	a, err := invoked(t, f, "/v1/holds", s.holdBody(1), 10*time.Second)
	if err != nil {
		t.Error(err)
	}
	return a
}

// lockProduct keeps the product's row locked until unlock, as nothing of the project ever does.
func (s *shop) lockProduct(t testing.TB) (unlock func()) {
	t.Helper()
	tx := must(s.Admin.Begin())(t)
	if _, err := tx.Exec("SELECT id FROM products WHERE id = ? FOR UPDATE", s.product); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
			t.Error(err)
		}
	}
}

// calls is how many calls the database is working on. (While a routine runs, its connection's user is its definer.)
func (s *shop) calls(t testing.TB) (n int) {
	t.Helper()
	err := s.Admin.QueryRow("SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND command <> 'Sleep' AND id <> CONNECTION_ID()").Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (s *shop) appUser(t testing.TB) string {
	t.Helper()
	return must(mysql.ParseDSN(must(ledger.AccountsOf(s.AdminDSN))(t).AppDSN))(t).User
}

// Sixteen processes of the function, started at one instant, on fifty units.
func TestSixteenProcessesOnFiftyUnits(t *testing.T) {
	o := withDefaults(t, options{})
	s := newShop(t, 50, o)
	processes := make([]*lambdaemu.Function, 16)
	for i := range processes {
		processes[i] = s.start(t, "holds", o)
	}
	answers := slices.Concat(func() (all [][]answer) {
		all = make([][]answer, len(processes))
		together(len(processes), func(i int) answer {
			for range 10 {
				all[i] = append(all[i], s.invokeHold(t, processes[i]))
			}
			return answer{}
		})
		return all
	}()...)
	if counts := tally(answers); counts["Created"] != 50 || counts["sold_out"] != 110 {
		t.Errorf("%v", counts)
	}
	s.MustAudit(t)
}

// A process that is killed, or frozen for ten seconds, while the database works on its call: nobody waits for it.
func TestProcessLostInACall(t *testing.T) {
	for name, tc := range map[string]struct {
		signal syscall.Signal
		frozen time.Duration
	}{
		"killed": {syscall.SIGKILL, 0},
		"frozen": {syscall.SIGSTOP, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := withDefaults(t, options{})
			s := newShop(t, 1_000_000, o)
			lost, other := s.start(t, "holds", o), s.start(t, "holds", o)
			s.invokeHold(t, lost) // connected
			s.invokeHold(t, other)

			unlock := s.lockProduct(t)
			type result struct {
				answer answer
				err    error
			}
			answered := make(chan result, 1)
			go func() {
				a, err := invoked(t, lost, "/v1/holds", s.holdBody(2), 30*time.Second)
				answered <- result{a, err}
			}()
			eventually(t, "the call waits for the row", func() bool { return s.calls(t) > 0 })
			if err := lost.Signal(tc.signal); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			unlock()

			// The others go on, as if nothing had happened.
			var waits []time.Duration
			for time.Since(began) < tc.frozen || len(waits) < 50 {
				start := time.Now()
				if a := s.invokeHold(t, other); a.status != http.StatusCreated {
					t.Fatalf("another shopper's hold: %+v", a)
				}
				waits = append(waits, time.Since(start))
			}
			slices.Sort(waits)
			t.Logf("%d holds of others: median %v, longest %v", len(waits), waits[len(waits)/2], waits[len(waits)-1])
			if longest := waits[len(waits)-1]; longest > time.Second {
				t.Errorf("somebody waited %v", longest)
			}
			if tc.signal == syscall.SIGSTOP {
				if err := lost.Signal(syscall.SIGCONT); err != nil {
					t.Fatal(err)
				}
			}
			got := <-answered
			switch {
			case tc.signal == syscall.SIGKILL && !errors.Is(got.err, lambdaemu.ErrGone):
				t.Errorf("killed: %+v", got)
			case tc.signal == syscall.SIGSTOP && (got.err != nil || (got.answer.status != http.StatusCreated && got.answer.code() != "busy")):
				t.Errorf("thawed: %+v", got)
			}
			t.Logf("its own answer: %d %s %v", got.answer.status, got.answer.code(), got.err)
			if tc.signal == syscall.SIGSTOP { // it works as before
				if a := s.invokeHold(t, lost); a.status != http.StatusCreated {
					t.Errorf("after the freeze: %+v", a)
				}
			}
			// The lost call happened or not, whole.
			if p := s.stock(t); p.ReservedStock < int64(len(waits)+2) {
				t.Errorf("%d reserved after %d holds", p.ReservedStock, len(waits)+2)
			}
			s.MustAudit(t)
		})
	}
}

// Connections that die while a process is frozen between two events are replaced, and no client sees it.
func TestConnectionsGoneStale(t *testing.T) {
	cache := privateCache(t)
	o := withDefaults(t, options{cacheAddr: cache.Addr()})
	s := newShop(t, 100, o)
	f := s.start(t, "holds", o)
	for round := range 3 {
		if a := s.invokeHold(t, f); a.status != http.StatusCreated {
			t.Fatalf("round %d: %+v", round, a)
		}
		if err := f.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		s.killConnections(t)
		if err := errors.Join(cache.Kill(), cache.Restart(context.Background())); err != nil {
			t.Fatal(err)
		}
		if err := f.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	f.Stop() // its last words come through a pipe
	if out := f.Output(); strings.Contains(out, `"level":"ERROR"`) {
		t.Error(out)
	}
	s.MustAudit(t)
}

// killConnections ends all connections of the application's user at the server.
func (s *shop) killConnections(t testing.TB) {
	t.Helper()
	rows, err := s.Admin.Query("SELECT id FROM information_schema.processlist WHERE user = ?", s.appUser(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil || len(ids) == 0 {
		t.Fatal("there is no connection to kill")
	}
	for _, id := range ids {
		if _, err := s.Admin.Exec("KILL ?", id); err != nil {
			var gone *mysql.MySQLError
			if !errors.As(err, &gone) || gone.Number != 1094 { // it ended by itself
				t.Fatal(err)
			}
		}
	}
}

// A request that waits for a lock longer than its function has left is answered in time.
func TestFunctionAnswersBeforeItsDeadline(t *testing.T) {
	o := withDefaults(t, options{})
	s := newShop(t, 10, o)
	f := s.start(t, "holds", o)
	s.invokeHold(t, f)
	unlock := s.lockProduct(t)
	defer unlock()
	const limit = 1500 * time.Millisecond
	start := time.Now()
	a, err := invoked(t, f, "/v1/holds", s.holdBody(1), limit)
	if took := time.Since(start); err != nil || a.status != http.StatusServiceUnavailable || a.code() != "busy" || a.header.Get("Retry-After") == "" || took > limit {
		t.Errorf("after %v: %+v %v", took, a, err)
	}
	mustProblem(t, a, http.StatusServiceUnavailable, "busy")
	unlock()
	eventually(t, "the call has ended", func() bool { return s.calls(t) == 0 })
	if a := s.invokeHold(t, f); a.status != http.StatusCreated {
		t.Errorf("the next request: %+v", a)
	}
	s.MustAudit(t)
}

// The functions go on through a database that is killed and comes back.
func TestFunctionsWithoutTheDatabase(t *testing.T) {
	database, err := devstack.StartMySQL(context.Background(), t.TempDir(), t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = database.Stop() })
	o := withDefaults(t, options{dsn: database.DSN()})
	s := newShop(t, 100, o)
	f := s.start(t, "holds", o)
	s.invokeHold(t, f)
	if err := database.Kill(); err != nil {
		t.Fatal(err)
	}
	a := s.invokeHold(t, f)
	mustProblem(t, a, http.StatusServiceUnavailable, "busy")
	if err := database.Restart(context.Background()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "holds again", func() bool { return s.invokeHold(t, f).status == http.StatusCreated })
	s.MustAudit(t)
}
