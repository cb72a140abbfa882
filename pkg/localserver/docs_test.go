package localserver

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
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

// The page fits a phone, follows the system's colours and lists the operations in the order of a purchase.
func TestDocumentationPage(t *testing.T) {
	t.Parallel()
	d, err := newDocumentation()
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	d.routes(mux)
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return w
	}
	page := get("/docs/").Body.String()
	for _, want := range []string{
		`<meta name="viewport" content="width=device-width, initial-scale=1">`, "prefers-color-scheme: dark",
		`["list-products","get-product","place-hold","get-hold","release-hold","list-holds","create-order","get-order","cancel-order","list-orders","receive-payment-event","receive-stripe-event"].indexOf`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	var document struct{ Openapi string }
	w := get("/openapi.json")
	if err := json.Unmarshal(w.Body.Bytes(), &document); err != nil || document.Openapi != "3.1.0" || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("/openapi.json has the version %q and the type %q: %v", document.Openapi, w.Header().Get("Content-Type"), err)
	}
	if w := get("/openapi.yaml"); !strings.Contains(w.Body.String(), "openapi: 3.1.0") || w.Header().Get("Content-Type") != "application/yaml" {
		t.Errorf("/openapi.yaml has the type %q", w.Header().Get("Content-Type"))
	}
}
