package test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"flashsale/internal/lambdaemu"
)

// The functions are built as template.yaml's build does it, but for this machine's processor.
var builtFunctions = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "flashsale-functions"); err != nil {
		return "", err
	}
	functionsDir = dir
	return dir, lambdaemu.Build(context.Background(), dir, "")
})

var functionsDir string

// function is the path of a function's binary.
func function(t testing.TB, name string) string {
	t.Helper()
	return filepath.Join(must(builtFunctions())(t), name)
}

// cloud is a deployed checkout, as far as it can be without AWS: its functions behind a gateway, and the schedule.
type cloud struct {
	gateway *httptest.Server
	pools   map[string]*lambdaemu.Pool
	stop    func()
}

// concurrency is how many processes of a function there are at most.
const concurrency = 16

// deploy starts the functions of s, as options say.
func deploy(t *testing.T, s *shop, o options) *cloud {
	t.Helper()
	c := &cloud{pools: map[string]*lambdaemu.Pool{}}
	env := functionEnv(s, o)
	for _, name := range []string{"products", "holds", "orders", "webhook", "expire", "admin"} {
		c.pools[name] = lambdaemu.NewPool(function(t, name), concurrency, env...)
	}
	gateway := &lambdaemu.Gateway{}
	for pattern, name := range templateRoutes(t) {
		gateway.Route(pattern, c.pools[name])
	}
	c.gateway = httptest.NewServer(gateway)
	ticking, cancel := context.WithCancel(context.Background())
	var schedule sync.WaitGroup
	schedule.Go(func() { c.tick(ticking, t) })
	c.stop = func() {
		cancel()
		schedule.Wait()
		c.gateway.Close()
		for _, p := range c.pools {
			p.Stop()
		}
	}
	return c
}

// tick is the schedule, with minutes of seven seconds.
func (c *cloud) tick(ctx context.Context, t *testing.T) {
	for ctx.Err() == nil {
		event := map[string]string{"source": "aws.scheduler"}
		if _, err := c.pools["expire"].Invoke(ctx, event, 7*time.Second); err != nil && ctx.Err() == nil {
			t.Logf("the schedule's function: %v", err)
		}
	}
}

// functionEnv are the variables of s's functions.
func functionEnv(s *shop, o options) []string {
	return []string{
		"MYSQL_DSN=" + s.AdminDSN, "CACHE_ADDR=" + o.cacheAddr, "LOG_LEVEL=debug", "METRICS_NAMESPACE=flashsale-test",
		"HOLD_TTL=" + o.holdTTL.String(), "PAYMENT_WINDOW=" + o.window.String(),
		"WEBHOOK_SECRETS=" + secret("new") + "," + secret("old"), "STRIPE_WEBHOOK_SECRETS=whsec_stripe_secret",
	}
}

// opener opens a shop: see open.
type opener func(t *testing.T, stock int64, o options) *shop

// everyWay runs a test against the local server, and against the functions behind a gateway.
func everyWay(t *testing.T, test func(t *testing.T, open opener)) {
	t.Helper()
	t.Run("server", func(t *testing.T) { test(t, open) })
	t.Run("functions", func(t *testing.T) {
		test(t, func(t *testing.T, stock int64, o options) *shop {
			o.functions = true
			return open(t, stock, o)
		})
	})
}

// The README's purchase, and what the functions say of it: each request and each metric, and no secret.
func TestPurchase(t *testing.T) {
	everyWay(t, func(t *testing.T, open opener) {
		s := open(t, 10, options{})
		s.purchase(t)
		s.MustAudit(t)
		if s.cloud == nil {
			return
		}
		s.stop()
		var output strings.Builder
		for _, p := range s.cloud.pools {
			output.WriteString(p.Output())
		}
		for name, want := range map[string]float64{"flashsale_holds_placed_total": 1, "flashsale_webhook_events_total": 3} {
			if got := sumOf(t, output.String(), name); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
		for _, text := range []string{`"route":"/v1/orders/{id}"`, `"trace_id":"Root=1-5759e988`, `"lambda_request_id":"`, `"request_id":"`} {
			if !strings.Contains(output.String(), text) {
				t.Errorf("the log has no %s", text)
			}
		}
		for _, secret := range []string{"whsec_", "v1,", "key-", "root:"} {
			if strings.Contains(output.String(), secret) {
				t.Errorf("the log has %s", secret)
			}
		}
	})
}

// The commands that template.yaml lets the cache's user give are enough, and its keys are: nothing the functions ask of a
// cache that allows no more fails.
func TestCacheUserCanDoTheWork(t *testing.T) {
	cache := privateCache(t)
	admin := rawCache(t, cache.Addr())
	rights := strings.Fields(at(ofType(t, "AWS::ElastiCache::User")["CacheUser"], "Properties", "AccessString").(string))
	rule := admin.B().Arbitrary("ACL", "SETUSER", "default").Args("reset", "nopass").Args(rights...).Build()
	if err := admin.Do(t.Context(), rule).Error(); err != nil {
		t.Fatal(err)
	}
	s := open(t, 2, options{cacheAddr: cache.Addr()})
	s.purchase(t)
	mustProblem(t, s.hold(t, 1, "key-of-the-one-who-is-late"), http.StatusConflict, "sold_out")
	for _, result := range []string{"failure", "skipped"} {
		if n := metric(t, s, "flashsale_cache_lookups_total", result); n > 0 {
			t.Errorf("%v lookups: %s", n, result)
		}
	}
	if n := metric(t, s, "flashsale_cache_lookups_total", "hit"); n == 0 {
		t.Error("the cache was never hit")
	}
	if n := metric(t, s, "flashsale_holds_refused_total", "sold_out/gate"); n != 1 {
		t.Errorf("%v refusals by the gate, want the last one", n)
	}
	if n := metric(t, s, "flashsale_ledger_calls_total", "key_used/unused"); n > 0 {
		t.Errorf("the database was asked for %v keys that the cache could have known", n)
	}
}
