package localserver

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"flashsale/internal/template"
)

// fromPage sends a request of a page, or its preflight for a method, and returns the response's headers.
func fromPage(allowed, origin, method, preflightFor, headers string) (status int, h http.Header) {
	handler := withCORS(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }), allowed)
	r := httptest.NewRequest(method, "/v1/holds", nil)
	r.Header.Set("Origin", origin)
	if preflightFor != "" {
		r.Header.Set("Access-Control-Request-Method", preflightFor)
	}
	if headers != "" {
		r.Header.Set("Access-Control-Request-Headers", headers)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w.Code, w.Header()
}

// names is a list of headers in lower case and sorted, from a list of the template or from a header.
func names(list any) []string {
	var all []string
	switch l := list.(type) {
	case []any:
		for _, name := range l {
			all = append(all, strings.ToLower(fmt.Sprint(name)))
		}
	case string:
		all = strings.Split(strings.ToLower(strings.ReplaceAll(l, " ", "")), ",")
	}
	slices.Sort(all)
	return all
}

// A page that works with the local server works with a stack, and the other way round.
func TestPagesGetTheHeadersOfTheTemplate(t *testing.T) {
	t.Parallel()
	const page = "http://localhost:5173"
	var stack template.Object
	var value any = template.Read(t, "../../template.yaml").Object
	for _, key := range []string{"Resources", "Api", "Properties", "CorsConfiguration"} {
		stack, _ = value.(template.Object)
		value = stack[key]
	}
	stack, _ = value.(template.Object)
	if len(stack) != 5 {
		t.Fatalf("the template's CorsConfiguration has %v, expected 5 settings", slices.Collect(maps.Keys(stack)))
	}
	methods, headers := names(stack["AllowMethods"]), names(stack["AllowHeaders"])
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		status, h := fromPage("", page, http.MethodOptions, method, strings.Join(headers, ","))
		if !slices.Contains(methods, strings.ToLower(method)) {
			if h.Get("Access-Control-Allow-Methods") != "" {
				t.Errorf("a page may use %s, unlike in the template", method)
			}
			continue
		}
		if status != http.StatusNoContent || h.Get("Access-Control-Allow-Methods") != method || h.Get("Access-Control-Allow-Origin") != page {
			t.Errorf("the preflight of %s got %d %v, expected 204 with the method and the origin", method, status, h)
		}
		if got := names(h.Get("Access-Control-Allow-Headers")); !slices.Equal(got, headers) || h.Get("Access-Control-Max-Age") != fmt.Sprint(stack["MaxAge"]) {
			t.Errorf("the preflight of %s got %v, expected the headers %v for %v s", method, h, headers, stack["MaxAge"])
		}
	}
	if _, h := fromPage("", page, http.MethodOptions, http.MethodPost, "x-other"); h.Get("Access-Control-Allow-Headers") != "" {
		t.Errorf("the preflight allows a header that the template has not: %v", h)
	}
	status, h := fromPage("", page, http.MethodPost, "", "")
	if got, want := names(h.Get("Access-Control-Expose-Headers")), names(stack["ExposeHeaders"]); status != http.StatusTeapot || !slices.Equal(got, want) {
		t.Errorf("a response of the API (%d) shows the page the headers %v, expected %v", status, got, want)
	}
}

func TestOnlyAllowedOriginsMayCall(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		allowed, origin string
		want            bool
	}{
		{"", "http://localhost:5173", true},
		{"", "http://127.0.0.1:3000", true},
		{"", "https://[::1]:3000", true},
		{"", "https://shop.example.com", false},
		{"", "https://localhost.example.com", false},
		{"", "http://192.168.1.2", false},
		{"", "null", false},
		{"https://shop.example.com", "https://shop.example.com", true},
		{"https://shop.example.com", "http://localhost:5173", false},
		{"*", "https://other.example.com", true},
	} {
		for method, preflight := range map[string]string{http.MethodOptions: http.MethodPost, http.MethodGet: ""} {
			if _, h := fromPage(c.allowed, c.origin, method, preflight, ""); (h.Get("Access-Control-Allow-Origin") != "") != c.want {
				t.Errorf("ALLOWED_ORIGIN %q: %s of %s got %v, expected allowed: %v", c.allowed, method, c.origin, h, c.want)
			}
		}
	}
}
