package api_test

import (
	"net/http"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"flashsale/pkg/api"
	"flashsale/pkg/checkout"
)

// RFC 6750, section 3: a request without a token gets no error code, and one with another scheme has none.
func TestChallengeSaysWhetherATokenWasRefused(t *testing.T) {
	t.Parallel()
	for authorization, want := range map[string]string{
		"":               `Bearer realm="flashsale"`,
		"Basic YTpi":     `Bearer realm="flashsale"`,
		"Bearer expired": `Bearer realm="flashsale", error="invalid_token"`,
		"bearer expired": `Bearer realm="flashsale", error="invalid_token"`,
	} {
		w := newShop(newFake()).send(t, http.MethodGet, "/v1/holds", "", http.Header{"Authorization": {authorization}})
		wantProblem(t, w, http.StatusUnauthorized, "unauthenticated")
		wantHeader(t, w, "WWW-Authenticate", want)
	}
	f := newFake()
	f.err = checkout.ErrSignInNeeded // decided by the ledger, under the product's lock
	w := newShop(f).send(t, http.MethodPost, "/v1/holds", holdBody, nil)
	wantProblem(t, w, http.StatusUnauthorized, "unauthenticated")
	wantHeader(t, w, "WWW-Authenticate", `Bearer realm="flashsale"`)
}

// A shop without accounts reads no token, so it does not say that one is bad.
func TestShopWithoutAccountsRefusesNoToken(t *testing.T) {
	t.Parallel()
	w := newEdge(newFake()).send(t, http.MethodGet, "/v1/holds", "", http.Header{"Authorization": {"Bearer any"}})
	wantProblem(t, w, http.StatusUnauthorized, "unauthenticated")
	wantHeader(t, w, "WWW-Authenticate", `Bearer realm="flashsale"`)
}

// A page may send its token with every request. Products and webhooks do not read it.
func TestProductsAndWebhooksReadNoToken(t *testing.T) {
	t.Parallel()
	e := newShop(newFake())
	for _, r := range []struct{ method, path, body string }{
		{http.MethodGet, "/v1/products", ""}, {http.MethodGet, "/v1/products/demo", ""}, {http.MethodPost, "/v1/payments/webhook", "{}"},
	} {
		if w := e.send(t, r.method, r.path, r.body, http.Header{"Authorization": {"Bearer expired"}}); w.Code != http.StatusOK {
			t.Errorf("%s %s with a bad token: got %d %s, expected 200", r.method, r.path, w.Code, w.Body)
		}
	}
}

// Any client can send a bad token, so its line stays INFO. It has the cause, which the response does not.
func TestLogLineOfRefusedToken(t *testing.T) {
	t.Parallel()
	e := newShop(newFake())
	w := e.send(t, http.MethodGet, "/v1/holds", "", http.Header{"Authorization": {"Bearer expired"}})
	line := e.line(t)
	if cause, _ := line["error"].(string); line["level"] != "INFO" || line["code"] != "unauthenticated" || !strings.Contains(cause, "no key") {
		t.Errorf("the log line is %v, expected INFO with the cause", line)
	}
	if strings.Contains(w.Body.String(), "no key") {
		t.Errorf("the response shows the cause: %s", w.Body)
	}
	e.send(t, http.MethodGet, "/v1/holds", "", nil)
	if line := e.line(t); line["level"] != "INFO" || line["error"] != nil {
		t.Errorf("the log line without a token is %v, expected INFO and no error", line)
	}
}

// A client that reads the document learns which operations take a token, and what a refusal looks like.
func TestOpenAPIDocumentDescribesSignIn(t *testing.T) {
	t.Parallel()
	text, err := api.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]struct {
			Security  []map[string][]string
			Responses map[string]struct{ Headers map[string]any }
		}
		Components struct {
			SecuritySchemes map[string]struct{ Type, Scheme, Description string } `yaml:"securitySchemes"`
		}
	}
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	if s := document.Components.SecuritySchemes["shopper"]; s.Type != "http" || s.Scheme != "bearer" || s.Description == "" {
		t.Errorf("the security scheme is %v, expected a bearer token with a description", s)
	}
	secured := 0
	for path, operations := range document.Paths {
		for method, op := range operations {
			shoppers := strings.HasPrefix(path, "/holds") || strings.HasPrefix(path, "/orders")
			if (len(op.Security) > 0) != shoppers {
				t.Errorf("%s %s has the security %v, expected one only if it belongs to a shopper", method, path, op.Security)
			}
			if !shoppers {
				continue
			}
			secured++
			if op.Responses["401"].Headers["WWW-Authenticate"] == nil {
				t.Errorf("%s %s: its 401 has no WWW-Authenticate", method, path)
			}
		}
	}
	if want := len(shoppersRequests) + 2; secured != want { // and two lists
		t.Errorf("%d operations take a token, expected %d", secured, want)
	}
}
