package live

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// serverTimeout limits a request of the test's server.
const serverTimeout = 300 * time.Millisecond

// serve serves the page, which runs until the test ends.
func serve(t *testing.T, l *Live) (url string, stop func()) {
	t.Helper()
	server := httptest.NewUnstartedServer(l.Handler())
	server.Config.ReadTimeout, server.Config.WriteTimeout = serverTimeout, serverTimeout
	server.Start()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() { l.Run(ctx); close(ran) }()
	stop = sync.OnceFunc(func() { cancel(); <-ran })
	t.Cleanup(func() { stop(); server.Close() })
	return server.URL, stop
}

func send(t *testing.T, method, url, body string, header http.Header) (status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for name, values := range header {
		r.Header[name] = values
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	read := &bytes.Buffer{}
	_, _ = read.ReadFrom(response.Body)
	return response.StatusCode, strings.TrimSpace(read.String())
}

// A stream begins with the settings and the history, and goes on with samples, for longer than the server lets a request take.
func TestStreamBeginsWithTheHistory(t *testing.T) {
	t.Parallel()
	l, _ := newLive(&operator{}, noTraffic{})
	l.options.StockEvery, l.options.TrafficEvery = serverTimeout/10, serverTimeout/10
	url, stop := serve(t, l)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+Path+"events", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if kind := response.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("the Content-Type is %q, expected an event stream", kind)
	}
	var names []string
	seen := map[string]bool{}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, isEvent := strings.CutPrefix(lines.Text(), "event: ")
		if data, isData := strings.CutPrefix(lines.Text(), "data: "); isData && !json.Valid([]byte(data)) {
			t.Fatalf("the data is %q, expected JSON", data)
		}
		if isEvent {
			names, seen[name] = append(names, name), true
		}
		if len(seen) == 5 && len(names) > 100 { // after more than serverTimeout
			stop() // the stream ends
		}
	}
	if len(names) <= 100 || names[0] != "settings" || names[1] != "history" || !seen["stock"] || !seen["traffic"] || !seen["state"] {
		t.Errorf("the %d events are %v, expected more than 100: settings, history, and then all others", len(names), names)
	}
	if status, _ := send(t, http.MethodGet, url+Path+"events", "", nil); status == http.StatusOK {
		t.Error("a stream began after the page had stopped")
	}
}

// A page that does not read is cut off, and delays neither the samples nor the other pages.
func TestSlowPageIsCutOff(t *testing.T) {
	t.Parallel()
	l, _ := newLive(&operator{}, noTraffic{})
	slow, _, _ := l.open()
	fast, _, _ := l.open()
	for range waitingEvents + 1 {
		l.mu.Lock()
		l.publish("stock", StockSample{})
		l.mu.Unlock()
		if _, open := <-fast; !open {
			t.Fatal("a page that reads was cut off")
		}
	}
	if l.streams[slow] {
		t.Fatal("a page that does not read was not cut off")
	}
	n := 0
	for range slow {
		n++
	}
	if n != waitingEvents {
		t.Errorf("the slow page got %d events, expected %d and then the end", n, waitingEvents)
	}
	l.close(slow) // as its handler does
	for range maxStreams - 1 {
		if _, _, ok := l.open(); !ok {
			t.Fatal("there is no room for a page")
		}
	}
	if _, _, ok := l.open(); ok {
		t.Errorf("more than %d pages are open", maxStreams)
	}
}
