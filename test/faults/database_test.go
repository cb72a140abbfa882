package faults

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flashsale/internal/devstack"
	"flashsale/internal/shoptest"
	"flashsale/pkg/checkout"
)

// The database is killed twice and comes back while 50 clients place holds, each repeated with its key until it has an
// answer: no hold is lost and none is doubled.
func TestDatabaseKilledAndRestarted(t *testing.T) {
	database, err := devstack.StartMySQL(context.Background(), t.TempDir(), t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = database.Stop() })
	const clients = 50
	s := shoptest.Open(t, 100_000, shoptest.Options{DSN: database.DSN()})
	var over atomic.Bool
	var wg sync.WaitGroup
	var mu sync.Mutex
	held := map[string]string{}
	retries := 0
	for client := range clients {
		wg.Go(func() {
			for n := 0; !over.Load(); n++ {
				key := fmt.Sprintf("client-%d-hold-number-%d", client, n)
				a := s.PostHold(t, 1, key)
				for a.Status >= 500 {
					if a.Code() != "busy" || a.Header.Get("Retry-After") == "" {
						t.Errorf("%+v", a)
					}
					mu.Lock()
					retries++
					mu.Unlock()
					time.Sleep(50 * time.Millisecond) // Retry-After says longer; a client that does not care
					a = s.PostHold(t, 1, key)
				}
				if a.Status != http.StatusCreated && a.Status != http.StatusOK {
					t.Errorf("%+v", a)
				}
				mu.Lock()
				held[key] = a.Text("id")
				mu.Unlock()
			}
		})
	}
	for range 2 {
		time.Sleep(700 * time.Millisecond) // under load
		if err := database.Kill(); err != nil {
			t.Fatal(err)
		}
		shoptest.Eventually(t, "the outage is seen", func() bool { return s.Do(t, http.MethodGet, "/healthz", "", nil).Text("database") == "unavailable" })
		if err := database.Restart(context.Background()); err != nil {
			t.Fatal(err)
		}
		shoptest.Eventually(t, "the database is back", func() bool { return s.Do(t, http.MethodGet, "/healthz", "", nil).Status == http.StatusOK })
	}
	time.Sleep(300 * time.Millisecond) // under load again
	over.Store(true)
	wg.Wait()

	t.Logf("%d holds, %d times busy, %v answers lost", len(held), retries, s.Metric(t, "flashsale_ledger_retries_total", "lost"))
	ids := map[string]bool{}
	for key, id := range held {
		parsed, ok := checkout.ParseHoldID(id)
		if !ok || ids[id] {
			t.Fatalf("%s has %q", key, id)
		}
		ids[id] = true
		if _, err := s.Hold(context.Background(), parsed); err != nil {
			t.Errorf("a hold that was promised is lost: %v", err)
		}
	}
	if audit := s.MustAudit(t); audit.Holds != int64(len(held)) {
		t.Errorf("%d holds for %d keys", audit.Holds, len(held))
	}
}

func TestLockHeldTooLongIsBusy(t *testing.T) {
	s := shoptest.Open(t, 10, shoptest.Options{})
	tx, err := s.Admin.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("SELECT id FROM products WHERE id = ? FOR UPDATE", s.ProductID); err != nil {
		t.Fatal(err)
	}
	a := s.PostHold(t, 1, "")
	if a.Status != http.StatusServiceUnavailable || a.Code() != "busy" || a.Header.Get("Retry-After") != "1" {
		t.Errorf("%+v", a)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	s.MustHold(t, 10)
	s.MustAudit(t)
}
