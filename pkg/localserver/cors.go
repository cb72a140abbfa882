package localserver

import (
	"net/http"
	"net/netip"
	"net/url"

	"github.com/rs/cors"
)

// withCORS lets the pages of an origin call the API from the browser, as API Gateway does by template.yaml's CorsConfiguration.
// The origin "*" means all pages, and "" those of this machine.
func withCORS(handler http.Handler, origin string) http.Handler {
	return cors.New(cors.Options{
		AllowOriginFunc: func(from string) bool {
			return origin == "*" || from == origin || origin == "" && isLoopback(from)
		},
		AllowedMethods: []string{http.MethodGet, http.MethodPost, http.MethodDelete},
		AllowedHeaders: []string{"Authorization", "Content-Type", "Idempotency-Key", "If-None-Match"},
		ExposedHeaders: []string{"ETag", "Location", "Idempotent-Replayed", "Retry-After", "WWW-Authenticate", "X-Request-Id", "Date"},
		MaxAge:         600,
	}).Handler(handler)
}

func isLoopback(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	ip, _ := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || ip.IsLoopback()
}
