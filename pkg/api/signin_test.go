package api_test

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"flashsale/pkg/api"
	"flashsale/pkg/checkout"
)

var ada = checkout.ShopperOf("https://shop.example.com", "ada")

// newShop is an edge where "Bearer ada" is a shopper, no token is anonymous, and every other token is refused.
func newShop(f *fake) *edge {
	e := newEdge(f)
	service := &checkout.Service{
		Ledger: f, View: f, Recorder: checkout.NoRecorder{}, NewID: func() (checkout.ID, error) { return id, nil },
		HoldTTL: 2 * time.Minute, PaymentWindow: 15 * time.Minute,
	}
	e.handler = api.New(api.Options{Service: service, Standard: f, Stripe: f, Logger: slog.New(slog.NewJSONHandler(e.log, nil)), SignIn: func(r *http.Request) (checkout.Shopper, error) {
		switch r.Header.Get("Authorization") {
		case "":
			return checkout.Shopper{}, nil
		case "Bearer ada":
			return ada, nil
		}
		return checkout.Shopper{}, checkout.Unauthenticated("This token is not valid.", errors.New("no key has this id"))
	}})
	return e
}

// shoppersRequests are the requests that belong to a shopper, each with a body if it needs one.
var shoppersRequests = []struct{ method, path, body string }{
	{http.MethodPost, "/v1/holds", holdBody},
	{http.MethodGet, "/v1/holds/" + id.HoldID(), ""},
	{http.MethodDelete, "/v1/holds/" + id.HoldID(), ""},
	{http.MethodPost, "/v1/orders", `{"hold_id":"` + id.HoldID() + `"}`},
	{http.MethodGet, "/v1/orders/" + id.OrderID(), ""},
	{http.MethodPost, "/v1/orders/" + id.OrderID() + "/cancel", ""},
}

func TestRequestsActForTheSignedInShopper(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]checkout.Shopper{"Bearer ada": ada, "": {}} {
		for _, r := range shoppersRequests {
			e := newShop(newFake())
			w := e.send(t, r.method, r.path, r.body, http.Header{"Authorization": {token}})
			if w.Code >= 300 || len(e.callers) != 1 || e.callers[0] != (checkout.Caller{Shopper: want}) {
				t.Errorf("%s %s with token %q: got %d, and the ledger was called by %v, expected by %s", r.method, r.path, token, w.Code, e.callers, want)
			}
			if inLog := strings.Contains(e.log.String(), ada.String()); inLog != (want == ada) {
				t.Errorf("%s %s with token %q: the log has %s", r.method, r.path, token, e.log)
			}
		}
	}
}

// A token that is not valid makes nobody anonymous, and a stranger learns nothing else.
func TestInvalidTokenIsRefusedFirst(t *testing.T) {
	t.Parallel()
	for _, r := range append(shoppersRequests, struct{ method, path, body string }{http.MethodPost, "/v1/holds", "no JSON"}) {
		e := newShop(newFake())
		w := e.send(t, r.method, r.path, r.body, http.Header{"Authorization": {"Bearer mallory"}})
		wantProblem(t, w, 401, "unauthenticated")
		wantCalls(t, e)
		if !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer ") {
			t.Errorf("%s %s: WWW-Authenticate is %q, expected a challenge", r.method, r.path, w.Header().Get("WWW-Authenticate"))
		}
	}
	for _, path := range []string{"/v1/products", "/v1/products/demo"} { // the catalogue is everybody's
		e := newShop(newFake())
		if w := e.send(t, http.MethodGet, path, "", http.Header{"Authorization": {"Bearer mallory"}}); w.Code != http.StatusOK {
			t.Errorf("GET %s with an invalid token: got %d, expected 200", path, w.Code)
		}
	}
}

func TestListsAreTheShoppersOwn(t *testing.T) {
	t.Parallel()
	for path, call := range map[string]string{"/v1/holds": "holds", "/v1/orders": "orders"} {
		e := newShop(newFake())
		wantProblem(t, e.send(t, http.MethodGet, path, "", nil), 401, "unauthenticated")
		wantCalls(t, e)

		header := http.Header{"Authorization": {"Bearer ada"}}
		w := e.send(t, http.MethodGet, path+"?limit=1", "", header)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"data":[{"id":"`) || !strings.Contains(w.Body.String(), `"next_cursor":null`) {
			t.Errorf("GET %s: got %d %s, expected a page", path, w.Code, w.Body)
		}
		if len(e.calls) != 1 || !strings.Contains(e.calls[0], call+" of "+ada.String()) {
			t.Errorf("GET %s: the ledger was called with %v, expected the shopper's", path, e.calls)
		}
		wantProblem(t, e.send(t, http.MethodGet, path+"?cursor=bm8", "", header), 422, "invalid_request")
		wantProblem(t, e.send(t, http.MethodGet, path+"?limit=101", "", header), 422, "invalid_request")
	}
}

// A product with a limit per shopper needs a shopper, and the cache entry alone says so.
func TestProductWithALimitNeedsSignIn(t *testing.T) {
	t.Parallel()
	f := newFake()
	two := int64(2)
	f.product.MaxPerShopper = &two
	e := newShop(f)
	wantProblem(t, e.send(t, http.MethodPost, "/v1/holds", holdBody, nil), 401, "unauthenticated")
	wantCalls(t, e, "look up demo")
	if w := e.send(t, http.MethodPost, "/v1/holds", holdBody, http.Header{"Authorization": {"Bearer ada"}}); w.Code != http.StatusCreated {
		t.Errorf("a signed-in shopper got %d %s, expected 201", w.Code, w.Body)
	}
	if w := e.send(t, http.MethodGet, "/v1/products/demo", "", nil); !strings.Contains(w.Body.String(), `"max_per_shopper":2`) {
		t.Errorf("the product is %s, expected its limit", w.Body)
	}
}

func TestHiddenProductDoesNotExist(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.product.Hidden = true
	shown := f.product
	shown.ID, shown.Hidden = "shown", false
	f.list = []checkout.Product{f.product, shown}
	e := newShop(f)
	wantProblem(t, e.send(t, http.MethodGet, "/v1/products/demo", "", nil), 404, "product_not_found")
	wantProblem(t, e.send(t, http.MethodPost, "/v1/holds", holdBody, nil), 404, "product_not_found")
	if w := e.send(t, http.MethodGet, "/v1/products", "", nil); strings.Contains(w.Body.String(), `"id":"demo"`) || !strings.Contains(w.Body.String(), `"id":"shown"`) {
		t.Errorf("the list is %s, expected only the public product", w.Body)
	}
}
