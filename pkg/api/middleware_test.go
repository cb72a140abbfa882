package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"flashsale/pkg/checkout"
)

// line is the log line of the last request.
func (e *edge) line(t *testing.T) map[string]any {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(e.log.String()), "\n")
	var line map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &line); err != nil {
		t.Fatalf("the log line %q is not JSON: %v", lines[len(lines)-1], err)
	}
	return line
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	e := newEdge(newFake())
	for given, kept := range map[string]bool{
		"Root=1-5759e988-bd862e3fe1be46a994272793": true, "a": true, strings.Repeat("a", 64): true,
		"": false, strings.Repeat("a", 65): false, "a b": false, "a\"b": false, "ä": false,
	} {
		w := e.send(t, http.MethodGet, "/v1/products/demo", "", http.Header{"X-Request-Id": {given}})
		got := w.Header().Get("X-Request-Id")
		if (got == given) != kept || got == "" {
			t.Errorf("X-Request-Id %q: got %q, expected it to be kept: %v", given, got, kept)
		}
		if e.line(t)["request_id"] != got {
			t.Errorf("the log has %v, expected %q", e.line(t)["request_id"], got)
		}
	}
}

func TestLogLineOfRequest(t *testing.T) {
	t.Parallel()
	e := newEdge(newFake())
	e.send(t, http.MethodPost, "/v1/holds", holdBody, http.Header{"Idempotency-Key": {goodKey}})
	line := e.line(t)
	if line["msg"] != "request" || line["level"] != "INFO" || line["method"] != "POST" || line["route"] != "/v1/holds" || line["status"] != 201.0 || line["duration_ms"] == nil {
		t.Errorf("the log line is %v, expected POST /v1/holds 201 with its duration", line)
	}
	if strings.Contains(e.log.String(), goodKey) || strings.Contains(e.log.String(), "demo") {
		t.Errorf("the log shows the key or the body: %s", e.log)
	}
	e.send(t, http.MethodGet, "/v1/nothing", "", nil)
	if line := e.line(t); line["route"] != "none" || line["code"] != "not_found" || line["level"] != "INFO" {
		t.Errorf("the log line is %v, expected the route none and the code not_found", line)
	}
}

// The cause of an internal error is in the log, under the id that the response has.
func TestInternalErrorIsOnlyLogged(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.err = errors.New("SELECT at 127.0.0.1: hunter2")
	e := newEdge(f)
	p := wantProblem(t, e.send(t, http.MethodGet, "/v1/orders/"+id.OrderID(), "", nil), 500, "internal")
	if line := e.line(t); line["level"] != "ERROR" || !strings.Contains(line["error"].(string), "hunter2") || line["request_id"] != p.RequestID {
		t.Errorf("the log line is %v, expected an ERROR with the cause and the request id %s", line, p.RequestID)
	}
}

// Every response has the headers that keep a browser from guessing its type, and from telling others the address of a
// hold or an order. Only a product may be stored.
func TestHeadersOfEveryResponse(t *testing.T) {
	t.Parallel()
	for _, request := range [][3]string{
		{http.MethodPost, "/v1/holds", holdBody},
		{http.MethodGet, "/v1/holds/" + id.HoldID(), ""},
		{http.MethodDelete, "/v1/holds/" + id.HoldID(), ""},
		{http.MethodPost, "/v1/orders", orderBody},
		{http.MethodGet, "/v1/orders/" + id.OrderID(), ""},
		{http.MethodPost, "/v1/orders/" + id.OrderID() + "/cancel", ""},
		{http.MethodGet, "/v1/products", ""},
		{http.MethodGet, "/v1/products/demo", ""},
		{http.MethodHead, "/v1/products/demo", ""},
		{http.MethodPost, standardPath, "{}"},
		{http.MethodGet, "/nothing", ""},
		{http.MethodPut, "/v1/holds", "{}"},
		{http.MethodPost, "/v1/holds", "{"},
	} {
		w := newEdge(newFake()).send(t, request[0], request[1], request[2], nil)
		wantHeader(t, w, "X-Content-Type-Options", "nosniff")
		wantHeader(t, w, "Referrer-Policy", "no-referrer")
		want := "no-store"
		if request[1] == "/v1/products/demo" {
			want = "public, max-age=1"
		}
		wantHeader(t, w, "Cache-Control", want)
	}
}

func TestPanicIsInternal(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.before = func(context.Context) { panic("SELECT hunter2") }
	e := newEdge(f)
	p := wantProblem(t, e.send(t, http.MethodPost, "/v1/holds", holdBody, nil), 500, "internal")
	line := e.line(t)
	if text, _ := line["error"].(string); line["level"] != "ERROR" || !strings.Contains(text, "panic: SELECT hunter2") || !strings.Contains(text, "fake_test.go") {
		t.Errorf("the log line is %v, expected the panic and its stack", line)
	}
	if line["request_id"] != p.RequestID || line["status"] != 500.0 {
		t.Errorf("the log line is %v, expected 500 with the request id %s", line, p.RequestID)
	}
}

// A request that reaches the ledger has a deadline.
func TestRequestHasDeadline(t *testing.T) {
	t.Parallel()
	f := newFake()
	var left time.Duration
	f.before = func(ctx context.Context) {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
	}
	newEdge(f).send(t, http.MethodGet, "/v1/orders/"+id.OrderID(), "", nil)
	if left <= 0 || left > 10*time.Second {
		t.Errorf("the ledger has %s left, expected at most 10 s", left)
	}
}

// A client that hangs up while the ledger works, whatever the call makes of that, is a line at INFO with the status 499.
// A defect stays an ERROR, and so does a call that takes too long for the server's own deadline.
func TestHangingUpIsNoServerError(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		cause  error // of the end of the request's context
		status float64
		level  string
	}{
		"a cancelled call":                 {checkout.Busy(context.Canceled), context.Canceled, 499, "INFO"},
		"a cancelled call, not wrapped":    {fmt.Errorf("reading: %w", context.Canceled), context.Canceled, 499, "INFO"},
		"a busy ledger that nobody awaits": {checkout.Busy(errors.New("lock wait timeout")), context.Canceled, 499, "INFO"},
		"a refusal that nobody awaits":     {checkout.ErrOrderNotFound, context.Canceled, 404, "INFO"},
		"a success that nobody awaits":     {nil, context.Canceled, 200, "INFO"},
		"a defect":                         {errors.New("hunter2"), context.Canceled, 500, "ERROR"},
		"the server's deadline":            {checkout.Busy(context.DeadlineExceeded), context.DeadlineExceeded, 503, "ERROR"},
		"a busy ledger":                    {checkout.Busy(errors.New("lock wait timeout")), nil, 503, "ERROR"},
	} {
		f := newFake()
		f.err = c.err
		e := newEdge(f)
		ctx, hangUp := context.WithCancel(t.Context())
		if errors.Is(c.cause, context.DeadlineExceeded) {
			ctx, hangUp = context.WithDeadline(t.Context(), time.Now())
		}
		f.before = func(context.Context) {
			if c.cause != nil {
				hangUp()
			}
		}
		w := httptest.NewRecorder()
		e.handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/orders/"+id.OrderID(), nil))
		if line := e.line(t); line["status"] != c.status || line["level"] != c.level || (c.status >= 499) != (line["error"] != nil) {
			t.Errorf("%s: the log line is %v, expected %s with the status %v", name, line, c.level, c.status)
		}
		hangUp()
	}
}

// net/http cannot tell a read deadline from a client that hangs up. So a request whose body has arrived has none.
func TestNoReadDeadlineAfterTheBody(t *testing.T) {
	t.Parallel()
	for _, request := range [][3]string{
		{http.MethodPost, "/v1/holds", holdBody}, {http.MethodPost, standardPath, "{}"},
	} {
		f := newFake()
		e := newEdge(f)
		w := &deadlineRecorder{ResponseRecorder: httptest.NewRecorder(), left: -1}
		during := time.Duration(-1)
		f.before = func(context.Context) { during = w.left }
		e.handler.ServeHTTP(w, func() *http.Request {
			r := httptest.NewRequestWithContext(t.Context(), request[0], request[1], strings.NewReader(request[2]))
			r.Header.Set("Content-Type", "application/json")
			return r
		}())
		if during != 0 {
			t.Errorf("%s %s: the ledger is called with a read deadline in %s, expected that it was removed", request[0], request[1], during)
		}
		if w.longest <= 0 || w.longest > 10*time.Second {
			t.Errorf("%s %s: the body may take %s, expected at most 10 s", request[0], request[1], w.longest)
		}
	}
}

// deadlineRecorder is a connection's ResponseWriter.
type deadlineRecorder struct {
	*httptest.ResponseRecorder
	left, longest time.Duration // until the read deadline; 0: none
}

func (d *deadlineRecorder) SetReadDeadline(at time.Time) error {
	d.left = 0
	if !at.IsZero() {
		d.left = time.Until(at)
	}
	d.longest = max(d.longest, d.left)
	return nil
}
