package ledger_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// secondProcess is a ledger with a queue of its own on the same database.
func secondProcess(t *testing.T, env *ledgertest.Env) *ledger.Ledger {
	t.Helper()
	accounts, err := ledger.AccountsOf(env.AdminDSN)
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(accounts.DSN(ledger.RoleApp), env.Counts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// untilDecided places a hold as a client does that repeats a busy request.
func untilDecided(l *ledger.Ledger, r checkout.HoldRequest) (checkout.Receipt, error) {
	for {
		receipt, err := l.PlaceHold(context.Background(), r)
		if checkout.CodeOf(err) != checkout.CodeBusy {
			return receipt, err
		}
	}
}

// Two processes place holds in batches, all at the same instant, while the product is locked. Each hold is what it would have
// been alone.
func TestTwoProcessesPlaceInBatches(t *testing.T) {
	t.Parallel()
	limit := int64(2)
	for name, tc := range map[string]struct {
		callers, stock, overdue int
		request                 func(i int, r *checkout.HoldRequest)
		holds, units            int64 // of the callers; -1: not fixed
	}{
		"the last units":           {callers: 400, stock: 50, holds: 50, units: 50},
		"quantities":               {callers: 200, stock: 97, request: func(i int, r *checkout.HoldRequest) { r.Qty = int64(1 + i%3) }, holds: -1, units: 97},
		"keys that are repeated":   {callers: 96, stock: 100, request: func(i int, r *checkout.HoldRequest) { r.Key = &checkout.IdempotencyKey{byte(i % 12), 1} }, holds: 12, units: 12},
		"units that are overdue":   {callers: 100, stock: 30, overdue: 20, holds: 30, units: 30},
		"a limit for each shopper": {callers: 100, stock: 100, request: func(i int, r *checkout.HoldRequest) { r.Shopper, r.MaxPerShopper = shopper(i%10), &limit }, holds: 20, units: 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &stage{Env: ledgertest.New(t), product: "p"}
			s.MustPut(t, s.product, int64(tc.stock))
			if name == "a limit for each shopper" {
				if _, _, err := s.PutProduct(t.Context(), checkout.ProductChange{ID: s.product, MaxPerShopper: &checkout.Limit{Units: &limit}}); err != nil {
					t.Fatal(err)
				}
			}
			for range tc.overdue / 2 {
				id := ledgertest.NewID()
				s.place(t, id) // two units
				s.age(t, id)
			}
			processes := []*ledger.Ledger{s.Ledger, secondProcess(t, s.Env)}
			locked := begin(t, s.Env)
			exec(t, locked, "SELECT id FROM products WHERE id = ? FOR UPDATE", s.product)
			all := requests(tc.callers, s.product, tc.request)
			var next, refused atomic.Int64
			var holds sync.Map
			done := make(chan struct{})
			go func() {
				defer close(done)
				together(tc.callers, func() {
					i := int(next.Add(1)) - 1
					receipt, err := untilDecided(processes[i%2], all[i])
					switch {
					case err == nil:
						holds.Store(receipt.Hold.ID, receipt.Hold.Qty)
					case checkout.CodeOf(err) == checkout.CodeSoldOut, checkout.CodeOf(err) == checkout.CodeShopperLimit:
						refused.Add(1)
					default:
						t.Errorf("hold %d: %v", i, err)
					}
				})
			}()
			for len(s.LockWaits(t)) == 0 { // the first of many
				time.Sleep(time.Millisecond)
			}
			if err := locked.Rollback(); err != nil {
				t.Fatal(err)
			}
			<-done
			var n, units int64
			holds.Range(func(_, qty any) bool { n++; units += qty.(int64); return true }) //nolint:forcetypeassert // as stored above
			if tc.holds >= 0 && n != tc.holds || units != tc.units {
				t.Errorf("%d holds have %d units and %d were refused, expected %d holds with %d units", n, units, refused.Load(), tc.holds, tc.units)
			}
			s.MustAudit(t)
		})
	}
}

// Two batches that repeat each other's keys in another order wait for each other, without a deadlock. Each key gets one hold.
func TestBatchesWithEachOthersKeys(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	env.MustPut(t, "p", 100_000)
	for round := range 20 {
		var holds sync.Map // by key
		var next atomic.Int64
		together(2, func() {
			backwards := next.Add(1) == 2
			batch := requests(90, "p", func(i int, r *checkout.HoldRequest) {
				if backwards {
					i = 89 - i
				}
				r.Key = &checkout.IdempotencyKey{byte(i), byte(round), 1}
			})
			for i, p := range env.PlaceTogether(context.Background(), batch) {
				if p.Err != nil {
					t.Errorf("a hold with a repeated key: %v", p.Err)
				} else if first, _ := holds.LoadOrStore(*batch[i].Key, p.Receipt.Hold.ID); first != p.Receipt.Hold.ID {
					t.Errorf("a key has the holds %v and %v", first, p.Receipt.Hold.ID)
				}
			}
		})
	}
	if n := env.Counts.Of(checkout.LedgerRetries.Name + "/1213"); n > 0 {
		t.Errorf("%v calls ended in a deadlock", n)
	}
	env.MustAudit(t)
}

// killBatches kills queries and connections of a routine's calls in turn, until stop.
func killBatches(t *testing.T, env *ledgertest.Env, routine string, killed *atomic.Int64) (stop func()) {
	t.Helper()
	accounts, err := ledger.AccountsOf(env.AdminDSN)
	if err != nil {
		t.Fatal(err)
	}
	user, err := mysql.ParseDSN(accounts.DSN(ledger.RoleApp))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-ended:
				return
			case <-time.After(5 * time.Millisecond): // so that most calls live
			}
			var id int64
			query := "SELECT id FROM information_schema.processlist WHERE user = ? AND info LIKE CONCAT('CALL ', ?, '%') LIMIT 1"
			if env.Admin.QueryRow(query, user.User, routine).Scan(&id) == nil {
				if _, err := env.Admin.Exec([]string{"KILL QUERY ?", "KILL CONNECTION ?"}[n%2], id); err == nil {
					killed.Add(1)
				}
			}
		}
	})
	return func() { close(ended); killer.Wait() }
}

// Connections and queries are killed in the middle of batches. Clients keep books: each hold that was granted is there, once.
func TestKilledBatchesLoseNothing(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	env.MustPut(t, "hot", 10_000_000)
	var killed atomic.Int64
	stopKilling := killBatches(t, env, "place_holds", &killed)
	processes := []*ledger.Ledger{env.Ledger, secondProcess(t, env)}
	var mu sync.Mutex
	granted := map[checkout.ID]bool{}
	deadline := time.Now().Add(ledgertest.Thorough(3*time.Second, 10*time.Second))
	giveUp := time.Now().Add(2 * time.Minute)
	var callers sync.WaitGroup
	for i := range 64 {
		callers.Go(func() {
			for time.Now().Before(deadline) || killed.Load() < 20 && time.Now().Before(giveUp) {
				r := request("hot")
				if i%3 == 0 {
					key := checkout.IdempotencyKey(append(r.ID[:], r.ID[:]...))
					r.Key = &key
				}
				receipt, err := processes[i%2].PlaceHold(context.Background(), r)
				switch {
				case err == nil && receipt.Hold.ID == r.ID:
					mu.Lock()
					granted[r.ID] = true
					mu.Unlock()
				case err == nil || checkout.CodeOf(err) != checkout.CodeBusy:
					t.Errorf("a hold beside killed batches returned %+v (%v), expected its own or busy", receipt, err)
					return
				}
			}
		})
	}
	callers.Wait()
	stopKilling()
	if killed.Load() < 20 {
		t.Fatalf("only %d batches were killed, expected at least 20", killed.Load())
	}
	rows, err := env.Admin.Query("SELECT id FROM holds")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // read to the end
	stored := 0
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		stored++
		delete(granted, checkout.ID(id))
	}
	if err := rows.Err(); err != nil || len(granted) > 0 {
		t.Errorf("%d granted holds are lost (%v)", len(granted), err)
	}
	t.Logf("%d batches killed, %d holds placed", killed.Load(), stored)
	env.MustAudit(t)
}
