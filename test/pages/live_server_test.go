package pages

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"flashsale/pkg/live"
)

// object is JSON as the server of /live writes it.
type object = map[string]any

// liveServer serves the page of /live with figures that the test makes, and keeps what the page asks for.
type liveServer struct {
	t   *testing.T
	url string

	mu       sync.Mutex
	products []object
	stock    []object
	traffic  []object
	more     object // further fields of the state
	asked    []string
	refusal  object        // of the next change
	down     chan struct{} // while open, the server sends no stream; nil: it does
	streams  map[chan string]bool
}

// at is a time that the figures start from, in milliseconds since 1970: 2026-11-27 21:00 UTC.
const at = int64(1795813200000)

func mug(available, held, ordered, sold int) object {
	return object{
		"id": "mug", "name": "Enamel mug", "price": object{"amount": 1499, "currency": "USD"}, "stock": available + held + ordered + sold,
		"available": available, "held": held, "ordered": ordered, "sold": sold, "max_qty_per_hold": 10, "max_per_shopper": nil,
		"hidden": false, "sale_starts_at": nil, "sale_ends_at": nil,
	}
}

// with returns a copy with other fields.
func with(o object, fields ...any) object {
	changed := object{}
	for name, value := range o {
		changed[name] = value
	}
	for i := 0; i < len(fields); i += 2 {
		changed[fields[i].(string)] = fields[i+1]
	}
	return changed
}

func trafficSample(at int64, requests float64, refusals object) object {
	return object{"at": at, "requests": requests, "refusals": refusals, "p50_ms": 1.5, "p99_ms": 12.0, "sweep_lag_s": 0.25}
}

func newLiveServer(t *testing.T, products ...object) *liveServer {
	t.Helper()
	s := &liveServer{t: t, products: products, streams: map[chan string]bool{}, traffic: []object{trafficSample(at, 20, object{"sold_out": 4.0})}}
	s.stock = []object{s.stockSample(at)}
	mux := http.NewServeMux()
	mux.Handle("GET "+live.Path, live.Page())
	mux.HandleFunc("GET /live/events", s.events)
	mux.HandleFunc("POST /live/products/{id}/{action}", s.change)
	mux.HandleFunc("PATCH /live/products/{id}", s.change)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.url = server.URL + live.Path
	return s
}

func (s *liveServer) stockSample(at int64) object {
	units := object{}
	for _, p := range s.products {
		units[p["id"].(string)] = []any{p["available"], p["held"], p["ordered"], p["sold"]}
	}
	return object{"at": at, "products": units}
}

func (s *liveServer) state(at int64) object {
	return with(object{
		"at": at, "trouble": "", "products": s.products, "owed": object{"payments": 0, "money": []object{}}, "orders": []object{},
		"audit": object{"state": "clean", "broken": 0, "findings": []string{}, "changes_at": at, "full_at": nil},
	}, fieldsOf(s.more)...)
}

func fieldsOf(o object) (fields []any) {
	for name, value := range o {
		fields = append(fields, name, value)
	}
	return fields
}

func event(name string, data object) string {
	text, _ := json.Marshal(data) // numbers and strings only
	return fmt.Sprintf("event: %s\ndata: %s\n\n", name, text)
}

// events is a stream: what the page needs first, then what the test sends.
func (s *liveServer) events(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	down := s.down
	s.mu.Unlock()
	if down != nil {
		select {
		case <-down:
		case <-r.Context().Done():
			return
		}
	}
	news := make(chan string, 100)
	s.mu.Lock()
	s.streams[news] = true
	first := "retry: 50\n" + event("settings", object{"title": "the test's server", "stock_every_s": 60, "traffic_every_s": 60, "minutes": 10, "decimals": object{"JPY": 0}}) +
		event("history", object{"stock": s.stock, "traffic": s.traffic}) + event("state", s.state(at))
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	for text := first; ; {
		_, _ = io.WriteString(w, text) // fails only if the page is gone
		_ = http.NewResponseController(w).Flush()
		var open bool
		select {
		case text, open = <-news:
			if !open {
				return
			}
		case <-r.Context().Done():
			s.mu.Lock()
			delete(s.streams, news)
			s.mu.Unlock()
			return
		}
	}
}

// send brings figures to the open pages.
func (s *liveServer) send(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for news := range s.streams {
		news <- text
	}
}

// show makes the products the present ones, and sends them as of a time.
func (s *liveServer) show(at int64, products ...object) {
	s.mu.Lock()
	s.products = products
	text := event("stock", s.stockSample(at)) + event("state", s.state(at))
	s.mu.Unlock()
	s.send(text)
}

// hangUp ends the streams. Pages that connect again wait until the returned function is called.
func (s *liveServer) hangUp() (comeBack func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	down := make(chan struct{})
	s.down = down
	for news := range s.streams {
		close(news)
	}
	clear(s.streams)
	return func() {
		s.mu.Lock()
		s.down = nil
		s.mu.Unlock()
		close(down)
	}
}

// change keeps the request and does what it says, or refuses it.
func (s *liveServer) change(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, fmt.Sprintf("%s %s %s", r.Method, strings.TrimPrefix(r.URL.Path, live.Path), body))
	if r.Header.Get("Content-Type") != "application/json" {
		s.t.Errorf("the page sent the Content-Type %q, expected application/json", r.Header.Get("Content-Type"))
	}
	w.Header().Set("Content-Type", "application/json")
	if refusal := s.refusal; refusal != nil {
		s.refusal = nil
		w.WriteHeader(refusal["status"].(int))
		_ = json.NewEncoder(w).Encode(refusal) // fails only if the page is gone
		return
	}
	product := s.products[0]
	switch r.PathValue("action") {
	case "pause", "resume":
		product = with(product, "hidden", r.PathValue("action") == "pause")
	case "end":
		product = with(product, "sale_ends_at", time.UnixMilli(at-1000).UTC().Format(time.RFC3339))
	}
	s.products[0] = product
	_ = json.NewEncoder(w).Encode(object{"product": product, "changed": true})
}

// requests returns what the pages have asked for.
func (s *liveServer) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
}
