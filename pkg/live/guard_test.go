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
