package command

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"

	"flashsale/internal/shoptest"
)

var liveAddress = regexp.MustCompile(`Live: +(http://127\.0\.0\.1:\d+)/live/\n`)

// openLive starts `flashsale live`, and returns its address.
func openLive(t *testing.T, d shoptest.Desk, args ...string) (command *exec.Cmd, out *shoptest.Output, base string) {
	t.Helper()
	command, out = d.Begin(t, append([]string{"live", "--addr", "127.0.0.1:0"}, args...)...)
	t.Cleanup(func() { _ = command.Process.Kill() })
	shoptest.Eventually(t, "the page has an address", func() bool {
		if found := liveAddress.FindStringSubmatch(out.String()); found != nil {
			base = found[1]
		}
		return base != "" || command.ProcessState != nil
	})
	return command, out, base
}

// interrupt presses Ctrl-C.
func interrupt(t *testing.T, command *exec.Cmd, out *shoptest.Output) {
	t.Helper()
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Errorf("after Ctrl-C the command ended with %v, expected no error:\n%s", err, out)
	}
}

func pause(t *testing.T, base, product string) {
	t.Helper()
	request := shoptest.Must(http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/live/products/"+product+"/pause", strings.NewReader("{}")))(t)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if text := shoptest.Must(io.ReadAll(response.Body))(t); response.StatusCode != http.StatusOK || !strings.Contains(string(text), `"hidden":true`) {
		t.Errorf("the pause: got %d %s, expected 200 and the hidden product", response.StatusCode, text)
	}
}

// The page of a server of this machine has its requests from /metrics, and its stock from the database.
func TestLiveWatchesAServer(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 5, shoptest.Options{})
	d := shoptest.NewDesk(t, "MYSQL_DSN="+s.AdminDSN, "CACHE_ADDR=127.0.0.1:1", "USER=ada")
	command, out, base := openLive(t, d, "--url", s.URL)
	page := shoptest.OpenLive(t, base, s.ProductID)
	page.Eventually(t, "the traffic is measured", func(f shoptest.LiveFigures) bool { return f.Samples > 0 })
	s.MustOrder(t, 2)
	page.Eventually(t, "the order and its requests", func(f shoptest.LiveFigures) bool {
		return f.Units == [4]int64{3, 0, 2, 0} && f.Requests > 0
	})
	page.Eventually(t, "the audit", func(f shoptest.LiveFigures) bool { return f.State.Audit.State == "clean" && f.State.Trouble == "" })
	pause(t, base, s.ProductID)
	page.Eventually(t, "the pause", func(f shoptest.LiveFigures) bool { return f.State.Products[0].Hidden })
	if !strings.Contains(out.String(), `"operation":"hide_product","operator":"ada"`) {
		t.Errorf("expected ada's pause in the log:\n%s", out)
	}
	s.Stop()
	page.Eventually(t, "no server", func(f shoptest.LiveFigures) bool {
		return strings.Contains(f.State.Trouble, "No server shows its metrics at "+s.URL) && f.State.Audit.State == "unknown" && f.Units == [4]int64{3, 0, 2, 0}
	})
	interrupt(t, command, out)
	page.Eventually(t, "the end of the stream", func(f shoptest.LiveFigures) bool { return f.Ended })
	if n := strings.Count(out.String(), "cannot show everything"); n != 1 {
		t.Errorf("the missing server is in the log %d times, expected once:\n%s", n, out)
	}
}

// The page of a stack has its stock from the admin function, and its requests from CloudWatch.
func TestLiveWatchesAStack(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 5, shoptest.Options{Functions: true})
	var throttled atomic.Bool
	endpoint := aws(t, s, "https://a1b2c3.execute-api.eu-west-1.amazonaws.com", &throttled, &atomic.Int32{})
	d := shoptest.NewDesk(t, "AWS_ENDPOINT_URL="+endpoint.URL, "AWS_ENDPOINT_URL_CLOUDWATCH="+cloudWatch(t).URL,
		"AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret-access-key")
	s.MustOrder(t, 2)
	command, out, base := openLive(t, d, "--stack", "shop-dev")
	page := shoptest.OpenLive(t, base, s.ProductID)
	page.Eventually(t, "the stock", func(f shoptest.LiveFigures) bool { return f.Units == [4]int64{3, 0, 2, 0} && len(f.State.Orders) == 1 })
	page.Eventually(t, "the traffic of the minutes before", func(f shoptest.LiveFigures) bool { return f.Samples >= 8 && f.State.Audit.State == "clean" })
	f := page.Figures()
	if f.Settings.Title != "stack shop-dev" || f.Settings.StockEvery != 5 || f.Settings.TrafficEvery != 60 {
		t.Errorf("the settings are %+v, expected those of a stack", f.Settings)
	}
	// Two of these minutes have 600 requests, of which 70 were sold out, 20 others 4xx, 6 busy and 3 others 5xx.
	if got, want := fmt.Sprintf("%.2f %.2f %.2f %.2f %.2f", f.Requests, f.Refusals["sold_out"], f.Refusals["4xx"], f.Refusals["busy"], f.Refusals["5xx"]), "20.00 2.33 0.67 0.20 0.10"; got != want {
		t.Errorf("requests, sold_out, 4xx, busy and 5xx are %s, expected %s", got, want)
	}
	if l := f.Latest; l.P50 == nil || *l.P50 != 12.5 || l.P99 == nil || *l.P99 != 80 || l.SweepLag == nil || *l.SweepLag != 0.4 {
		t.Errorf("the latest minute is %+v, expected 12.5 and 80 ms and a lag of 0.4 s", f.Latest)
	}
	pause(t, base, s.ProductID)
	if log := s.Cloud.Pools["admin"].Output(); !strings.Contains(log, `"operation":"hide_product","operator":"arn:aws:iam::123456789012:user/ada"`) {
		t.Errorf("expected the operator's pause in the function's log:\n%s", log)
	}
	interrupt(t, command, out)
}

// cloudWatch responds to GetMetricData as CloudWatch would: it knows the metrics of one API and one stack. They have values in the two
// minutes before the first request; those that are no sums have them before each request. The SDK speaks CBOR with it.
func cloudWatch(t *testing.T) *httptest.Server {
	t.Helper()
	values := map[string]float64{
		"AWS/ApiGateway Count Sum ApiId=a1b2c3": 600, "AWS/ApiGateway 4xx Sum ApiId=a1b2c3": 90, "AWS/ApiGateway 5xx Sum ApiId=a1b2c3": 9,
		"AWS/ApiGateway Latency p50 ApiId=a1b2c3": 12.5, "AWS/ApiGateway Latency p99 ApiId=a1b2c3": 80,
		"shop-dev flashsale_sweep_lag_seconds Average": 0.4, "shop-dev flashsale_audit_broken Maximum": 0,
	}
	var first atomic.Uint64
	mux := http.NewServeMux()
	mux.HandleFunc("POST /service/GraniteServiceVersion20100801/operation/GetMetricData", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		decoded, err := cbor.Decode(body)
		if err != nil {
			t.Errorf("CloudWatch got no CBOR: %v", err)
			return
		}
		q, _ := decoded.(cbor.Map)
		end := seconds(q["EndTime"])
		if end%60 != 0 || end-seconds(q["StartTime"]) != 600 {
			t.Errorf("CloudWatch was asked for %d to %d, expected ten whole minutes", seconds(q["StartTime"]), end)
		}
		first.CompareAndSwap(0, end)
		var results cbor.List
		add := func(id, label cbor.Value, value float64, end uint64) {
			at := func(ago uint64) cbor.Value { return &cbor.Tag{ID: 1, Value: cbor.Uint(end - ago)} }
			results = append(results, cbor.Map{
				"Id": id, "Label": label, "StatusCode": cbor.String("Complete"),
				"Timestamps": cbor.List{at(120), at(60)}, "Values": cbor.List{cbor.Float64(value), cbor.Float64(value)},
			})
		}
		queries, _ := q["MetricDataQueries"].(cbor.List)
		for _, one := range queries {
			query, _ := one.(cbor.Map)
			if text, isSearch := query["Expression"].(cbor.String); isSearch {
				const search = `SEARCH('{"shop-dev",reason,by} MetricName="flashsale_holds_refused_total"', 'Sum', 60)`
				if text != search || query["Label"] != cbor.String("${PROP('Dim.reason')}") {
					t.Errorf("CloudWatch was asked for %s with the label %s, expected %s by reason", text, query["Label"], search)
				}
				add(query["Id"], cbor.String("sold_out"), 60, first.Load())
				add(query["Id"], cbor.String("sold_out"), 10, first.Load())
				add(query["Id"], cbor.String("busy"), 6, first.Load())
				continue
			}
			name := metricOf(query["MetricStat"])
			value, known := values[name]
			if !known {
				t.Errorf("CloudWatch was asked for %s, which does not exist", name)
			}
			until := end
			if strings.Contains(name, " Sum ") {
				until = first.Load()
			}
			add(query["Id"], cbor.String(name), value, until)
		}
		w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
		w.Header().Set("Content-Type", "application/cbor")
		_, _ = w.Write(cbor.Encode(cbor.Map{"MetricDataResults": results}))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// metricOf names a metric with its statistic and dimensions.
func metricOf(v cbor.Value) string {
	stat, _ := v.(cbor.Map)
	metric, _ := stat["Metric"].(cbor.Map)
	name := fmt.Sprintf("%s %s %s", metric["Namespace"], metric["MetricName"], stat["Stat"])
	dimensions, _ := metric["Dimensions"].(cbor.List)
	for _, d := range dimensions {
		dimension, _ := d.(cbor.Map)
		name += fmt.Sprintf(" %s=%s", dimension["Name"], dimension["Value"])
	}
	return name
}

// seconds since 1970.
func seconds(v cbor.Value) uint64 {
	tag, _ := v.(*cbor.Tag)
	if tag == nil {
		return 0
	}
	switch n := tag.Value.(type) {
	case cbor.Uint:
		return uint64(n)
	case cbor.Float64:
		return uint64(n)
	}
	return 0
}

func TestLiveRefusesOtherMachinesAddresses(t *testing.T) {
	t.Parallel()
	d := shoptest.NewDesk(t)
	for args, want := range map[string]string{
		"live --addr 0.0.0.0:8090":                        "expected an address of this machine alone",
		"live --addr 8090":                                "expected host:port",
		"live --url 127.0.0.1:8080":                       "expected a server's address",
		"live --stack shop-dev --url http://127.0.0.1:80": "--url or --stack",
	} {
		if code, stdout, stderr := d.Run(t, strings.Fields(args)...); code != 2 || stdout != "" || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit %d, expected 2 and one line with %q, got %s%s", args, code, want, stdout, stderr)
		}
	}
}

// flashsale run serves the page with the development secret alone, prints its address, and stops at once while it is open.
func TestRunServesLiveWithTheDevelopmentSecret(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		secrets string
		status  int
	}{"development": {"", http.StatusOK}, "configured": {"WEBHOOK_SECRETS=" + shoptest.Secret("own"), http.StatusNotFound}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shoptest.Open(t, 1, shoptest.Options{})
			o := shoptest.WithDefaults(t, shoptest.Options{})
			addr := shoptest.FreeAddr(t)
			d := shoptest.NewDesk(t, "MYSQL_DSN="+s.AdminDSN, "CACHE_ADDR="+o.CacheAddr, "ADDR="+addr, c.secrets)
			command, out := d.Begin(t, "run")
			t.Cleanup(func() { _ = command.Process.Kill() })
			shoptest.Eventually(t, "the server responds", func() bool {
				request := shoptest.Must(http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/live", nil))(t)
				response, err := http.DefaultClient.Do(request)
				if err != nil {
					return false
				}
				_ = response.Body.Close()
				if response.StatusCode != c.status {
					t.Fatalf("GET /live responds with %d, expected %d", response.StatusCode, c.status)
				}
				return true
			})
			if shown := liveAddress.MatchString(out.String()); shown != (c.status == http.StatusOK) {
				t.Errorf("the address of the page is shown: %t, expected %t:\n%s", shown, c.status == http.StatusOK, out)
			}
			if c.status == http.StatusOK {
				page := shoptest.OpenLive(t, "http://"+addr, s.ProductID)
				page.Eventually(t, "the stock", func(f shoptest.LiveFigures) bool { return f.Units[0] == 1 })
			}
			begun := time.Now()
			interrupt(t, command, out)
			if took := time.Since(begun); took > 8*time.Second { // it would wait 10 s for a request in progress
				t.Errorf("the server stopped after %s, expected that it waits for no stream", took)
			}
		})
	}
}
