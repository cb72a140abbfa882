package test

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"flashsale/test/runtimeapi"
)

// The functions are built as template.yaml's build does it, but for this machine's processor.
var builtFunctions = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "flashsale-functions"); err != nil {
		return "", err
	}
	functionsDir = dir
	build := exec.Command("go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", dir+"/", "flashsale/functions/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", errors.New(string(out))
	}
	return dir, nil
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
	pools   map[string]*runtimeapi.Pool
	stop    func()
}

// concurrency is how many processes of a function there are at most.
const concurrency = 16

// deploy starts the functions of s, as options say.
func deploy(t *testing.T, s *shop, o options) *cloud {
	t.Helper()
	c := &cloud{pools: map[string]*runtimeapi.Pool{}}
	env := functionEnv(s, o)
	for _, name := range []string{"products", "holds", "orders", "webhook", "expire", "admin"} {
		c.pools[name] = runtimeapi.NewPool(function(t, name), concurrency, env...)
	}
	gateway := &runtimeapi.Gateway{}
	for pattern, name := range routes(t) {
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

// routes tells from the OpenAPI document which function serves what: each is named for the first word of its path.
func routes(t testing.TB) map[string]string {
	t.Helper()
	found := map[string]string{}
	path := ""
	for line := range strings.Lines(string(must(os.ReadFile("../docs/openapi.yaml"))(t))) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "  /"):
			path = strings.TrimSuffix(strings.TrimSpace(line), ":")
		case path != "" && strings.HasPrefix(line, "    ") && !strings.HasPrefix(line, "     "):
			name, _, _ := strings.Cut(path[1:], "/")
			if name == "payments" {
				name = "webhook"
			}
			found[strings.ToUpper(strings.TrimSuffix(strings.TrimSpace(line), ":"))+" /v1"+path] = name
		}
	}
	return found
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
