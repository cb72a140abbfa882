package localserver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"flashsale/pkg/api"
	"flashsale/pkg/checkout"
)

// slowLedger is a ledger and a stock view whose calls wait until the caller gives up, as a fill of the cache does, or
// until the test releases them.
type slowLedger struct {
	checkout.Ledger
	called  chan string
	release chan struct{}
}

func (l *slowLedger) await(ctx context.Context, call string) error {
	l.called <- call
	select {
	case <-ctx.Done():
		return checkout.Busy(ctx.Err())
	case <-l.release:
		return nil
	}
}

func (l *slowLedger) Lookup(ctx context.Context, _ string, _ *checkout.IdempotencyKey) (checkout.Lookup, error) {
	return checkout.Lookup{Product: checkout.Product{ID: "demo"}}, l.await(ctx, "lookup")
}

// Ping is a method of both, which only /healthz calls.
func (*slowLedger) ForgetKeys(context.Context, string) {}

func (*slowLedger) AskAgain(context.Context, string) bool { return false }

func (*slowLedger) Ping(context.Context) error { panic("nothing is pinged") }

func (*slowLedger) Put(context.Context, checkout.Product, *checkout.IdempotencyKey) {}

// PlaceHold fails after the caller has given up, as a call that no cancellation ends.
func (l *slowLedger) PlaceHold(ctx context.Context, _ checkout.HoldRequest) (checkout.Receipt, error) {
	_ = l.await(ctx, "place")
	return checkout.Receipt{}, checkout.Busy(errors.New("lock wait timeout"))
}

func (l *slowLedger) Order(ctx context.Context, _ checkout.Caller, _ checkout.ID) (checkout.Order, error) {
	return checkout.Order{}, l.await(ctx, "order")
}

// Products returns a page that no socket's buffer takes as a whole.
func (l *slowLedger) Products(ctx context.Context, _ string, limit int) ([]checkout.Product, error) {
	return slices.Repeat([]checkout.Product{{ID: "demo", Name: strings.Repeat("x", 200_000)}}, limit), l.await(ctx, "products")
}

// logLines is a log that a test waits for.
type logLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// requests returns the lines of requests, as "LEVEL status code".
func (l *logLines) requests(t *testing.T) (lines []string) {
	t.Helper()
	for text := range strings.Lines(l.String()) {
		var line struct {
			Level, Msg, Code string
			Status           int
		}
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		if line.Msg == "request" {
			lines = append(lines, fmt.Sprintf("%s %d %s", line.Level, line.Status, line.Code))
		}
	}
	return lines
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("this did not happen within a minute: %s", what)
		}
	}
}

// testServer is serve with the real API on a slow ledger.
type testServer struct {
	*slowLedger
	addr string
	log  logLines
	stop context.CancelFunc
	*connections
}

func startServer(t *testing.T, limit int) *testServer {
	t.Helper()
	s := &testServer{slowLedger: &slowLedger{called: make(chan string, 100), release: make(chan struct{})}}
	logger := slog.New(slog.NewJSONHandler(&s.log, nil)) // at the level info
	handler := api.New(api.Options{Logger: logger, Service: &checkout.Service{
		Ledger: s.slowLedger, View: s.slowLedger, Recorder: checkout.NoRecorder{}, NewID: func() (checkout.ID, error) { return checkout.ID{}, nil },
	}})
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr, s.connections = listener.Addr().String(), limitConnections(listener, func() int { return limit }, logger)
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	served := make(chan error, 1)
	go func() { served <- serve(ctx, handler, s.connections, logger) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("the server ended with %v, expected no error", err)
		}
	})
	return s
}

// dial opens a connection and sends text.
func (s *testServer) dial(t *testing.T, text string) *net.TCPConn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// status reads the status of a response, or 0 if the server closes the connection without one.
func status(conn net.Conn) int {
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }

func post(path, header, body string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + header + "\r\n\r\n" + body
}

// A client that hangs up while the database works is no failure of the server.
func TestClientHangsUpDuringACall(t *testing.T) {
	t.Parallel()
	order := checkout.ID{}.OrderID()
	hold := `{"product_id":"demo","qty":1}`
	for request, calls := range map[string]int{
		get("/v1/products/demo"):   1, // a miss of the cache
		get("/v1/orders/" + order): 1,
		post("/v1/holds", fmt.Sprintf("Content-Length: %d", len(hold)), hold): 2, // the gate, then the ledger
	} {
		for name, hangUp := range map[string]func(*net.TCPConn){
			"closes": func(c *net.TCPConn) { _ = c.Close() },
			"resets": func(c *net.TCPConn) { _ = errors.Join(c.SetLinger(0), c.Close()) },
		} {
			s := startServer(t, 100)
			conn := s.dial(t, request)
			<-s.called
			hangUp(conn)
			for range calls - 1 {
				<-s.called
			}
			eventually(t, "the request is logged", func() bool { return len(s.log.requests(t)) == 1 })
			if got := s.log.requests(t)[0]; got != "INFO 499 hung_up" {
				t.Errorf("%.30q, the client %s: got %q, expected INFO 499 hung_up", request, name, got)
			}
		}
	}
}

// A client that hangs up while it reads a long response is no failure either.
func TestClientHangsUpDuringTheResponse(t *testing.T) {
	t.Parallel()
	s := startServer(t, 100)
	close(s.release)
	conn := s.dial(t, get("/v1/products?limit=100"))
	if _, err := io.ReadFull(conn, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	_ = errors.Join(conn.SetLinger(0), conn.Close())
	eventually(t, "the request is logged", func() bool { return len(s.log.requests(t)) == 1 })
	if log := s.log.String(); strings.Contains(log, "ERROR") || strings.Contains(log, "panic") {
		t.Errorf("the log is %.2000s, expected no ERROR", log)
	}
}

// Requests that break off, or that are no HTTP, are refused or dropped. None of them is an ERROR or a status of 500.
func TestBrokenRequests(t *testing.T) {
	t.Parallel()
	const chunked = "Transfer-Encoding: chunked"
	for name, c := range map[string]struct {
		request string
		status  int    // of the response
		logged  string // nothing: the request did not begin
	}{
		"a chunk without a size":     {post("/v1/holds", chunked, "zz\r\n{}\r\n0\r\n\r\n"), 400, "INFO 400 malformed_request"},
		"a chunk that is too short":  {post("/v1/holds", chunked, "ff\r\n{}"), 400, "INFO 400 malformed_request"},
		"a chunk that is too long":   {post("/v1/holds", chunked, "1\r\n{}\r\n0\r\n\r\n"), 400, "INFO 400 malformed_request"},
		"a chunk of 16 EiB":          {post("/v1/holds", chunked, "ffffffffffffffffff\r\n{}"), 400, "INFO 400 malformed_request"},
		"no last chunk":              {post("/v1/orders", chunked, "2\r\n{}\r\n"), 400, "INFO 400 malformed_request"},
		"a trailer that breaks off":  {post("/v1/orders", chunked, "2\r\n{}\r\n0\r\nX: y"), 400, "INFO 400 malformed_request"},
		"a body that breaks off":     {post("/v1/holds", "Content-Length: 100", `{"product_id":`), 400, "INFO 400 malformed_request"},
		"no body at all":             {post("/v1/holds", "Content-Length: 100", ""), 400, "INFO 400 malformed_request"},
		"broken chunks of a cancel":  {post("/v1/orders/x/cancel", chunked, "zz\r\n"), 400, "INFO 400 malformed_request"},
		"broken chunks of a GET":     {strings.Replace(post("/v1/products", chunked, "zz\r\n"), "POST", "GET", 1), 400, "INFO 400 malformed_request"},
		"broken chunks of a webhook": {post("/v1/payments/webhook", chunked, "zz\r\n"), 400, "INFO 400 malformed_request"},
		"broken chunks to nowhere":   {post("/nothing", chunked, "zz\r\n"), 404, "INFO 404 not_found"},
		"headers that break off":     {"GET /v1/products HTTP/1.1\r\nHost: x\r\nX-", 400, ""},
		"headers without an end":     {"GET /v1/products HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-Y: z\r\n", 4000), 431, ""},
		"a header without an end":    {"GET /v1/products HTTP/1.1\r\nHost: x\r\nX-Y: " + strings.Repeat("z", 40_000), 431, ""},
		"two lengths":                {post("/v1/holds", "Content-Length: 1\r\nContent-Length: 2", "{}"), 400, ""},
		"an unknown encoding":        {post("/v1/holds", "Transfer-Encoding: gzip", "{}"), 501, ""},
		"no host":                    {"GET /v1/products HTTP/1.1\r\n\r\n", 400, ""},
		"a client of TLS":            {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, ""},
		"nothing":                    {"", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, 100)
			conn := s.dial(t, c.request)
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got := status(conn); got != c.status {
				t.Errorf("got the status %d, expected %d", got, c.status)
			}
			conn = s.dial(t, get("/v1/nothing")) // after it, the log is complete
			if got := status(conn); got != http.StatusNotFound {
				t.Errorf("the next request: got %d, expected 404", got)
			}
			want := []string{"INFO 404 not_found"}
			if c.logged != "" {
				want = append([]string{c.logged}, want...)
			}
			eventually(t, "both requests are logged", func() bool { return len(s.log.requests(t)) == len(want) })
			got := s.log.requests(t)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) || strings.Contains(s.log.String(), "ERROR") || strings.Contains(s.log.String(), "WARN") {
				t.Errorf("got the log %s, expected only %q", s.log.String(), want)
			}
		})
	}
}

// The client may be gone before the server can refuse its body.
func TestClientHangsUpDuringTheBody(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{
		"chunks":   post("/v1/holds", "Transfer-Encoding: chunked\r\nExpect: 100-continue", ""),
		"a length": post("/v1/payments/webhook", "Content-Length: 100\r\nExpect: 100-continue", ""),
	} {
		s := startServer(t, 100)
		conn := s.dial(t, request)
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
			t.Fatalf("%s: got %q and %v, expected 100 Continue", name, line, err)
		}
		if _, err := io.WriteString(conn, "5\r\n{"); err != nil {
			t.Fatal(err)
		}
		_ = errors.Join(conn.SetLinger(0), conn.Close())
		eventually(t, "the request is logged", func() bool { return len(s.log.requests(t)) == 1 })
		if got := s.log.requests(t)[0]; got != "INFO 400 malformed_request" {
			t.Errorf("%s: got %q, expected INFO 400 malformed_request", name, got)
		}
	}
}
