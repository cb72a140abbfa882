package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"flashsale/pkg/checkout"
)

// requestTimeout limits a request. It is longer than any ledger call.
const requestTimeout = 9 * time.Second

// requestInfo collects what the log line and the metrics of a request show.
type requestInfo struct {
	id        string
	operation string // its id in the contract; empty if the route has no operation
	code      string // the code of the problem in the response
	err       error  // its cause

	shopper  checkout.Shopper // signed in, or anonymous
	badToken bool             // a token was sent, and refused
	address  string           // of the client

	hungUp bool // the client closed the connection before it had the response
}

// statusHungUp is the status in the log if a client hung up and nothing else went wrong. nginx has the same.
const statusHungUp = 499

// theClients reports whether a response of the given status is the client's doing: it hung up, so a call was cancelled,
// or nobody is left to whom being busy matters. A panic or a defect stays the server's.
func (info *requestInfo) theClients(status int) bool {
	return info.hungUp && status >= http.StatusInternalServerError &&
		(info.err == nil || errors.Is(info.err, context.Canceled) || checkout.CodeOf(info.err) == checkout.CodeBusy)
}

type infoKey struct{}

func infoOf(ctx context.Context) *requestInfo {
	if info, ok := ctx.Value(infoKey{}).(*requestInfo); ok {
		return info
	}
	return &requestInfo{} // a test of one operation, without the handler
}

// requestID is the form of an id that a gateway may give a request.
var requestID = regexp.MustCompile(`^[A-Za-z0-9._=-]{1,64}$`)

// withDefaults gives every request an id, a deadline, a line in the log and its metrics, and turns a panic into a problem. It never
// logs signatures, idempotency keys, tokens, the edge's secret or bodies.
func withDefaults(next http.Handler, log *slog.Logger, rec checkout.Recorder) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		info := &requestInfo{id: r.Header.Get("X-Request-Id")}
		if !requestID.MatchString(info.id) {
			info.id = uuid.NewString()
		}
		setDefaultHeaders(w, info.id)
		client := r.Context()
		ctx, cancel := context.WithTimeout(context.WithValue(client, infoKey{}, info), requestTimeout)
		defer cancel()
		r = r.WithContext(ctx)
		recorder := &statusRecorder{ResponseWriter: w}
		defer func() {
			if p := recover(); p != nil {
				err := fmt.Errorf("panic: %v\n%s", p, debug.Stack())
				if recorder.status == 0 {
					writeProblem(recorder, info, err)
				}
				info.err = err
			}
			info.hungUp = errors.Is(client.Err(), context.Canceled)
			took := time.Since(start)
			logRequest(log, r, info, recorder.status, took)
			recordRequest(rec, info, took)
		}()
		next.ServeHTTP(recorder, r)
	})
}

// Values of headers, which all requests share: Header.Set would allocate one for each.
var nosniff, noReferrer, noStore, jsonOnly = []string{"nosniff"}, []string{"no-referrer"}, []string{"no-store"}, []string{"application/json"}

// setDefaultHeaders sets the headers that every response has.
func setDefaultHeaders(w http.ResponseWriter, requestID string) {
	header := w.Header()
	header.Set("X-Request-Id", requestID)
	header["X-Content-Type-Options"] = nosniff
	header["Referrer-Policy"] = noReferrer
	header["Cache-Control"] = noStore // an operation that allows caching overrides it
}

func logRequest(log *slog.Logger, r *http.Request, info *requestInfo, status int, took time.Duration) {
	if info.theClients(status) {
		status, info.code = statusHungUp, "hung_up"
	}
	_, route, _ := strings.Cut(r.Pattern, " ")
	if route == "" {
		route = "none"
	}
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("route", route), slog.Int("status", status),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000), slog.String("request_id", info.id),
	}
	level := slog.LevelInfo
	if info.address != "" {
		attrs = append(attrs, slog.String("address", info.address))
	}
	if !info.shopper.Anonymous() {
		attrs = append(attrs, slog.String("shopper", info.shopper.String()))
	}
	if info.code != "" {
		attrs = append(attrs, slog.String("code", info.code))
	}
	// Clients cannot tell a block from a limit, but the operator can: only a blocked shopper has the limit 0.
	var refusal *checkout.Error
	if errors.As(info.err, &refusal) && refusal.Code == checkout.CodeShopperLimit && refusal.MaxPerShopper != nil && *refusal.MaxPerShopper == 0 {
		attrs = append(attrs, slog.Bool("blocked", true))
	}
	// Without a code the request succeeded, but something that an operator has to know went wrong.
	failed := status >= http.StatusInternalServerError || info.code == ""
	if info.err != nil && failed {
		level = slog.LevelError
	}
	// The operator sees why a token was refused. The line stays at the level INFO, because anyone can send a bad token.
	if info.err != nil && (failed || status == statusHungUp || info.badToken) {
		attrs = append(attrs, slog.String("error", info.err.Error()))
	}
	log.LogAttrs(r.Context(), level, "request", attrs...)
}

// nameOperation is the middleware that tells the metrics which operation a request is for.
func nameOperation(ctx huma.Context, next func(huma.Context)) {
	infoOf(ctx.Context()).operation = ctx.Operation().OperationID
	next(ctx)
}

// recordRequest counts a request of an operation. Pages, probes and unknown routes have none.
func recordRequest(rec checkout.Recorder, info *requestInfo, took time.Duration) {
	if info.operation == "" {
		return
	}
	rec.Record(checkout.Requests, 1, info.operation, cmp.Or(info.code, "ok"))
	rec.Record(checkout.RequestDuration, took.Seconds(), info.operation)
}

// statusRecorder remembers the status of a response.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (s *statusRecorder) WriteHeader(status int) {
	if s.status == 0 {
		s.status = status
	}
	s.ResponseWriter.WriteHeader(status)
}

func (s *statusRecorder) Write(b []byte) (int, error) {
	if s.status == 0 {
		s.status = http.StatusOK
	}
	return s.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// route serves the mux, and replaces the mux's own plain-text 404 and 405 by problems.
func route(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The mux would redirect /v1//products with an HTML page, which no client of the API expects.
		if clean := path.Clean(r.URL.Path); clean != r.URL.Path && strings.HasPrefix(clean, prefix+"/") {
			writeProblem(w, infoOf(r.Context()), errNoRoute)
			return
		}
		mux.ServeHTTP(&unroutedWriter{ResponseWriter: w, request: r}, r)
	})
}

var errNoRoute = &checkout.Error{Code: checkout.CodeNotFound, Detail: "This path does not exist."}

// unroutedWriter replaces a response that the mux itself writes. The mux sets the request's pattern before it calls a
// handler, so a response without a pattern is its own.
type unroutedWriter struct {
	http.ResponseWriter
	request  *http.Request
	replaced bool
}

func (u *unroutedWriter) WriteHeader(status int) {
	if u.request.Pattern != "" {
		u.ResponseWriter.WriteHeader(status)
		return
	}
	u.replaced = true
	err := errNoRoute
	if status == http.StatusMethodNotAllowed {
		err = &checkout.Error{Code: codeMethodNotAllowed, Detail: "This path allows " + u.Header().Get("Allow") + "."}
	}
	u.Header().Del("Location") // set by the mux's redirect of a path such as /v1/products/..
	writeProblem(u.ResponseWriter, infoOf(u.request.Context()), err)
}

func (u *unroutedWriter) Write(b []byte) (int, error) {
	if u.replaced {
		return len(b), nil
	}
	return u.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (u *unroutedWriter) Unwrap() http.ResponseWriter { return u.ResponseWriter }
