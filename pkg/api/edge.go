package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// The headers that the edge (deploy/edge.yaml) sets on every request. They replace a client's own.
const (
	EdgeHeader   = "Flashsale-Edge"   // one of Options.EdgeSecrets
	ViewerHeader = "Flashsale-Viewer" // the client's address
)

// codeAroundEdge is the log's code for a request without the edge's secret. The client gets not_found.
const codeAroundEdge = "around_the_edge"

// probes are routes of the local server for load balancers and scrapers, which do not come through the edge.
var probes = map[string]bool{"/healthz": true, "/metrics": true}

// behindEdge responds to a request without one of the secrets as if its path did not exist. It finds the client's address for the
// log. Without secrets there is no edge, so the address is the connection's.
func behindEdge(next http.Handler, secrets []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := infoOf(r.Context())
		if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
			info.address = host
		}
		if len(secrets) == 0 || probes[r.URL.Path] {
			next.ServeHTTP(w, r)
			return
		}
		if !isOneOf(r.Header.Get(EdgeHeader), secrets) {
			writeProblem(w, info, errNoRoute)
			info.code = codeAroundEdge
			return
		}
		r.Header.Del(EdgeHeader)
		if viewer, err := netip.ParseAddr(strings.TrimSpace(r.Header.Get(ViewerHeader))); err == nil {
			info.address = viewer.String()
		}
		next.ServeHTTP(w, r)
	})
}

// isOneOf takes the same time for every value: it compares digests, with all of the secrets.
func isOneOf(value string, secrets []string) bool {
	given, found := sha256.Sum256([]byte(value)), 0
	for _, secret := range secrets {
		want := sha256.Sum256([]byte(secret))
		found |= subtle.ConstantTimeCompare(given[:], want[:])
	}
	return found == 1
}
