package deploy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flashsale/internal/lambdaemu"
	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
	"flashsale/pkg/api"
	"flashsale/pkg/checkout"
)

// Two processes of the function expire release all due stock exactly once. They end before their deadline, and report
// how late they were and what the audit found.
func TestExpireProcessesReleaseStockOnce(t *testing.T) {
	t.Parallel()
	o := shoptest.WithDefaults(t, shoptest.Options{HoldTTL: 200 * time.Millisecond})
	s := shoptest.New(t, 500, o)
	const holds = 60
	for range holds {
		if _, err := s.PlaceHold(t.Context(), checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: s.ProductID, Qty: 2, TTL: o.HoldTTL}); err != nil {
			t.Fatal(err)
		}
	}
	const limit = 8 * time.Second
	var wg sync.WaitGroup
	var processes [2]*lambdaemu.Function
	for i := range processes {
		f := s.StartFunction(t, "expire", o)
		processes[i] = f
		wg.Go(func() {
			start := time.Now()
			if _, err := f.Invoke(context.Background(), map[string]string{"source": "aws.scheduler"}, limit); err != nil {
				t.Error(err)
			}
			if took := time.Since(start); took < limit-5*time.Second {
				t.Errorf("the function ended after %v of %v, expected it to sweep for most of its time", took, limit)
			}
		})
	}
	wg.Wait()
	var outputs [2]string
	for i, f := range processes {
		f.Stop() // after it the output is complete
		outputs[i] = f.Output()
	}
	if p := s.Stock(t); p.ReservedStock != 0 {
		t.Errorf("the product is %+v, expected no reserved units", p)
	}
	swept := shoptest.SumOf(outputs[0], "flashsale_sweep_holds_total") + shoptest.SumOf(outputs[1], "flashsale_sweep_holds_total")
	if swept != holds {
		t.Errorf("%v holds were swept, expected %d, each once", swept, holds)
	}
	for _, output := range outputs {
		for name, want := range map[string]float64{"flashsale_audit_broken": 0, "flashsale_refunds_due": 0, "flashsale_unmatched_events": 0} {
			if got := shoptest.SumOf(output, name); got != want || !strings.Contains(output, `"`+name+`"`) {
				t.Errorf("the function recorded %s as %v, expected 0", name, got)
			}
		}
	}
	if !strings.Contains(outputs[0]+outputs[1], `"flashsale_sweep_lag_seconds":[`) {
		t.Error("the lag is not recorded")
	}
	s.MustAudit(t)
}

// The alarm StockUnpaid watches the share of a product's stock that nobody has paid for.
func TestExpireRecordsReservedShare(t *testing.T) {
	t.Parallel()
	o := shoptest.WithDefaults(t, shoptest.Options{HoldTTL: time.Minute})
	s := shoptest.New(t, 8, o)
	if _, err := s.PlaceHold(t.Context(), checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: s.ProductID, Qty: 6, TTL: o.HoldTTL}); err != nil {
		t.Fatal(err)
	}
	f := s.StartFunction(t, "expire", o)
	if _, err := f.Invoke(context.Background(), map[string]string{"source": "aws.scheduler"}, 6*time.Second); err != nil {
		t.Error(err)
	}
	f.Stop()
	if got := shoptest.SumOf(f.Output(), "flashsale_stock_reserved_ratio"); got != 0.75 {
		t.Errorf("the function recorded %v as the reserved share, expected 0.75: 6 of 8 units", got)
	}
}

// The time from exec until a process asks for its first event. It opens no connection before that.
func TestColdStart(t *testing.T) {
	t.Parallel()
	var opened atomic.Int64
	nobody := httptest.NewUnstartedServer(http.NotFoundHandler())
	nobody.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	nobody.Start()
	defer nobody.Close()
	addr := nobody.Listener.Addr().String()
	env := []string{
		"MYSQL_DSN=root@tcp(" + addr + ")/flashsale", "CACHE_ADDR=" + addr, "AWS_ENDPOINT_URL=" + nobody.URL,
		"WEBHOOK_SECRET_ARN=arn:aws:secretsmanager:eu-west-1:123456789012:secret:x", "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=x",
	}
	for _, name := range []string{"products", "holds", "orders", "webhook", "expire", "admin"} {
		var times []time.Duration
		for range 20 {
			f := shoptest.Must(lambdaemu.Start(context.Background(), shoptest.Function(t, name), env...))(t)
			times = append(times, f.Started)
			f.Stop()
		}
		slices.Sort(times)
		t.Logf("%-8s exec to first next: median %v of 20 (%v to %v)", name, times[10].Round(100*time.Microsecond), times[0].Round(100*time.Microsecond), times[19].Round(100*time.Microsecond))
	}
	if n := opened.Load(); n > 0 {
		t.Errorf("%d connections before the first event, expected none", n)
	}
}

// An invocation without an HTTP event fails, with an ERROR at every LOG_LEVEL, and the function serves the next one.
func TestRejectsNonHTTPEvent(t *testing.T) {
	t.Parallel()
	o := shoptest.WithDefaults(t, shoptest.Options{})
	s := shoptest.New(t, 5, o)
	f := shoptest.Must(lambdaemu.Start(context.Background(), shoptest.Function(t, "holds"), slices.Concat(shoptest.FunctionEnv(s, o), []string{"LOG_LEVEL=error"})...))(t)
	t.Cleanup(f.Stop)
	var failure *lambdaemu.Failure
	if _, err := f.Invoke(context.Background(), []int{1}, 10*time.Second); !errors.As(err, &failure) {
		t.Errorf("Invoke returned %v, expected a Failure", err)
	}
	if a := s.InvokeHold(t, f); a.Status != http.StatusCreated {
		t.Errorf("the next request: %+v", a)
	}
	f.Stop()
	if !strings.Contains(f.Output(), `"level":"ERROR"`) {
		t.Errorf("nothing is logged: %s", f.Output())
	}
}

// A function that cannot start says why, in one line without a secret.
func TestMisconfiguredFunctionLogsOneLine(t *testing.T) {
	t.Parallel()
	for want, env := range map[string][]string{
		"DB_HOST is missing":                 {"CACHE_ADDR=127.0.0.1:1"},
		"CACHE_ADDR is missing":              {"DB_HOST=localhost"},
		"HOLD_TTL cannot be understood":      {"DB_HOST=localhost", "CACHE_ADDR=127.0.0.1:1", "HOLD_TTL=soon"},
		"WEBHOOK_SECRETS: webhook secret 1 ": {"DB_HOST=localhost", "CACHE_ADDR=127.0.0.1:1", "WEBHOOK_SECRETS=hunter2"},
	} {
		f, err := lambdaemu.Start(context.Background(), shoptest.Function(t, "webhook"), env...)
		if err == nil {
			f.Stop()
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "exit status 2") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Start returned %v, expected an error with %s", err, want)
		}
	}
}

// With EDGE_SECRET, the functions respond to a request around the edge as if nothing were there, and log the address that the edge names.
func TestFunctionsServeOnlyTheEdge(t *testing.T) {
	t.Parallel()
	o := shoptest.WithDefaults(t, shoptest.Options{})
	s := shoptest.New(t, 5, o)
	secret := strings.Repeat("0123456789abcdef", 2)
	s.Deploy(t, func(string) []string { return append(shoptest.FunctionEnv(s, o), "EDGE_SECRET="+secret+",") })
	for _, request := range [][2]string{
		{http.MethodGet, "/v1/products/" + s.ProductID}, {http.MethodPost, "/v1/holds"}, {http.MethodPost, "/v1/orders"},
		{http.MethodPost, "/v1/payments/webhook"}, {http.MethodPost, "/v1/payments/webhook/stripe"},
	} {
		shoptest.CheckProblem(t, s.Do(t, request[0], request[1], "{}", http.Header{api.ViewerHeader: {"198.51.100.8"}}), http.StatusNotFound, "not_found")
	}
	edge := http.Header{api.EdgeHeader: {secret}, api.ViewerHeader: {"198.51.100.7"}}
	if a := s.Do(t, http.MethodGet, "/v1/products/"+s.ProductID, "", edge); a.Status != http.StatusOK {
		t.Errorf("through the edge the product is %+v, expected 200", a)
	}
	s.Stop() // the logs are complete
	log := s.Cloud.Output()
	if !strings.Contains(log, `"address":"198.51.100.7"`) || strings.Contains(log, "198.51.100.8") || strings.Contains(log, secret) {
		t.Errorf("expected the address of the edge's request alone, and no secret: %s", log)
	}
}
