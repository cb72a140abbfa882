package api_test

import (
	"net/http"
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
