package live

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// thisMachineOnly refuses requests from other machines. A site whose name resolves to a loopback address (DNS rebinding) sends its requests
// from this machine, so the name in the request must be a loopback name, too. A proxy or
// a tunnel may write that name itself, so requests with its headers are refused, too.
func thisMachineOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !isLoopback(client.Addr().Unmap().String()) || !isLoopback(hostOf(r.Host)) || isForwarded(r) {
			refuse(w, http.StatusForbidden, "This page is only for the machine that serves it: use http://127.0.0.1 or http://localhost with its port.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isForwarded reports whether a proxy says that it passes on another client's request.
func isForwarded(r *http.Request) bool {
	return slices.ContainsFunc([]string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip"}, func(name string) bool {
		return len(r.Header.Values(name)) > 0
	})
}

// ownStreamsOnly refuses streams to pages of other origins. They cannot read one, but could use up all of them.
func ownStreamsOnly(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
			refuse(w, http.StatusForbidden, "Only this page can listen to a sale.")
			return
		}
		next(w, r)
	}
}

// hostOf is the name or address of a Host header, without port and brackets.
func hostOf(header string) string {
	host, _, err := net.SplitHostPort(header)
	if err != nil { // no port
		host = strings.TrimSuffix(strings.TrimPrefix(header, "["), "]")
	}
	return strings.ToLower(host)
}

// isLoopback reports whether a host is localhost, in 127.0.0.0/8, or ::1.
func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback() && address.Zone() == ""
}

// refusal is the body of a refused request.
type refusal struct {
	Status int            `json:"status"`
	Detail string         `json:"detail"`
	Errors []fieldProblem `json:"errors,omitempty"`
}

type fieldProblem struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

func refuse(w http.ResponseWriter, status int, detail string, errors ...fieldProblem) {
	respond(w, status, refusal{status, detail, errors})
}

func respond(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // fails only if the client is gone
}
