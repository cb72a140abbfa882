package simulator

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// testReport is the report of a sale written by hand, with two ticks.
func testReport(s *story) *Report {
	s.Sale = Sale{Seed: 7, Shoppers: len(s.histories), Stock: 10, Spike: time.Second, Duration: 30 * time.Second}
	s.URL = "http://127.0.0.1:8080"
	sim := &simulation{evidence: s.evidence, shoppers: Draw(s.Sale)}
	for i := range sim.shoppers {
		sim.shoppers[i].Intent = Pays
	}
	sim.meter = newMeter(clock{time.Now()}, 250*time.Millisecond)
	sim.arrived.Store(int64(len(s.histories)))
	sim.responses(func(a *response, _ string) {
		if a.op == ListHolds { // the simulation's own are not measured
			return
		}
		a.timing = timing{connecting: 900 * time.Millisecond, server: 45 * time.Millisecond}
		sim.meter.request(*a, a.sent, a.sent)
		sim.meter.step(a.op, 1240*time.Millisecond)
	})
	sim.meter.cut(9)
	sim.meter.cut(4)
	return sim.report(opened, 30*time.Second, false)
}

func pageOf(t *testing.T, r *Report) string {
	t.Helper()
	text, err := r.HTML("sale.json")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPageSplitsTimeOfRequests(t *testing.T) {
	r := testReport(correctSale())
	text := pageOf(t, r)
	for _, want := range []string{
		"Every invariant held", "Its median was 1.24 s", "waited 900 ms for a connection; the server then took 45.0 ms", "shared one machine",
		r.Machine.CPU, r.Machine.OS, r.Version, "seed 7", `<a href="sale.json">`, "flashsale simulate --seed 7", "active shoppers at the peak",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if r.Figures.PeakActive != 9 || r.Moments[1].Active != 4 {
		t.Errorf("active shoppers: peak %d, then %d; expected 9, then 4", r.Figures.PeakActive, r.Moments[1].Active)
	}
	r.URL = "https://shop.example"
	if strings.Contains(pageOf(t, r), "shared one machine") {
		t.Error("the page says that a remote server shares the shoppers' machine")
	}
}

func TestPageLoadsNothing(t *testing.T) {
	text := pageOf(t, testReport(correctSale()))
	if found := regexp.MustCompile(`(?i)<link|<script[^>]*\ssrc|@import|url\(|(src|href)\s*=\s*["']?(https?:)?//|fetch\(|XMLHttpRequest`).FindString(text); found != "" {
		t.Errorf("the page loads something: %s", found)
	}
	if !strings.Contains(text, "default-src 'none'") {
		t.Error("the page has no policy that forbids loading")
	}
}

func TestPageEscapesEvidence(t *testing.T) {
	s := correctSale()
	s.auditAfter = append(s.auditAfter, Finding{Check: "x", Entity: "</script><b>", Detail: "y"})
	s.refused.responses[0].body.Code = "</script><i>"
	text := pageOf(t, testReport(s))
	if strings.Contains(text, "</script><b>") || strings.Contains(text, "</script><i>") {
		t.Error("a server's text reaches the page unescaped")
	}
	if !strings.Contains(text, "2 of 24 invariants are broken") {
		t.Error("the page does not say that two invariants are broken")
	}
}

// charts.js reads the page's data by these names.
func TestPageHasDataForCharts(t *testing.T) {
	r := testReport(correctSale())
	_, data, _ := strings.Cut(pageOf(t, r), `<script type="application/json" id="data">`)
	data, _, _ = strings.Cut(data, "</script>")
	var got struct {
		Stock   []map[string]float64
		Moments []struct {
			At       float64 `json:"at_s"`
			Active   int     `json:"active_shoppers"`
			Requests int
			Answers  map[string]int
			Step     float64 `json:"p99_ms"`
			Waiting  float64 `json:"connection_p99_ms"`
			Server   float64 `json:"server_p99_ms"`
		}
		Refusals map[string]int
	}
	if err := json.Unmarshal([]byte(data), &got); err != nil {
		t.Fatalf("the page's data is not JSON: %v", err)
	}
	if len(got.Moments) != 2 || len(got.Stock) != 4 || got.Refusals["sold_out"] != 1 {
		t.Fatalf("%d ticks, %d samples, refusals %v; expected 2, 4 and one sold_out", len(got.Moments), len(got.Stock), got.Refusals)
	}
	if m := got.Moments[0]; m.Active != 9 || m.Requests != int(r.Figures.Requests) || m.Answers["sold_out"] != 1 || m.Step != 1240 || m.Waiting != 900 || m.Server != 45 {
		t.Errorf("the first tick is %+v, expected 9 active shoppers, all requests, 1240, 900 and 45 ms", m)
	}
	if first := got.Stock[1]; first["available"] != 6 || first["held"] != 2 || first["sold"] != 2 {
		t.Errorf("the second sample is %v, expected 6 available, 2 held, 2 sold", first)
	}
}

func TestPercentilesAreExact(t *testing.T) {
	var all timings
	if got := all.percentiles(); got != (Percentiles{}) {
		t.Errorf("percentiles of nothing: %+v, expected zero", got)
	}
	for ms := 1000; ms >= 1; ms-- {
		all.add(time.Duration(ms) * time.Millisecond)
	}
	if got, expected := all.percentiles(), (Percentiles{1000, 500, 900, 990, 999, 1000}); got != expected {
		t.Errorf("percentiles of 1 to 1000 ms: %+v, expected %+v", got, expected)
	}
	if all[0] != 1_000_000 {
		t.Error("percentiles changed the order of the timings")
	}
	all.add(-time.Second) // clocks never go back, but a rounding may
	all.add(48 * time.Hour)
	if all[1000] != 0 || all[1001] != 1<<32-1 {
		t.Errorf("out of range: %d and %d, expected 0 and the maximum", all[1000], all[1001])
	}
}

func TestNumbersAreReadable(t *testing.T) {
	for ms, expected := range map[float64]string{0: "0 ms", 0.014: "0.01 ms", 4.5: "4.50 ms", 45: "45.0 ms", 450: "450 ms", 1000: "1.00 s", 1240: "1.24 s", 61_000: "61.0 s"} {
		if got := Milliseconds(ms); got != expected {
			t.Errorf("%f ms is written %q, expected %q", ms, got, expected)
		}
	}
	for n, expected := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := count(n); got != expected {
			t.Errorf("%d is written %q, expected %q", n, got, expected)
		}
	}
}

// One connection and a slow server: the second request waits for the first, and that is not the server's time.
func TestTimingSeparatesServerFromConnection(t *testing.T) {
	const slow = 50 * time.Millisecond
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(slow) }))
	defer server.Close()
	clock := clock{time.Now()}
	c := newClient(server.URL, clock, 1)
	defer c.close()
	first, ready := c.send(context.Background(), request{op: Look, method: http.MethodGet}), clock.now()
	if first.status != http.StatusOK || first.timing.server < slow || first.timing.connecting <= 0 {
		t.Errorf("status %d, server %s, connecting %s; expected 200, at least %s, more than 0", first.status, first.timing.server, first.timing.connecting, slow)
	}
	if whole := first.received - first.sent; first.timing.server+first.timing.connecting > whole {
		t.Errorf("server %s and connecting %s are more than the whole request, %s", first.timing.server, first.timing.connecting, whole)
	}
	c.slots <- struct{}{} // another request has the only connection
	time.AfterFunc(slow, func() { <-c.slots })
	second := c.send(context.Background(), request{op: Look, method: http.MethodGet})
	m := newMeter(clock, time.Second)
	m.request(second, ready, ready)
	if waited := m.all.waiting.percentiles().Max; waited < 50 {
		t.Errorf("the request waited %f ms for a connection, expected at least 50", waited)
	}
}

func TestMachineAndVersionAreKnown(t *testing.T) {
	m := thisMachine()
	if m.CPU == "" || m.Cores < 1 || m.OS == "" || version() == "" {
		t.Errorf("machine %+v, version %q", m, version())
	}
	if _, err := os.Stat("/proc/meminfo"); err == nil && m.Memory < 1<<20 {
		t.Errorf("memory: %d bytes", m.Memory)
	}
}
