package localserver

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// The page loads only what its policy allows: files of its own, and the inline scripts and styles that it has now.
func TestContentSecurityPolicyFitsThePage(t *testing.T) {
	t.Parallel()
	handler, err := docs()
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return w
	}
	w := get("/docs/")
	page, policy := w.Body.String(), w.Header().Get("Content-Security-Policy")
	if w.Code != http.StatusOK || !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") {
		t.Fatalf("got %d and the policy %q, expected 200 and a policy that allows nothing by default", w.Code, policy)
	}
	inline := regexp.MustCompile(`(?s)<(script|style)(?: type="[^"]*")?>(.*?)</`).FindAllStringSubmatch(page, -1)
	if len(inline) == 0 {
		t.Error("the page has no inline script, expected at least the one that starts Swagger UI")
	}
	for _, match := range inline {
		digest := sha256.Sum256([]byte(match[2]))
		if allowed := "'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "'"; !strings.Contains(policy, allowed) {
			t.Errorf("the policy %q does not allow the inline %s %.60q", policy, match[1], match[2])
		}
	}
	if attribute := regexp.MustCompile(`<[^>]+ (on[a-z]+|style)=`).FindString(page); attribute != "" {
		t.Errorf("the page has %q, which no digest can allow", attribute)
	}
	files := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page, -1)
	if len(files) < 3 {
		t.Errorf("the page loads %q, expected its scripts and styles", files)
	}
	for _, match := range files {
		if w := get(match[1]); w.Code != http.StatusOK || !strings.HasPrefix(match[1], "/docs/") {
			t.Errorf("%s: got %d, expected a file below /docs/", match[1], w.Code)
		}
	}
}
