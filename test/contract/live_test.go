package contract

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"flashsale/internal/shoptest"
)

// A purchase moves through the operator's page: held, ordered, sold, with the requests and the order.
func TestLiveShowsAPurchase(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 5, shoptest.Options{Live: true})
	e := shoptest.OpenLive(t, s.URL, s.ProductID)
	shows := func(what string, units [4]int64) {
		t.Helper()
		e.Eventually(t, what, func(f shoptest.LiveFigures) bool { return f.Units == units })
	}
	e.Eventually(t, "the traffic is measured", func(f shoptest.LiveFigures) bool { return f.Samples > 0 })
	shows("the stock", [4]int64{5, 0, 0, 0})
	id := s.MustHold(t, 2)
	shows("the hold", [4]int64{3, 2, 0, 0})
	if r := s.PostHold(t, 4, ""); r.Code() != "sold_out" {
		t.Fatalf("got %+v, expected sold_out", r)
	}
	if r := s.PostOrder(t, id); r.Status != http.StatusCreated {
		t.Fatalf("got %+v, expected an order", r)
	}
	shows("the order", [4]int64{3, 0, 2, 0})
	s.Deliver(t, "evt-live", s.Event("payment.succeeded", id, 2))
	shows("the sale", [4]int64{3, 0, 0, 2})
	e.Eventually(t, "the paid order", func(f shoptest.LiveFigures) bool {
		return len(f.State.Orders) == 1 && f.State.Orders[0].ID == id.OrderID() && f.State.Orders[0].Status == "paid"
	})
	e.Eventually(t, "the requests", func(f shoptest.LiveFigures) bool { return f.Requests > 0 && f.Refusals["sold_out"] > 0 })
	e.Eventually(t, "the clean audit", func(f shoptest.LiveFigures) bool { return f.State.Audit.State == "clean" && f.State.Trouble == "" })
	second := strings.Replace(string(s.Event("payment.succeeded", id, 2)), "pay_ord", "pay_2_ord", 1)
	s.Deliver(t, "evt-live-again", []byte(second))
	e.Eventually(t, "the money owed for the second payment", func(f shoptest.LiveFigures) bool { return f.State.Owed.Payments == 1 })
}

// What the operator does on the page decides on the next holds.
func TestLivePausesEndsAndChangesASale(t *testing.T) {
	t.Parallel()
	log := &shoptest.Output{}
	s := shoptest.Open(t, 5, shoptest.Options{Live: true, Log: log})
	e := shoptest.OpenLive(t, s.URL, s.ProductID)
	held := s.MustHold(t, 1)
	change := func(method, action, body string) {
		t.Helper()
		r := shoptest.Must(s.Try(method, "/live/products/"+s.ProductID+action, body, nil))(t)
		if r.Status != http.StatusOK {
			t.Fatalf("%s %s: got %+v, expected 200", method, action, r)
		}
	}
	holds := func(what string, status int, code string) {
		t.Helper()
		shoptest.Eventually(t, what, func() bool {
			r := s.PostHold(t, 1, "")
			return r.Status == status && r.Code() == code
		})
	}
	e.Eventually(t, "the product", func(f shoptest.LiveFigures) bool { return len(f.State.Products) == 1 })
	change(http.MethodPost, "/pause", "{}")
	holds("a paused product does not exist for shoppers", http.StatusNotFound, "product_not_found")
	e.Eventually(t, "the pause", func(f shoptest.LiveFigures) bool { return f.State.Products[0].Hidden })
	if r := s.PostOrder(t, held); r.Status != http.StatusCreated {
		t.Errorf("an order of an earlier hold: got %+v, expected 201", r)
	}
	change(http.MethodPost, "/resume", "{}")
	holds("holds of a resumed product", http.StatusCreated, "")
	change(http.MethodPatch, "", `{"stock":50,"sale_starts_at":"2099-01-01T00:00:00Z"}`)
	holds("a sale that starts later", http.StatusConflict, "sale_not_started")
	e.Eventually(t, "the changed stock", func(f shoptest.LiveFigures) bool { return f.State.Products[0].Stock == 50 })
	change(http.MethodPatch, "", `{"sale_starts_at":null}`)
	holds("a sale that has started", http.StatusCreated, "")
	change(http.MethodPost, "/end", "{}")
	holds("an ended sale", http.StatusConflict, "sale_ended")
	for operation, want := range map[string]int{"hide_product": 1, "show_product": 1, "put_product": 2, "end_sale": 1} {
		if n := strings.Count(log.String(), `"operation":"`+operation+`","operator":"ada"`); n != want {
			t.Errorf("the log has %d lines of ada's %s, expected %d", n, operation, want)
		}
	}
}

// The page is for this machine: another name in the address, or another origin, gets 403.
func TestLiveRefusesOtherNamesAndOrigins(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 5, shoptest.Options{Live: true})
	send := func(method, path, host, origin string) (status int, header http.Header, body string) {
		r := shoptest.Must(http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader("{}")))(t)
		r.Header.Set("Content-Type", "application/json")
		if r.Host = host; origin != "" {
			r.Header.Set("Origin", origin)
		}
		response, err := s.Client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		text := shoptest.Must(io.ReadAll(response.Body))(t)
		return response.StatusCode, response.Header, string(text)
	}
	for _, path := range []string{"/live", "/live/", "/live/events", "/live/products/" + s.ProductID + "/end"} {
		method := map[bool]string{true: http.MethodPost, false: http.MethodGet}[strings.HasSuffix(path, "/end")]
		if status, _, body := send(method, path, "evil.example:80", ""); status != http.StatusForbidden || !strings.Contains(body, "only for the machine") {
			t.Errorf("%s for another name: got %d %s, expected 403", path, status, body)
		}
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	if status, _, body := send(http.MethodPost, "/live/products/"+s.ProductID+"/end", "localhost:"+port, "http://localhost:1"); status != http.StatusForbidden {
		t.Errorf("a change by another origin: got %d %s, expected 403", status, body)
	}
	if status, header, body := send(http.MethodGet, "/live", "localhost:"+port, "http://localhost:1"); status != http.StatusOK || header.Get("Access-Control-Allow-Origin") != "" ||
		!strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") || !strings.Contains(body, "<title>") {
		t.Errorf("the page: got %d %v, expected 200 with a policy, and no permission for other origins to read it", status, header)
	}
	if p := s.Stock(t); p.SaleEndsAt != nil {
		t.Error("the sale has ended, expected that nothing changed")
	}
}

// Without the page, its address says where it is.
func TestServerWithoutLiveSaysWhereItIs(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 5, shoptest.Options{})
	for _, path := range []string{"/live", "/live/", "/live/events"} {
		if r := s.Do(t, http.MethodGet, path, "", nil); r.Status != http.StatusNotFound || !strings.Contains(r.Text("detail"), "flashsale live") {
			t.Errorf("%s: got %+v, expected 404 that names the command", path, r)
		}
	}
}

// A server stops at once, however many pages are open.
func TestServerStopsWithOpenStreams(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 5, shoptest.Options{Live: true})
	pages := []*shoptest.LivePage{shoptest.OpenLive(t, s.URL, s.ProductID), shoptest.OpenLive(t, s.URL, s.ProductID)}
	for _, e := range pages {
		e.Eventually(t, "the stock", func(f shoptest.LiveFigures) bool { return f.Units[0] == 5 })
	}
	begun := time.Now()
	s.Stop()
	// The server would wait 10 s for a request in progress, and then fail the test.
	if took := time.Since(begun); took > 8*time.Second {
		t.Errorf("the server stopped after %s, expected that it waits for no stream", took)
	}
	for _, e := range pages {
		e.Eventually(t, "the end of the stream", func(f shoptest.LiveFigures) bool { return f.Ended })
	}
}
