package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"flashsale/pkg/checkout"
)

func TestCreateOrder(t *testing.T) {
	t.Parallel()
	for status, repeat := range map[int]bool{http.StatusCreated: false, http.StatusOK: true} {
		f := newFake()
		f.repeat = repeat
		e := newEdge(f)
		w := e.send(t, http.MethodPost, "/v1/orders", `{"hold_id":"`+id.HoldID()+`"}`, nil)
		want := `{"id":"` + id.OrderID() + `","hold_id":"` + id.HoldID() + `","product_id":"demo","qty":2,"amount":{"amount":9998,"currency":"USD"},` +
			`"status":"pending_payment","pay_by":"2026-11-27T09:15:00.123Z","created_at":"2026-11-27T09:00:00.123Z","updated_at":"2026-11-27T09:00:00.123Z"}`
		if w.Code != status || strings.TrimSpace(w.Body.String()) != want {
			t.Errorf("got %d %s, expected %d %s", w.Code, w.Body, status, want)
		}
		wantHeader(t, w, "Location", "/v1/orders/"+id.OrderID())
		wantCalls(t, e, "order "+id.HoldID()+" for 15m0s")
	}
}

func TestOrderHasItsReference(t *testing.T) {
	t.Parallel()
	post := func(t *testing.T, e *edge, reference string) *httptest.ResponseRecorder {
		body, err := json.Marshal(map[string]string{"hold_id": id.HoldID(), "reference": reference})
		if err != nil {
			t.Fatal(err)
		}
		return e.send(t, http.MethodPost, "/v1/orders", string(body), nil)
	}
	for _, reference := range []string{"cart-1042", "Käufer № 7, Tisch 3", strings.Repeat("界", 128)} {
		if w := post(t, newEdge(newFake()), reference); w.Code != http.StatusCreated || !strings.Contains(w.Body.String(), `"reference":"`+reference+`"`) {
			t.Errorf("%s: got %d %s, expected 201 with the reference", reference, w.Code, w.Body)
		}
	}
	for _, reference := range []string{"", strings.Repeat("x", 129), "two\nlines", "a\x00b", "\x1b[31mred", "right\u202eleft", " cart", "cart "} {
		e := newEdge(newFake())
		w := post(t, e, reference)
		if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "reference") {
			t.Errorf("%q: got %d %s, expected 422 that names the reference", reference, w.Code, w.Body)
		}
		wantCalls(t, e)
	}
}

func TestReadAndCancelOrder(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.order.Status, f.order.Reason = checkout.OrderCancelled, checkout.ReasonCustomer
	e := newEdge(f)
	for _, request := range [][2]string{{http.MethodGet, ""}, {http.MethodPost, "/cancel"}} {
		w := e.send(t, request[0], "/v1/orders/"+id.OrderID()+request[1], "", nil)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"status":"cancelled","reason":"customer"`) {
			t.Errorf("%s: got %d %s, expected 200, cancelled by the customer", request[0], w.Code, w.Body)
		}
		wantHeader(t, w, "Cache-Control", "no-store")
	}
	wantCalls(t, e, "read "+id.OrderID(), "cancel "+id.OrderID())
}
