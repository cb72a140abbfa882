package contract

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"flashsale/internal/shoptest"
	"flashsale/pkg/checkout"
)

// Two shoppers: for each of them, what the other has does not exist.
func TestAnothersHoldsAndOrdersDoNotExist(t *testing.T) {
	t.Parallel()
	shoptest.ServerAndFunctions(t, func(t *testing.T, open shoptest.Opener) {
		s := open(t, 10, shoptest.Options{SignIn: true})
		ada, eve := s.As(t, "ada"), s.As(t, "eve")
		const key = "a-key-that-both-of-them-use"
		placed := ada.PostHold(t, 1, key)
		hold, _ := checkout.ParseHoldID(placed.Text("id"))
		order := ada.MustOrder(t, 1)
		if placed.Status != http.StatusCreated {
			t.Fatalf("ada's hold: got %+v, expected 201", placed)
		}

		orderHold := `{"hold_id":"` + hold.HoldID() + `"}`
		for _, r := range []struct{ method, path, body, code string }{
			{http.MethodGet, "/v1/holds/" + hold.HoldID(), "", "hold_not_found"},
			{http.MethodDelete, "/v1/holds/" + hold.HoldID(), "", "hold_not_found"},
			{http.MethodPost, "/v1/orders", orderHold, "hold_not_found"},
			{http.MethodGet, "/v1/holds/" + order.HoldID(), "", "hold_not_found"},
			{http.MethodDelete, "/v1/holds/" + order.HoldID(), "", "hold_not_found"},
			{http.MethodPost, "/v1/orders", `{"hold_id":"` + order.HoldID() + `"}`, "hold_not_found"},
			{http.MethodGet, "/v1/orders/" + order.OrderID(), "", "order_not_found"},
			{http.MethodPost, "/v1/orders/" + order.OrderID() + "/cancel", "", "order_not_found"},
			{http.MethodGet, "/v1/orders/" + hold.OrderID(), "", "order_not_found"},
			{http.MethodPost, "/v1/orders/" + hold.OrderID() + "/cancel", "", "order_not_found"},
		} {
			shoptest.CheckProblem(t, eve.Do(t, r.method, r.path, r.body, nil), http.StatusNotFound, r.code)
		}
		wantOwn(t, eve, "/v1/holds")
		wantOwn(t, eve, "/v1/orders")

		own := eve.PostHold(t, 1, key)
		if own.Status != http.StatusCreated || own.Text("id") == hold.HoldID() {
			t.Errorf("eve's hold with the text of ada's key: got %+v, expected a new hold", own)
		}
		if other := eve.PostHold(t, 2, key); other.Code() != "idempotency_key_reused" {
			t.Errorf("eve's key with another quantity: got %+v, expected idempotency_key_reused", other)
		}
		if again := ada.PostHold(t, 1, key); again.Status != http.StatusOK || again.Text("id") != hold.HoldID() {
			t.Errorf("ada's request again: got %+v, expected 200 with her hold", again)
		}
		wantOwn(t, eve, "/v1/holds", own.Text("id"))
		wantOwn(t, ada, "/v1/holds", order.HoldID(), hold.HoldID())
		wantOwn(t, ada, "/v1/orders", order.OrderID())

		// Nothing that eve sent has changed what ada has.
		if r := ada.Do(t, http.MethodGet, "/v1/holds/"+hold.HoldID(), "", nil); r.Text("status") != "active" {
			t.Errorf("ada's hold is %+v, expected active", r)
		}
		if r := ada.Do(t, http.MethodPost, "/v1/orders/"+order.OrderID()+"/cancel", "", nil); r.Status != http.StatusOK || r.Text("status") != "cancelled" {
			t.Errorf("ada's cancellation: got %+v, expected 200 and cancelled", r)
		}
		if r := ada.Do(t, http.MethodDelete, "/v1/holds/"+hold.HoldID(), "", nil); r.Status != http.StatusNoContent {
			t.Errorf("ada's release: got %+v, expected 204", r)
		}
		s.MustAudit(t)
	})
}

// wantOwn checks the ids of a list, the latest first.
func wantOwn(t *testing.T, s *shoptest.Shop, path string, want ...string) {
	t.Helper()
	r := s.Do(t, http.MethodGet, path, "", nil)
	var page struct{ Data []struct{ ID string } }
	err := json.Unmarshal([]byte(r.Body), &page)
	ids := []string{}
	for _, entry := range page.Data {
		ids = append(ids, entry.ID)
	}
	if r.Status != http.StatusOK || err != nil || !slices.Equal(ids, want) {
		t.Errorf("GET %s: got %+v, expected %v", path, r, want)
	}
}

// The server refuses with a problem. On AWS, API Gateway does so before a function runs.
func TestHoldsAndOrdersNeedSignIn(t *testing.T) {
	t.Parallel()
	shoptest.ServerAndFunctions(t, func(t *testing.T, open shoptest.Opener) {
		s := open(t, 10, shoptest.Options{SignIn: true})
		ada := s.As(t, "ada")
		hold, order := ada.MustHold(t, 1), ada.MustOrder(t, 1)
		for _, authorization := range []string{"", "Bearer " + s.Token(t, "ada") + "x", "Basic YWRhOnNlY3JldA=="} {
			header := http.Header{}
			if authorization != "" {
				header.Set("Authorization", authorization)
			}
			for _, r := range []struct{ method, path, body string }{
				{http.MethodPost, "/v1/holds", s.HoldBody(1)},
				{http.MethodGet, "/v1/holds", ""},
				{http.MethodGet, "/v1/holds/" + hold.HoldID(), ""},
				{http.MethodDelete, "/v1/holds/" + hold.HoldID(), ""},
				{http.MethodPost, "/v1/orders", `{"hold_id":"` + hold.HoldID() + `"}`},
				{http.MethodGet, "/v1/orders", ""},
				{http.MethodGet, "/v1/orders/" + order.OrderID(), ""},
				{http.MethodPost, "/v1/orders/" + order.OrderID() + "/cancel", ""},
			} {
				got := s.Do(t, r.method, r.path, r.body, header)
				if !strings.HasPrefix(got.Header.Get("WWW-Authenticate"), "Bearer") || got.Status != http.StatusUnauthorized {
					t.Errorf("%s %s with %.10q: got %+v, expected 401 with a challenge", r.method, r.path, authorization, got)
				}
				if s.Cloud == nil {
					shoptest.CheckProblem(t, got, http.StatusUnauthorized, "unauthenticated")
				}
			}
		}
		if r := s.Do(t, http.MethodGet, "/v1/products/"+s.ProductID, "", nil); r.Status != http.StatusOK {
			t.Errorf("the product without a token: got %+v, expected 200", r)
		}
		if p := s.Stock(t); p.ReservedStock != 2 {
			t.Errorf("%d units are reserved, expected ada's 2", p.ReservedStock)
		}
		s.MustAudit(t)
	})
}

// A function that no authorizer protects, as with sam local, lets nobody in.
func TestFunctionWithoutAuthorizerRefuses(t *testing.T) {
	t.Parallel()
	o := shoptest.WithDefaults(t, shoptest.Options{SignIn: true})
	s := shoptest.New(t, 10, o)
	shoptest.CheckProblem(t, s.InvokeHold(t, s.StartFunction(t, "holds", o)), http.StatusUnauthorized, "unauthenticated")
	if p := s.Stock(t); p.ReservedStock != 0 {
		t.Errorf("%d units are reserved, expected none", p.ReservedStock)
	}
}
