package faults

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
)

// rush lets 40 shoppers place and repeat holds until the product is sold out and the function trouble has returned. It checks that
// no promise is broken meanwhile. trouble calls serve(n) to wait until n more requests have their response, so the sale
// continues whatever state the cache is in. rush returns the median time of a request.
func rush(t *testing.T, s *shoptest.Shop, trouble func(serve func(n int))) (median time.Duration) {
	t.Helper()
	var over atomic.Bool
	var wg sync.WaitGroup
	var mu sync.Mutex
	var took []time.Duration
	granted := map[string]string{}
	for shopper := range 40 {
		wg.Go(func() {
			for n := 0; !over.Load(); n++ {
				key := fmt.Sprintf("rush-shopper-%d-%d", shopper, n)
				start := time.Now()
				r := s.PostHold(t, 1, key)
				spent := time.Since(start)
				mu.Lock()
				took = append(took, spent)
				if r.Status == http.StatusCreated {
					granted[key] = r.Text("id")
				} else if r.Code() != "sold_out" {
					t.Errorf("a hold: got %+v, expected 201 or sold_out", r)
				}
				mu.Unlock()
				if r.Status != http.StatusCreated {
					continue
				}
				if again := s.PostHold(t, 1, key); again.Status != http.StatusOK || again.Text("id") != r.Text("id") {
					t.Errorf("the key of %s: got %+v, expected 200 and the same hold", r.Text("id"), again)
				}
			}
		})
	}
	served := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(took)
	}
	func() {
		defer wg.Wait() // also if trouble ends the test
		defer over.Store(true)
		trouble(func(n int) {
			t.Helper()
			before := served()
			shoptest.Eventually(t, "the sale continues", func() bool { return served() >= before+n })
		})
	}()
	slices.Sort(took)
	median = took[len(took)/2]
	t.Logf("%d requests, %d granted, median %s, p99 %s", len(took), len(granted), median, took[len(took)*99/100])
	p := s.Stock(t)
	if p.ReservedStock != int64(len(granted)) || p.AvailableStock() < 0 {
		t.Errorf("%d units are reserved and %d available, expected the %d granted and none below zero", p.ReservedStock, p.AvailableStock(), len(granted))
	}
	for key, id := range granted { // whatever the cache has of them, and although the product is sold out
		if a := s.PostHold(t, 1, key); a.Status != http.StatusOK || a.Text("id") != id {
			t.Errorf("the key of %s: got %+v, expected 200 and the same hold", id, a)
		}
	}
	s.MustAudit(t)
	return median
}

// cacheKey is a key of the Shop's product in the cache.
func cacheKey(s *shoptest.Shop, what string) string {
	return "flashsale:" + s.App.Ledger.Environment() + ":{" + s.ProductID + "}:" + what
}

// cacheState is the state of the cache in /healthz.
func cacheState(t *testing.T, s *shoptest.Shop) string {
	t.Helper()
	return s.Do(t, http.MethodGet, "/healthz", "", nil).Text("cache")
}

func waitForCache(t *testing.T, s *shoptest.Shop, state string) {
	t.Helper()
	shoptest.Eventually(t, "the cache is "+state, func() bool { return cacheState(t, s) == state })
}

func TestCacheKilledWhileServing(t *testing.T) {
	t.Parallel()
	cache := shoptest.StartCache(t)
	s := shoptest.Open(t, 300, shoptest.Options{CacheAddr: cache.Addr()})
	rush(t, s, func(serve func(n int)) {
		serve(300) // with the cache
		if err := cache.Kill(); err != nil {
			t.Error(err)
		}
		waitForCache(t, s, "unavailable")
		serve(300) // without it
		if err := cache.Restart(context.Background()); err != nil {
			t.Error(err)
		}
		waitForCache(t, s, "ok")
		serve(300) // with it again, now empty
	})
	hitsAgain(t, s)
}

// hitsAgain waits until the stock view reads from the cache.
func hitsAgain(t *testing.T, s *shoptest.Shop) {
	t.Helper()
	shoptest.Eventually(t, "reads use the cache again", func() bool {
		first := s.Do(t, http.MethodGet, "/v1/products/"+s.ProductID, "", nil)
		return first.Text("as_of") == s.Do(t, http.MethodGet, "/v1/products/"+s.ProductID, "", nil).Text("as_of")
	})
}

func TestCacheStoppedFromTheStart(t *testing.T) {
	t.Parallel()
	cache := shoptest.StartCache(t)
	addr := cache.Addr()
	if err := cache.Stop(); err != nil {
		t.Fatal(err)
	}
	s := shoptest.Open(t, 100, shoptest.Options{CacheAddr: addr})
	if a := s.Do(t, http.MethodGet, "/healthz", "", nil); a.Status != http.StatusOK || a.Text("status") != "degraded" {
		t.Errorf("/healthz returned %+v, expected 200 and degraded", a)
	}
	rush(t, s, func(serve func(n int)) { serve(800) })
}

func TestCacheHangs(t *testing.T) {
	t.Parallel()
	cache := shoptest.StartCache(t)
	s := shoptest.Open(t, 300, shoptest.Options{CacheAddr: cache.Addr()})
	rush(t, s, func(serve func(n int)) {
		serve(200)
		if err := cache.Pause(); err != nil {
			t.Error(err)
		}
		serve(400) // although the cache does not respond
		if err := cache.Resume(); err != nil {
			t.Error(err)
		}
		waitForCache(t, s, "ok")
	})
	hitsAgain(t, s)
}

func TestCacheSlow(t *testing.T) {
	t.Parallel()
	cache := shoptest.StartCache(t)
	const slow = 2 * time.Second
	s := shoptest.Open(t, 100, shoptest.Options{CacheAddr: delay(t, cache.Addr(), slow)})
	if median := rush(t, s, func(serve func(n int)) { serve(800) }); median >= slow {
		t.Errorf("half of the requests took %s or more: they waited for the cache, which takes %s", median, slow)
	}
}

func TestCacheFlushed(t *testing.T) {
	t.Parallel()
	cache := shoptest.StartCache(t)
	s := shoptest.Open(t, 200, shoptest.Options{CacheAddr: cache.Addr()})
	c := shoptest.CacheClient(t, cache.Addr())
	rush(t, s, func(serve func(n int)) {
		for range 10 {
			serve(100)
			if err := c.Do(context.Background(), c.B().Flushall().Build()).Error(); err != nil {
				t.Error(err)
			}
		}
	})
}

// Refusals of a sold-out product cost the database almost nothing, with a key or without.
func TestSoldOutRefusalsSpareTheDatabase(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 20, shoptest.Options{})
	for i := range 20 {
		if a := s.PostHold(t, 1, fmt.Sprintf("granted-before-the-rush-%d", i)); a.Status != http.StatusCreated {
			t.Fatalf("a hold before the rush got %+v, expected 201", a)
		}
	}
	calls := func() float64 { return s.Metric(t, "flashsale_ledger_calls_total", "") }
	before, lateBefore, start := calls(), lateInCache(t, s), time.Now()
	var refused atomic.Int64
	var wg sync.WaitGroup
	for shopper := range 16 {
		wg.Go(func() {
			for n := 0; time.Since(start) < ledgertest.Thorough(3*time.Second, 8*time.Second); n++ {
				key := ""
				if shopper%2 == 0 {
					key = fmt.Sprintf("too-late-shopper-%d-%d", shopper, n)
				}
				if r := s.PostHold(t, 1, key); r.Code() != "sold_out" {
					t.Errorf("a hold of the sold-out product: got %+v, expected sold_out", r)
				}
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	seconds := time.Since(start).Seconds()
	spent, missed := calls()-before, lateInCache(t, s)-lateBefore
	t.Logf("%d refusals, %.2f ledger calls per second, the cache was late %v times", refused.Load(), spent/seconds, missed)
	// About one call per entry's lifetime. A failed lookup costs one read more, and with a key another one. So does a lost entry.
	if limit := 8 + 2*seconds + 3*missed; spent > limit {
		t.Errorf("%d refusals cost %v ledger calls, expected at most %.0f", refused.Load(), spent, limit)
	}
	if a := s.PostHold(t, 1, "granted-before-the-rush-7"); a.Status != http.StatusOK {
		t.Errorf("a key that was granted before it sold out got %+v", a)
	}
}

// Requests for products that do not exist, and for the list, cost the database almost nothing.
func TestUnknownProductsSpareTheDatabase(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 20, shoptest.Options{})
	calls := func() float64 { return s.Metric(t, "flashsale_ledger_calls_total", "") }
	s.Do(t, http.MethodGet, "/v1/products/unknown", "", nil) // which connects to the cache
	before, lateBefore, start := calls(), lateInCache(t, s), time.Now()
	var asked atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for time.Since(start) < ledgertest.Thorough(3*time.Second, 8*time.Second) {
				id := fmt.Sprintf("unknown-%d", asked.Add(1))
				if r := s.Do(t, http.MethodGet, "/v1/products/"+id, "", nil); r.Code() != "product_not_found" {
					t.Errorf("a read of an unknown product: got %+v, expected product_not_found", r)
				}
				if r := s.Do(t, http.MethodPost, "/v1/holds", `{"product_id":"`+id+`","qty":1}`, nil); r.Code() != "product_not_found" {
					t.Errorf("a hold of an unknown product: got %+v, expected product_not_found", r)
				}
				if r := s.Do(t, http.MethodGet, "/v1/products", "", nil); !strings.Contains(r.Body, s.ProductID) {
					t.Errorf("the list: got %+v, expected the product in it", r)
				}
			}
		})
	}
	wg.Wait()
	seconds := time.Since(start).Seconds()
	spent, missed := calls()-before, lateInCache(t, s)-lateBefore
	t.Logf("%d rounds, %.2f ledger calls per second, the cache was late %v times", asked.Load(), spent/seconds, missed)
	if limit := 4 + 2*seconds + 3*missed; spent > limit { // the sweep makes none, since nothing is due
		t.Errorf("%d rounds cost %v ledger calls, expected at most %.0f", asked.Load(), spent, limit)
	}
}

// lateInCache counts lookups that timed out in the cache, which then cost the ledger reads, and entries that were not written in time.
func lateInCache(t *testing.T, s *shoptest.Shop) float64 {
	t.Helper()
	return s.Metric(t, "flashsale_cache_lookups_total", "failure") + s.Metric(t, "flashsale_cache_lookups_total", "skipped") +
		s.Metric(t, "flashsale_cache_writes_lost_total", "")
}

// delay is a proxy that delays every response.
func delay(t *testing.T, server string, by time.Duration) string {
	t.Helper()
	listener := shoptest.Must(net.Listen("tcp", "127.0.0.1:0"))(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			backend, err := net.Dial("tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			mu.Lock()
			open = append(open, client, backend)
			mu.Unlock()
			wg.Go(func() { _, _ = io.Copy(backend, client); _ = backend.Close() })
			wg.Go(func() {
				defer func() { _ = client.Close() }()
				buf := make([]byte, 32<<10)
				for {
					n, err := backend.Read(buf)
					if err != nil {
						return
					}
					time.Sleep(by) // the slowness under test
					if _, err := client.Write(buf[:n]); err != nil {
						return
					}
				}
			})
		}
	})
	return listener.Addr().String()
}
