package faults

import (
	"context"
	"net/http"
	"testing"

	"flashsale/internal/shoptest"
)

// A cache that responds but refuses writes breaks no promise, and /healthz and a metric tell why it does not help.
func TestCacheRefusesWrites(t *testing.T) {
	t.Parallel()
	for _, fault := range []struct {
		state       string
		begin, mend []string
	}{
		{"read_only", []string{"REPLICAOF", "127.0.0.1", "1"}, []string{"REPLICAOF", "NO", "ONE"}}, // as after a failover
		{"full", []string{"CONFIG", "SET", "maxmemory", "1"}, []string{"CONFIG", "SET", "maxmemory", "0"}},
	} {
		t.Run(fault.state, func(t *testing.T) {
			t.Parallel()
			cache := shoptest.StartCache(t)
			s := shoptest.Open(t, 200, shoptest.Options{CacheAddr: cache.Addr()})
			c := shoptest.CacheClient(t, cache.Addr())
			command := func(words []string) {
				t.Helper()
				if err := c.Do(context.Background(), c.B().Arbitrary(words...).Build()).Error(); err != nil {
					t.Fatalf("%v: %v", words, err)
				}
			}
			command([]string{"CONFIG", "SET", "maxmemory-policy", "noeviction"})
			lost := func() float64 { return s.Metric(t, "flashsale_cache_writes_lost_total", fault.state) }
			rush(t, s, func(serve func(n int)) {
				serve(100)
				waitForCache(t, s, "ok")
				if n := lost(); n > 0 {
					t.Errorf("%v writes were refused before the fault, expected none", n)
				}
				command(fault.begin)
				waitForCache(t, s, fault.state)
				if a := s.Do(t, http.MethodGet, "/healthz", "", nil); a.Status != http.StatusOK || a.Text("status") != "degraded" {
					t.Errorf("/healthz returned %+v, expected 200 and degraded", a)
				}
				serve(300)
				shoptest.Eventually(t, "the metric counts a refused write", func() bool { // on a busy machine the next one takes a while
					serve(1)
					return lost() > 0
				})
				command(fault.mend)
				waitForCache(t, s, "ok")
				serve(100)
			})
			hitsAgain(t, s)
		})
	}
}
