package localserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"regexp"
	"strings"

	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"

	"flashsale/pkg/api"
)

// docsPath is the path of the API documentation.
const docsPath = "/docs/"

// documentation is the contract, for programs and as a page.
type documentation struct {
	yaml, json []byte
	page       http.Handler
}

func newDocumentation() (d documentation, err error) {
	if d.yaml, err = api.OpenAPI(); err == nil {
		d.json, err = api.OpenAPIJSON()
	}
	if err == nil {
		d.page, err = docs()
	}
	if err != nil {
		return documentation{}, fmt.Errorf("making the documentation: %w", err)
	}
	return d, nil
}

func (d documentation) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /openapi.yaml", document("application/yaml", d.yaml))
	mux.HandleFunc("GET /openapi.json", document("application/json", d.json))
	mux.Handle("GET "+docsPath, d.page)
	mux.Handle("GET /docs", http.RedirectHandler(docsPath, http.StatusMovedPermanently))
}

func document(contentType string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(body) // fails only if the client is gone
	}
}

// viewport and style make the page readable on a phone and in the dark.
const viewport = `<meta name="viewport" content="width=device-width, initial-scale=1">`

//go:embed docs.css
var style string

// docs serves Swagger UI with embedded files, so that it works without internet access. Its Content-Security-Policy
// allows what the page loads and nothing else: its own files, its own two inline scripts and its style, and requests to this
// server.
func docs() (http.Handler, error) {
	sorter, err := purchaseOrder()
	if err != nil {
		return nil, err
	}
	page := v5emb.NewHandlerWithConfig(swgui.Config{
		Title: "Flash Sale Checkout API", SwaggerJSON: "/openapi.yaml", BasePath: docsPath,
		SettingsUI: map[string]string{"operationsSorter": sorter},
		AppendHead: template.HTML(viewport + "<style>" + style + "</style>"), //nolint:gosec // G203: a file of this package
	})
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, docsPath, nil)
	if err != nil {
		return nil, fmt.Errorf("rendering the documentation: %w", err)
	}
	rendered := &rendering{header: http.Header{}}
	page.ServeHTTP(rendered, request)
	policy := contentPolicy(rendered.String())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		page.ServeHTTP(w, r)
	}), nil
}

// purchaseOrder is a JavaScript function for Swagger UI that compares two operations by the order of a purchase. The document
// itself has them by path.
func purchaseOrder() (string, error) {
	_, operations, err := api.Contract()
	if err != nil {
		return "", err
	}
	ids := make([]string, len(operations))
	for i, op := range operations {
		ids[i] = op.OperationID
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`(a, b) => { const at = op => %s.indexOf(op.getIn(["operation", "operationId"])); return at(a) - at(b) }`, list), nil
}

var (
	inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
	inlineStyle  = regexp.MustCompile(`(?s)<style>(.*?)</style>`)
)

// contentPolicy is the policy of a page. Inline scripts and styles are allowed by their digest. Swagger UI draws its
// icons from data: URLs.
func contentPolicy(page string) string {
	return strings.Join([]string{
		"default-src 'none'",
		"script-src 'self'" + digests(page, inlineScript),
		"style-src 'self'" + digests(page, inlineStyle),
		"img-src 'self' data:",
		"connect-src 'self'",
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
	}, "; ")
}

func digests(page string, inline *regexp.Regexp) (sources string) {
	for _, match := range inline.FindAllStringSubmatch(page, -1) {
		digest := sha256.Sum256([]byte(match[1]))
		sources += " 'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "'"
	}
	return sources
}

// rendering keeps the body of a response.
type rendering struct {
	header http.Header
	bytes.Buffer
}

func (r *rendering) Header() http.Header { return r.header }

func (*rendering) WriteHeader(int) {}
