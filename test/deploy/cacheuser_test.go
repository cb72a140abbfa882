package deploy

import (
	"net/http"
	"strings"
	"testing"

	"flashsale/internal/shoptest"
)

// The commands and keys that template.yaml allows the cache's user suffice: a cache that allows no more refuses nothing
// that the functions ask.
func TestCacheUserCanDoTheWork(t *testing.T) {
	t.Parallel()
	cache := shoptest.StartCache(t)
	admin := shoptest.CacheClient(t, cache.Addr())
	rights := strings.Fields(at(ofType(t, "AWS::ElastiCache::User")["CacheUser"], "Properties", "AccessString").(string))
	rule := admin.B().Arbitrary("ACL", "SETUSER", "default").Args("reset", "nopass").Args(rights...).Build()
	if err := admin.Do(t.Context(), rule).Error(); err != nil {
		t.Fatal(err)
	}
	s := shoptest.Open(t, 2, shoptest.Options{CacheAddr: cache.Addr()})
	s.Purchase(t)
	shoptest.CheckProblem(t, s.PostHold(t, 1, "key-of-the-one-who-is-late"), http.StatusConflict, "sold_out")
	for _, result := range []string{"failure", "skipped"} {
		if n := s.Metric(t, "flashsale_cache_lookups_total", result); n > 0 {
			t.Errorf("%v cache lookups ended in %s, expected none", n, result)
		}
	}
	if n := s.Metric(t, "flashsale_cache_lookups_total", "hit"); n == 0 {
		t.Error("no cache lookup was a hit")
	}
	if n := s.Metric(t, "flashsale_holds_refused_total", "sold_out/gate"); n != 1 {
		t.Errorf("the gate refused %v holds, expected the last one", n)
	}
	if n := s.Metric(t, "flashsale_ledger_calls_total", "key_used/unused"); n > 0 {
		t.Errorf("the database was asked for %v keys that the cache knew to be unused", n)
	}
}
