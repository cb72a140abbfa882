package shoptest

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// LiveFigures are what a stream of the operator's page has said so far.
type LiveFigures struct {
	Settings struct {
		Title        string
		StockEvery   float64 `json:"stock_every_s"`
		TrafficEvery float64 `json:"traffic_every_s"`
	}
	Units [4]int64 // of one product: available, held, ordered, sold
	State struct {
		Trouble  string
		Products []struct {
			ID     string
			Hidden bool
			Stock  int64
		}
		Owed   struct{ Payments int64 }
		Audit  struct{ State string }
		Orders []struct{ ID, Status string }
	}
	Samples  int                // of the traffic
	Requests float64            // in all of them
	Refusals map[string]float64 // as above, by code
	Latest   struct {
		P50      *float64 `json:"p50_ms"`
		P99      *float64 `json:"p99_ms"`
		SweepLag *float64 `json:"sweep_lag_s"`
	}
	Ended bool
}

// LivePage is an open operator's page.
type LivePage struct {
	product string
	mu      sync.Mutex
	figures LiveFigures
}

// OpenLive opens the stream of the operator's page of a server, until the test ends. Units are those of the product.
func OpenLive(t testing.TB, base, product string) *LivePage {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(Must(http.NewRequestWithContext(ctx, http.MethodGet, base+"/live/events", nil))(t)) //nolint:bodyclose // read closes it
	if err != nil || response.StatusCode != http.StatusOK {
		cancel()
		t.Fatalf("the stream of %s begins with %+v %v, expected 200", base, response, err)
	}
	p, done := &LivePage{product: product, figures: LiveFigures{Refusals: map[string]float64{}}}, make(chan struct{})
	go func() {
		defer close(done)
		p.read(response)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return p
}

func (p *LivePage) read(response *http.Response) {
	defer func() { _ = response.Body.Close() }()
	lines, event := bufio.NewScanner(response.Body), ""
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = name
		} else if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			p.take(event, []byte(data))
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.figures.Ended = true
}

type liveTraffic struct {
	Requests float64
	Refusals map[string]float64
}

func (p *LivePage) take(event string, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := &p.figures
	switch event {
	case "settings":
		_ = json.Unmarshal(data, &f.Settings)
	case "history":
		var history struct{ Traffic []json.RawMessage }
		_ = json.Unmarshal(data, &history)
		for _, sample := range history.Traffic {
			f.addTraffic(sample)
		}
	case "stock":
		var sample struct{ Products map[string][4]int64 }
		_ = json.Unmarshal(data, &sample)
		f.Units = sample.Products[p.product]
	case "traffic":
		f.addTraffic(data)
	case "state":
		f.State.Products, f.State.Orders = nil, nil
		_ = json.Unmarshal(data, &f.State)
	}
}

func (f *LiveFigures) addTraffic(data []byte) {
	var sample liveTraffic
	_ = json.Unmarshal(data, &sample)
	_ = json.Unmarshal(data, &f.Latest)
	f.Samples++
	f.Requests += sample.Requests
	for code, rate := range sample.Refusals {
		f.Refusals[code] += rate
	}
}

// Figures returns what the page has said so far.
func (p *LivePage) Figures() LiveFigures {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.figures
}

// Eventually waits until the page shows something.
func (p *LivePage) Eventually(t testing.TB, what string, shows func(LiveFigures) bool) {
	t.Helper()
	Eventually(t, what, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return shows(p.figures)
	})
}
