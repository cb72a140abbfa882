package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"flashsale/pkg/checkout"
)

func newRecorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }

func TestPlaceHold(t *testing.T) {
	t.Parallel()
	e := newEdge(newFake())
	w := e.send(t, http.MethodPost, "/v1/holds", holdBody, nil)
	want := `{"id":"` + id.HoldID() + `","product_id":"demo","qty":2,"status":"active","expires_at":"2026-11-27T09:02:00.123Z","created_at":"2026-11-27T09:00:00.123Z"}`
	if w.Code != http.StatusCreated || strings.TrimSpace(w.Body.String()) != want {
		t.Errorf("got %d %s, expected 201 %s", w.Code, w.Body, want)
	}
	wantHeader(t, w, "Location", "/v1/holds/"+id.HoldID())
	wantHeader(t, w, "Idempotent-Replayed", "")
	wantHeader(t, w, "Content-Type", "application/json")
	wantHeader(t, w, "Cache-Control", "no-store")
	wantCalls(t, e, "look up demo", "place 2 of demo for 2m0s")
	if e.key != nil {
		t.Error("the ledger got an idempotency key, expected none")
	}
}

func TestReplayedHold(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.repeat = true
	e := newEdge(f)
	w := e.send(t, http.MethodPost, "/v1/holds", holdBody, http.Header{"Idempotency-Key": {goodKey}})
	if w.Code != http.StatusOK {
		t.Errorf("got %d %s, expected 200", w.Code, w.Body)
	}
	wantHeader(t, w, "Idempotent-Replayed", "true")
	wantHeader(t, w, "Location", "/v1/holds/"+id.HoldID())
	want, _ := checkout.ParseIdempotencyKey(goodKey)
	if f.key == nil || *f.key != want {
		t.Errorf("the ledger got the key %v, expected the digest of %q", f.key, goodKey)
	}
}

func TestIdempotencyKeyForms(t *testing.T) {
	t.Parallel()
	want, _ := checkout.ParseIdempotencyKey(goodKey)
	for name, c := range map[string]struct {
		values []string
		good   bool
	}{
		"as it is":          {[]string{goodKey}, true},
		"in quotes":         {[]string{`"` + goodKey + `"`}, true},
		"16 characters":     {[]string{"sixteen-chars-xx"}, true},
		"255 characters":    {[]string{strings.Repeat("k", 255)}, true},
		"every character":   {[]string{"ABCXYZabcxyz0189._:-"}, true},
		"15 characters":     {[]string{"fifteen-chars-x"}, false},
		"15 in quotes":      {[]string{`"fifteen-chars-x"`}, false},
		"256 characters":    {[]string{strings.Repeat("k", 256)}, false},
		"empty":             {[]string{""}, false},
		"with a space":      {[]string{"sixteen chars or more"}, false},
		"with a comma":      {[]string{goodKey + "," + goodKey}, false},
		"one quote":         {[]string{`"` + goodKey}, false},
		"not ASCII":         {[]string{"sixteen-chars-or-möre"}, false},
		"two headers":       {[]string{goodKey, "another-sixteen-chars"}, false},
		"twice the same":    {[]string{goodKey, goodKey}, false},
		"good, then broken": {[]string{goodKey, ""}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(newFake())
			w := e.send(t, http.MethodPost, "/v1/holds", holdBody, http.Header{"Idempotency-Key": c.values})
			if c.good {
				if w.Code != http.StatusCreated || e.key == nil || (strings.Contains(c.values[0], goodKey) && *e.key != want) {
					t.Errorf("got %d %s with the key %v, expected 201 with the key's digest", w.Code, w.Body, e.key)
				}
				return
			}
			p := wantProblem(t, w, 422, "invalid_request")
			if len(p.Errors) == 0 || p.Errors[0].Field != "Idempotency-Key" {
				t.Errorf("errors are %+v, expected one for Idempotency-Key", p.Errors)
			}
			if strings.Contains(w.Body.String()+e.log.String(), goodKey) {
				t.Error("the response or the log shows the key, which is secret")
			}
			wantCalls(t, e)
		})
	}
}

// The gate refuses without a ledger call.
func TestGateRefusesHold(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.product.SoldStock = 7
	e := newEdge(f)
	wantProblem(t, e.send(t, http.MethodPost, "/v1/holds", holdBody, nil), 409, "sold_out")
	wantCalls(t, e, "look up demo")
}

func TestReadAndReleaseHold(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.hold.Status, f.hold.HasOrder = checkout.HoldOrdered, true
	e := newEdge(f)
	w := e.send(t, http.MethodGet, "/v1/holds/"+id.HoldID(), "", nil)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"status":"ordered"`) || !strings.Contains(w.Body.String(), `"order_id":"`+id.OrderID()+`"`) {
		t.Errorf("got %d %s, expected 200, ordered and the order's id", w.Code, w.Body)
	}
	w = e.send(t, http.MethodDelete, "/v1/holds/"+id.HoldID(), "", nil)
	if w.Code != http.StatusNoContent || w.Body.Len() > 0 {
		t.Errorf("got %d %s, expected 204 without a body", w.Code, w.Body)
	}
	wantCalls(t, e, "read "+id.HoldID(), "release "+id.HoldID())
}
