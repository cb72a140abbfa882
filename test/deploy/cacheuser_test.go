package deploy

import (
	"net/http"
	"strings"
	"testing"

	"github.com/valkey-io/valkey-go"

	"flashsale/internal/shoptest"
	"flashsale/internal/template"
)

// The commands and keys that template.yaml allows are enough: a cache with exactly those rights refuses nothing that
// the functions send.
func TestCacheUserRightsSuffice(t *testing.T) {
	t.Parallel()
	cache := shoptest.StartCache(t)
	admin := shoptest.CacheClient(t, cache.Addr())
	rights := strings.Fields(template.At(checkoutTemplate(t).OfType(t, "AWS::ElastiCache::User")["CacheUser"], "Properties", "AccessString").(string))
	watcher := admin.B().Arbitrary("ACL", "SETUSER", "watcher").Args("on", ">watching", "+@all").Build() // reads what was denied
	if err := admin.Do(t.Context(), watcher).Error(); err != nil {
		t.Fatal(err)
	}
	rule := admin.B().Arbitrary("ACL", "SETUSER", "default").Args("reset", "nopass").Args(rights...).Build()
	if err := admin.Do(t.Context(), rule).Error(); err != nil {
		t.Fatal(err)
	}
	s := shoptest.Open(t, 2, shoptest.Options{CacheAddr: cache.Addr()})
	s.Purchase(t)
	for range 2 { // from the database, then from the cache
		s.Do(t, http.MethodGet, "/v1/products", "", nil)
		shoptest.CheckProblem(t, s.Do(t, http.MethodGet, "/v1/products/unknown", "", nil), http.StatusNotFound, "product_not_found")
	}
	shoptest.CheckProblem(t, s.PostHold(t, 1, "key-of-the-one-who-is-late"), http.StatusConflict, "sold_out")
	shoptest.Eventually(t, "a cache lookup is a hit", func() bool {
		s.Do(t, http.MethodGet, "/v1/products/"+s.ProductID, "", nil)
		return s.Metric(t, "flashsale_cache_lookups_total", "hit") > 0
	})
	shoptest.Eventually(t, "the gate refuses a hold", func() bool {
		s.PostHold(t, 1, "another-key-that-is-too-late")
		return s.Metric(t, "flashsale_holds_refused_total", "sold_out/gate") > 0
	})
	watch := shoptest.Must(valkey.NewClient(valkey.ClientOption{
		InitAddress: []string{cache.Addr()}, Username: "watcher", Password: "watching", ForceSingleClient: true, DisableCache: true,
	}))(t)
	t.Cleanup(watch.Close)
	denied, err := watch.Do(t.Context(), watch.B().Arbitrary("ACL", "LOG").Build()).ToArray()
	if err != nil || len(denied) > 0 {
		t.Errorf("the cache denied %v (%v), expected it to deny nothing", denied, err)
	}
}
