package api_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flashsale/pkg/api"
	"flashsale/pkg/checkout"
)

var (
	currentSecret  = strings.Repeat("current", 5)
	previousSecret = strings.Repeat("previous", 4)
)

// newGuardedEdge is newEdge behind CloudFront, with a route of the local server for probes.
func newGuardedEdge(f *fake) *edge {
	e := newEdge(f)
	e.handler = api.New(api.Options{
		Service:  &checkout.Service{Ledger: f, View: f, Recorder: checkout.NoRecorder{}, NewID: func() (checkout.ID, error) { return id, nil }},
		Standard: f, Stripe: f, Logger: slog.New(slog.NewJSONHandler(e.log, nil)), EdgeSecrets: []string{currentSecret, previousSecret},
		Extra: func(mux *http.ServeMux) {
			for _, path := range []string{"/healthz", "/metrics", "/docs"} {
				mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
			}
		},
	})
	return e
}

func throughEdge(secret string) http.Header { return http.Header{api.EdgeHeader: {secret}} }

// On every route, a request around the edge gets the response of a path that does not exist, and calls nothing.
func TestRequestThatBypassesTheEdgeGets404(t *testing.T) {
	t.Parallel()
	e := newGuardedEdge(newFake())
	nothing := wantProblem(t, e.send(t, http.MethodGet, "/v1/nothing", "", throughEdge(currentSecret)), 404, "not_found")
	for _, request := range [][3]string{
		{http.MethodGet, "/v1/products", ""},
		{http.MethodGet, "/v1/products/demo", ""},
		{http.MethodPost, "/v1/holds", holdBody},
		{http.MethodGet, "/v1/holds", ""},
		{http.MethodDelete, "/v1/holds/" + id.HoldID(), ""},
		{http.MethodPost, "/v1/orders", orderBody},
		{http.MethodGet, "/v1/orders/" + id.OrderID(), ""},
		{http.MethodPost, "/v1/orders/" + id.OrderID() + "/cancel", ""},
		{http.MethodPost, standardPath, "{}"},
		{http.MethodPost, "/v1/payments/webhook/stripe", "{}"},
		{http.MethodPut, "/v1/holds", "{}"},
		{http.MethodGet, "/docs", ""},
	} {
		for name, header := range map[string]http.Header{
			"no secret": {}, "an empty one": throughEdge(""), "a wrong one": throughEdge("hunter2"), "a part of one": throughEdge(currentSecret[:len(currentSecret)-1]),
			"both in one": throughEdge(currentSecret + "," + previousSecret),
		} {
			p := wantProblem(t, e.send(t, request[0], request[1], request[2], header), 404, "not_found")
			p.RequestID = nothing.RequestID
			if d := cmp.Diff(nothing, p); d != "" {
				t.Errorf("%s %s with %s differs from a path that does not exist:\n%s", request[0], request[1], name, d)
			}
			if e.line(t)["code"] != "around_the_edge" {
				t.Errorf("the log line is %v, expected the code around_the_edge", e.line(t))
			}
		}
	}
	wantCalls(t, e)
	if strings.Contains(e.log.String(), "hunter2") || strings.Contains(e.log.String(), currentSecret) {
		t.Errorf("the log shows a secret: %s", e.log)
	}
}

// During a rotation the edge sends the previous secret, and then the current one.
func TestRequestThroughTheEdgeIsServedWithEachSecret(t *testing.T) {
	t.Parallel()
	e := newGuardedEdge(newFake())
	for _, secret := range []string{currentSecret, previousSecret} {
		if w := e.send(t, http.MethodGet, "/v1/products/demo", "", throughEdge(secret)); w.Code != http.StatusOK {
			t.Errorf("got %d %s, expected 200", w.Code, w.Body)
		}
	}
}

func TestProbesNeedNoEdge(t *testing.T) {
	t.Parallel()
	e := newGuardedEdge(newFake())
	for path, want := range map[string]int{"/healthz": 204, "/metrics": 204, "/docs": 404} {
		if w := e.send(t, http.MethodGet, path, "", nil); w.Code != want {
			t.Errorf("%s without the secret: got %d, expected %d", path, w.Code, want)
		}
	}
}

// Only the edge is believed about the address of a client.
func TestLogHasAddressOfClient(t *testing.T) {
	t.Parallel()
	const connected = "192.0.2.1" // httptest's
	viewer := func(secret, address string) http.Header {
		return http.Header{api.EdgeHeader: {secret}, api.ViewerHeader: {address}}
	}
	for name, c := range map[string]struct {
		edge   *edge
		header http.Header
		want   string
	}{
		"IPv4":                        {newGuardedEdge(newFake()), viewer(currentSecret, "198.51.100.7"), "198.51.100.7"},
		"IPv6":                        {newGuardedEdge(newFake()), viewer(previousSecret, "2001:db8:0::7"), "2001:db8::7"},
		"no address":                  {newGuardedEdge(newFake()), viewer(currentSecret, "unknown"), connected},
		"around the edge":             {newGuardedEdge(newFake()), viewer("hunter2", "198.51.100.7"), connected},
		"no edge, whatever it claims": {newEdge(newFake()), viewer(currentSecret, "198.51.100.7"), connected},
	} {
		c.edge.send(t, http.MethodGet, "/v1/products/demo", "", c.header)
		if got := c.edge.line(t)["address"]; got != c.want {
			text, _ := json.Marshal(c.edge.line(t))
			t.Errorf("%s: the log line is %s, expected the address %s", name, text, c.want)
		}
	}
}
