package shoptest

import (
	"io"
	"log"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// serveTwice starts two local servers on the Shop's database. Requests to its URL alternate between them.
func (s *Shop) serveTwice(t testing.TB, o Options) {
	t.Helper()
	s.serve(t, o)
	second := *s
	second.serve(t, o)
	servers := []*url.URL{Must(url.Parse(s.URL))(t), Must(url.Parse(second.URL))(t)}
	var requests atomic.Uint64
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(servers[requests.Add(1)%2]) },
		Transport: s.Client.Transport,
		ErrorLog:  log.New(io.Discard, "", 0), // of requests that a client gave up
	})
	s.URL = proxy.URL
	stop := s.Stop
	s.Stop = sync.OnceFunc(func() {
		s.Client.CloseIdleConnections()
		proxy.Close()
		stop()
		second.Stop()
	})
}
