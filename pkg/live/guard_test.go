package live

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestOnlyThisMachineOpensThePage(t *testing.T) {
	t.Parallel()
	page := thisMachineOnly(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for _, c := range []struct {
		remote, host string
		allowed      bool
	}{
		{"127.0.0.1:1234", "127.0.0.1:8080", true},
		{"127.0.0.1:1234", "localhost:8080", true},
		{"127.0.0.1:1234", "LOCALHOST", true},
		{"127.3.2.1:1234", "127.9.9.9:8080", true},
		{"[::1]:1234", "[::1]:8080", true},
		{"[::1]:1234", "[::1]", true},
		{"[::ffff:127.0.0.1]:1234", "127.0.0.1:8080", true},
		{"10.0.0.5:1234", "127.0.0.1:8080", false},
		{"[fe80::1]:1234", "localhost:8080", false},
		{"127.0.0.1:1234", "evil.example:8080", false},
		{"127.0.0.1:1234", "localhost.evil.example:8080", false},
		{"127.0.0.1:1234", "127.0.0.1.evil.example", false},
		{"127.0.0.1:1234", "10.0.0.5:8080", false},
		{"127.0.0.1:1234", "0.0.0.0:8080", false},
		{"127.0.0.1:1234", "", false},
		{"127.0.0.1", "127.0.0.1:8080", false}, // no server's form
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, Path, nil)
		r.RemoteAddr, r.Host = c.remote, c.host
		w := httptest.NewRecorder()
		page.ServeHTTP(w, r)
		if want := map[bool]int{true: http.StatusNoContent, false: http.StatusForbidden}[c.allowed]; w.Code != want {
			t.Errorf("from %s to %q: status %d, expected %d", c.remote, c.host, w.Code, want)
		}
	}
}

// A proxy on this machine that rewrites Host would show the page to everyone.
func TestPageRefusesForwardedRequests(t *testing.T) {
	t.Parallel()
	page := thisMachineOnly(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for header, want := range map[string]int{
		"X-Forwarded-For": http.StatusForbidden, "X-Forwarded-Host": http.StatusForbidden, "X-Real-IP": http.StatusForbidden,
		"Forwarded": http.StatusForbidden, "Via": http.StatusForbidden, "Accept": http.StatusNoContent,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, Path, nil)
		r.RemoteAddr, r.Host = "127.0.0.1:1234", "127.0.0.1:8080"
		r.Header.Set(header, "127.0.0.1")
		w := httptest.NewRecorder()
		page.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("with the header %s: status %d, expected %d", header, w.Code, want)
		}
	}
}

func TestPagesOfOtherOriginsGetNoStream(t *testing.T) {
	t.Parallel()
	stream := ownStreamsOnly(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	for site, want := range map[string]int{
		"": http.StatusNoContent, "same-origin": http.StatusNoContent, "none": http.StatusNoContent,
		"same-site": http.StatusForbidden, "cross-site": http.StatusForbidden,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, Path+"events", nil)
		r.Header.Set("Sec-Fetch-Site", site)
		w := httptest.NewRecorder()
		stream(w, r)
		if w.Code != want {
			t.Errorf("from a page that is %q: status %d, expected %d", site, w.Code, want)
		}
	}
}

func TestPageListensOnThisMachineAlone(t *testing.T) {
	t.Parallel()
	for address, right := range map[string]bool{
		"127.0.0.1:8090": true, "[::1]:8090": true, "localhost:0": true,
		":8090": false, "0.0.0.0:8090": false, "[::]:8090": false, "10.0.0.5:8090": false, "127.0.0.1": false, "": false,
	} {
		if err := CheckAddress(address); (err == nil) != right {
			t.Errorf("%q: got %v, expected it to be allowed: %t", address, err, right)
		}
	}
}
