package ledger_test

import (
	"bytes"
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// freezer makes connections. Once freeze is set, the next call of the routine that is sent on one of them gets lost, as on a
// connection whose other end has vanished: the client hears nothing until its read timeout.
type freezer struct {
	routine string
	freeze  atomic.Bool
	frozen  chan struct{}
}

// open opens a ledger on a freezer's connections.
func (f *freezer) open(t *testing.T, env *ledgertest.Env) *ledger.Ledger {
	t.Helper()
	accounts, err := ledger.AccountsOf(env.AdminDSN)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := mysql.ParseDSN(accounts.DSN(ledger.RoleApp))
	if err != nil {
		t.Fatal(err)
	}
	network, plain := "freezable_"+cfg.DBName, cfg.Net
	mysql.RegisterDialContext(network, func(ctx context.Context, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, plain, addr)
		return freezable{conn, f}, err
	})
	cfg.Net = network
	l, err := ledger.Open(cfg.FormatDSN(), env.Counts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

type freezable struct {
	net.Conn
	f *freezer
}

func (c freezable) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("CALL "+c.f.routine)) && c.f.freeze.CompareAndSwap(true, false) {
		close(c.f.frozen)
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// rush places holds of a product with a limit, each for a new shopper, until stop.
type rush struct {
	*shop
	ledger  *ledger.Ledger
	hung    atomic.Pointer[time.Time] // when a batch hung
	mu      sync.Mutex
	took    []time.Duration // of the holds that began later
	placed  atomic.Int64
	stopped atomic.Bool
	callers sync.WaitGroup
}

func (r *rush) start(t *testing.T) {
	var next atomic.Int64
	for range 64 {
		r.callers.Go(func() {
			for !r.stopped.Load() {
				start := time.Now()
				if _, err := r.place(context.Background(), r.ledger, shopper(int(next.Add(1))), 1); err != nil {
					t.Errorf("a hold beside a stuck batch: %v", err)
					return
				}
				r.placed.Add(1)
				if hung := r.hung.Load(); hung != nil && start.After(*hung) {
					r.mu.Lock()
					r.took = append(r.took, time.Since(start))
					r.mu.Unlock()
				}
			}
		})
	}
}

// waitFor waits until n more holds are placed.
func (r *rush) waitFor(t *testing.T, n int64) {
	t.Helper()
	for until, deadline := r.placed.Load()+n, time.Now().Add(time.Minute); r.placed.Load() < until; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) || t.Failed() {
			t.Fatalf("%d holds are placed, expected %d", r.placed.Load(), until)
		}
	}
}

// A batch that hangs, on a frozen connection or behind a shopper's locked row, delays its own holds until they go by themselves,
// and no others. Nothing is placed twice.
func TestBatchThatHangsDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	for name, hang := range map[string]func(t *testing.T, r *rush, f *freezer) (unlock func()){
		"frozen connection": func(_ *testing.T, _ *rush, f *freezer) func() {
			f.freeze.Store(true)
			<-f.frozen
			return func() {}
		},
		"locked row": func(t *testing.T, r *rush, _ *freezer) func() {
			locked, first := begin(t, r.Env), shopper(0)
			exec(t, locked, "INSERT INTO shopper_products (shopper, product_id) VALUES (?, ?)", first[:], r.product)
			r.callers.Go(func() {
				for { // the shopper repeats a busy request
					if _, err := r.place(context.Background(), r.ledger, shopper(0), 1); checkout.CodeOf(err) != checkout.CodeBusy {
						if err != nil {
							t.Errorf("the hold behind the locked row: %v", err)
						}
						r.placed.Add(1)
						return
					}
				}
			})
			for len(r.LockWaits(t)) == 0 {
				time.Sleep(time.Millisecond)
			}
			return func() { _ = locked.Rollback() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &rush{shop: newShop(t, 1_000_000, 1)}
			f := &freezer{routine: "place_holds", frozen: make(chan struct{})}
			r.ledger = f.open(t, r.Env)
			r.start(t)
			r.waitFor(t, 100)
			unlock := hang(t, r, f)
			hung := time.Now()
			r.hung.Store(&hung)
			r.waitFor(t, 500)
			unlock()
			r.stopped.Store(true)
			r.callers.Wait()
			slices.Sort(r.took)
			t.Logf("beside the stuck batch, %d holds took: p50 %v, p99 %v, at most %v", len(r.took), r.took[len(r.took)/2], r.took[len(r.took)*99/100], r.took[len(r.took)-1])
			if audit := r.MustAudit(t); audit.Holds != r.placed.Load() {
				t.Errorf("%d holds are stored, expected the %d that were placed", audit.Holds, r.placed.Load())
			}
		})
	}
}
