package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
)

var orderBody = `{"hold_id":"` + id.HoldID() + `"}`

// A member given twice has two meanings: the last one wins here, the first one elsewhere.
func TestRefusesMemberGivenTwice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ path, body string }{
		{"/v1/holds", `{"product_id":"demo","qty":1,"qty":2}`},
		{"/v1/holds", `{"product_id":"demo","qty":1,"qty":1}`},
		{"/v1/holds", `{"product_id":"demo","qty":1,"q\u0074y":2}`},
		{"/v1/holds", `{"product_id":"other","qty":1,"product_id":"demo"}`},
		{"/v1/holds", `{"product_id":"demo","qty":1,"x":1,"x":1}`},
		{"/v1/holds", `{"product_id":"demo","qty":1,"x":[{"y":{"z":1,"z":2}}]}`},
		{"/v1/holds", `[{"qty":1,"qty":1}]`},
		{"/v1/orders", `{"hold_id":"x","hold_id":"` + id.HoldID() + `"}`},
		{"/v1/orders", `{"hold_id":{"a":1,"a":2}}`},
		{"/v1/orders/" + id.OrderID() + "/cancel", `{"a":1,"a":2}`},
	} {
		e := newEdge(newFake())
		wantProblem(t, e.send(t, http.MethodPost, c.path, c.body, nil), 400, "malformed_request")
		wantCalls(t, e)
	}
}

// The pages of other origins send the first three types without a preflight request, and also a body without a type.
func TestMediaTypes(t *testing.T) {
	t.Parallel()
	for _, request := range [][3]string{
		{http.MethodPost, "/v1/holds", holdBody},
		{http.MethodPost, "/v1/orders", orderBody},
		{http.MethodPost, "/v1/orders/" + id.OrderID() + "/cancel", "{}"},
		{http.MethodDelete, "/v1/holds/" + id.HoldID(), "{}"},
	} {
		for _, refused := range [][]string{
			{"text/plain"},
			{"application/x-www-form-urlencoded"},
			{"multipart/form-data; boundary=x"},
			nil,
			{""},
			{"text/plain; application/json"},
			{"text/plain, application/json"},
			{"application/json, text/plain"},
			{"text/plain", "application/json"},
			{"application/json", "application/json"},
			{"application/json5"},
			{"application/json+x"},
			{"text/x+json"},
			{"json"},
			{";charset=utf-8"},
		} {
			e := newEdge(newFake())
			w := e.send(t, request[0], request[1], request[2], http.Header{"Content-Type": refused})
			wantProblem(t, w, 415, "unsupported_media_type")
			wantCalls(t, e)
		}
		for _, taken := range []string{
			"application/json", "Application/JSON; charset=utf-8", "APPLICATION/JSON", "application/json;charset=UTF-8",
			` application/json ; charset="utf-8"; x=y`, "application/json;",
		} {
			e := newEdge(newFake())
			if w := e.send(t, request[0], request[1], request[2], http.Header{"Content-Type": {taken}}); w.Code >= 300 {
				t.Errorf("%s %s with %q: got %d %s, expected success", request[0], request[1], taken, w.Code, w.Body)
			}
		}
	}
}

func TestNoBodyNeedsNoMediaType(t *testing.T) {
	t.Parallel()
	for _, header := range []http.Header{nil, {"Content-Type": {"application/x-www-form-urlencoded"}}} { // as curl -d ''
		e := newEdge(newFake())
		for _, request := range [][2]string{
			{http.MethodDelete, "/v1/holds/" + id.HoldID()},
			{http.MethodPost, "/v1/orders/" + id.OrderID() + "/cancel"},
			{http.MethodGet, "/v1/products"},
		} {
			if w := e.send(t, request[0], request[1], "", header); w.Code >= 300 {
				t.Errorf("%s %s with %v: got %d %s, expected success", request[0], request[1], header, w.Code, w.Body)
			}
		}
		wantProblem(t, e.send(t, http.MethodPost, "/v1/holds", "", header), 400, "malformed_request")
	}
}

// A signed event is taken with any Content-Type and any query: its signature decides.
func TestWebhooksTakeAnyMediaType(t *testing.T) {
	t.Parallel()
	for _, path := range []string{standardPath, stripePath, stripePath + "?source=stripe&source=x&=%zz"} {
		for _, contentType := range [][]string{{"application/json; charset=utf-8"}, {"Application/JSON"}, {"text/plain"}, {"a", "b"}, {""}, nil} {
			e := newEdge(newFake())
			w := e.send(t, http.MethodPost, path, `{"a":1,"a":2}`, http.Header{"Content-Type": contentType})
			if w.Code != http.StatusOK || string(e.delivered) != `{"a":1,"a":2}` {
				t.Errorf("%s with Content-Type %q: got %d %s, expected 200", path, contentType, w.Code, w.Body)
			}
		}
	}
}

// A refusal lists at most 20 fields, always the same ones, and says how many it leaves out.
func TestListOfInvalidFieldsIsShort(t *testing.T) {
	t.Parallel()
	for unknown, more := range map[int]string{18: "", 19: " leaves out 1 more.", 30: " leaves out 12 more.", 1500: " leaves out 1482 more."} {
		var body strings.Builder
		for i := range unknown {
			fmt.Fprintf(&body, `,"u%04d":1`, (i*7)%unknown) // in another order
		}
		var first string
		for range 5 {
			e := newEdge(newFake())
			w := e.send(t, http.MethodPost, "/v1/holds", "{"+body.String()[1:]+"}", nil)
			p := wantProblem(t, w, 422, "invalid_request")
			if len(p.Errors) != min(unknown+2, 20) || w.Body.Len() > 2000 || !strings.HasSuffix(p.Detail, more) || (more == "") != !strings.Contains(p.Detail, "more") {
				t.Errorf("%d unknown fields: got %d entries in %d bytes, and %q, expected at most 20 and %q", unknown, len(p.Errors), w.Body.Len(), p.Detail, more)
			}
			got := fmt.Sprint(p.Errors)
			if first == "" {
				first = got
			}
			if got != first || !slices.IsSortedFunc(p.Errors, func(a, b struct{ Field, Detail string }) int { return strings.Compare(a.Field, b.Field) }) {
				t.Errorf("%d unknown fields: got %s, expected the fields by name, as in %s", unknown, got, first)
			}
		}
	}
}

// A response repeats names of the request, which can be long, but not at length.
func TestLongFieldNamesAreCut(t *testing.T) {
	t.Parallel()
	e := newEdge(newFake())
	long := strings.Repeat("<", 10_000)
	w := e.send(t, http.MethodPost, "/v1/holds", `{"product_id":"demo","qty":1,"`+long+`":1}`, nil)
	if p := wantProblem(t, w, 422, "invalid_request"); w.Body.Len() > 2000 || p.Errors[0].Field != long[:64]+"…" {
		t.Errorf("got %d bytes, expected a name of 64 characters: %s", w.Body.Len(), w.Body)
	}
	w = e.send(t, http.MethodGet, "/v1/products?"+long+"=1", "", nil)
	if wantProblem(t, w, 422, "invalid_request"); w.Body.Len() > 2000 {
		t.Errorf("got %d bytes, expected a short response: %s", w.Body.Len(), w.Body)
	}
	keys := slices.Repeat([]string{"short"}, 500)
	w = e.send(t, http.MethodPost, "/v1/holds", holdBody, http.Header{"Idempotency-Key": keys})
	if p := wantProblem(t, w, 422, "invalid_request"); len(p.Errors) != 1 {
		t.Errorf("got %s, expected one entry for 500 keys", w.Body)
	}
}

func TestQueryParameters(t *testing.T) {
	t.Parallel()
	const list = "/v1/products"
	for query, field := range map[string]string{
		list + "?limit=&limit=abc":             "limit",
		list + "?limit=5&limit=5":              "limit",
		list + "?limit=5&lim%69t=6":            "limit",
		list + "?limit=":                       "limit",
		list + "?limit":                        "limit",
		list + "?limit&cursor=YQ":              "limit",
		list + "?limit=%zz":                    "limit",
		list + "?limit=5%":                     "limit",
		list + "?limit=5;cursor=YQ":            "limit",
		list + "?limit=1e1":                    "limit",
		list + "?limit=5.0":                    "limit",
		list + "?limit=99999999999999999999":   "limit",
		list + "?cursor=YQ&cursor=YQ":          "cursor",
		list + "?cursor=&cursor=":              "cursor",
		list + "?cursor=%zz":                   "cursor",
		list + "?cursor=YQ%3D%3D":              "cursor",
		list + "?Limit=5":                      "Limit",
		list + "?limti=5":                      "limti",
		list + "?limit[]=5":                    "limit[]",
		list + "?=5":                           "",
		list + "?%zz=5":                        "%zz",
		list + "/demo?x=1":                     "x",
		list + "/demo?id=other":                "id",
		"/v1/holds/" + id.HoldID() + "?x":      "x",
		"/v1/orders/" + id.OrderID() + "?x=1":  "x",
		"/v1/orders/" + id.OrderID() + "?&x=1": "x",
	} {
		e := newEdge(newFake())
		p := wantProblem(t, e.send(t, http.MethodGet, query, "", nil), 422, "invalid_request")
		if len(p.Errors) == 0 {
			t.Errorf("%s: got no errors, expected one for %q", query, field)
		}
		for _, f := range p.Errors {
			if f.Field != field || f.Detail == "" {
				t.Errorf("%s: errors are %+v, expected only %q", query, p.Errors, field)
			}
		}
		wantCalls(t, e)
	}
	for _, request := range [][3]string{
		{http.MethodPost, "/v1/holds?qty=2", holdBody},
		{http.MethodDelete, "/v1/holds/" + id.HoldID() + "?force=true", ""},
		{http.MethodPost, "/v1/orders/" + id.OrderID() + "/cancel?reason=x", ""},
	} {
		e := newEdge(newFake())
		wantProblem(t, e.send(t, request[0], request[1], request[2], nil), 422, "invalid_request")
		wantCalls(t, e)
	}
	for query, call := range map[string]string{
		"": `list 21 after ""`, "?": `list 21 after ""`, "?&": `list 21 after ""`, "?cursor=": `list 21 after ""`, "?limit=7&cursor=": `list 8 after ""`,
		"?limit=100": `list 101 after ""`, "?lim%69t=1&&cursor=YQ": `list 2 after "a"`,
	} {
		e := newEdge(newFake())
		if w := e.send(t, http.MethodGet, list+query, "", nil); w.Code != http.StatusOK {
			t.Errorf("%q: got %d %s, expected 200", query, w.Code, w.Body)
		}
		wantCalls(t, e, call)
	}
}

// A body that does not arrive whole is the client's mistake, for every operation that has one.
func TestBodyThatBreaksOff(t *testing.T) {
	t.Parallel()
	for body, detail := range map[failingBody]string{
		{errors.New("malformed chunked encoding")}: "The body ended early.",
		{os.ErrDeadlineExceeded}:                   "The body did not arrive in time.",
	} {
		for _, path := range []string{"/v1/holds", "/v1/orders", "/v1/orders/" + id.OrderID() + "/cancel", standardPath, stripePath} {
			e := newEdge(newFake())
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, body)
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			e.handler.ServeHTTP(w, r)
			if p := wantProblem(t, w, 400, "malformed_request"); p.Detail != detail {
				t.Errorf("%s: the detail is %q, expected %q", path, p.Detail, detail)
			}
			if line := e.line(t); line["level"] != "INFO" || line["status"] != 400.0 {
				t.Errorf("%s: the log line is %v, expected INFO and 400", path, line)
			}
			wantCalls(t, e)
		}
	}
}

// failingBody is a body that cannot be read.
type failingBody struct{ err error }

func (b failingBody) Read([]byte) (int, error) { return 0, b.err }
