package localserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"
)

// docsPath is the path of the API documentation.
const docsPath = "/docs/"

// docs serves Swagger UI with embedded files, so that it works without internet access. Its Content-Security-Policy
// allows what the page loads and nothing else: its own files, its own two inline scripts, and requests to this server.
func docs() (http.Handler, error) {
	page := v5emb.NewHandlerWithConfig(swgui.Config{Title: "Flash Sale Checkout API", SwaggerJSON: "/openapi.yaml", BasePath: docsPath, HideCurl: false})
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
