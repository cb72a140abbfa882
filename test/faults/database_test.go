package faults

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flashsale/internal/shoptest"
	"flashsale/pkg/checkout"
)

// The database is killed twice and restarted while 50 clients place holds. Each client repeats its hold, with the same
// key, until it gets a response. No hold is lost and none is doubled.
func TestDatabaseKilledAndRestarted(t *testing.T) {
	t.Parallel()
	database := shoptest.StartDatabase(t)
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
						t.Errorf("a hold during the outage got %+v, expected busy with Retry-After", a)
					}
					mu.Lock()
					retries++
					mu.Unlock()
					time.Sleep(50 * time.Millisecond) // a client that ignores the longer Retry-After
					a = s.PostHold(t, 1, key)
				}
				if a.Status != http.StatusCreated && a.Status != http.StatusOK {
					t.Errorf("a hold got %+v, expected 201 or 200", a)
				}
				mu.Lock()
				held[key] = a.Text("id")
				mu.Unlock()
			}
		})
	}
	placed := func(n int) { // waits until n more holds are placed
		mu.Lock()
		before := len(held)
		mu.Unlock()
		shoptest.Eventually(t, "holds are placed", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(held) >= before+n
		})
	}
	for range 2 {
		placed(200)
		if err := database.Kill(); err != nil {
			t.Fatal(err)
		}
		shoptest.Eventually(t, "the outage is seen", func() bool { return s.Do(t, http.MethodGet, "/healthz", "", nil).Text("database") == "unavailable" })
		if err := database.Restart(context.Background()); err != nil {
			t.Fatal(err)
		}
		shoptest.Eventually(t, "the database is back", func() bool { return s.Do(t, http.MethodGet, "/healthz", "", nil).Status == http.StatusOK })
	}
	placed(100)
	over.Store(true)
	wg.Wait()

	t.Logf("%d holds, %d times busy, %v responses lost", len(held), retries, s.Metric(t, "flashsale_ledger_retries_total", "lost"))
	ids := map[string]bool{}
	for key, id := range held {
		parsed, ok := checkout.ParseHoldID(id)
		if !ok || ids[id] {
			t.Fatalf("the key %s got the hold %q, expected one that no other key has", key, id)
		}
		ids[id] = true
		if _, err := s.Hold(context.Background(), checkout.Caller{}, parsed); err != nil {
			t.Errorf("a hold that was promised is lost: %v", err)
		}
	}
	if audit := s.MustAudit(t); audit.Holds != int64(len(held)) {
		t.Errorf("%d holds for %d keys, expected as many holds as keys", audit.Holds, len(held))
	}
}
