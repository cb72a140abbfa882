package api

import (
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

	"github.com/google/uuid"

	"flashsale/pkg/checkout"
)

// requestTimeout ends a request that cannot be finished. It is above what one ledger call may take.
const requestTimeout = 9 * time.Second

// requestInfo is what is known of a request when its line is logged.
type requestInfo struct {
	id   string
	code string // of the problem that it was answered with
	err  error  // its cause
}

type infoKey struct{}

func infoOf(ctx context.Context) *requestInfo {
	if info, ok := ctx.Value(infoKey{}).(*requestInfo); ok {
		return info
	}
	return &requestInfo{} // outside of Handler, in a test of one operation
}

// requestID is the form of an id that a gateway in front may give a request.
var requestID = regexp.MustCompile(`^[A-Za-z0-9._=-]{1,64}$`)

// surround gives a request its id, its deadline and its line in the log, and turns a panic into a problem. Signatures,
// idempotency keys and bodies are never logged.
func surround(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		info := &requestInfo{id: r.Header.Get("X-Request-Id")}
		if !requestID.MatchString(info.id) {
			info.id = uuid.NewString()
		}
		label(w, info.id)
		ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), infoKey{}, info), requestTimeout)
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
			logRequest(log, r, info, recorder.status, time.Since(start))
		}()
		next.ServeHTTP(recorder, r)
	})
}

// label sets what every answer has.
func label(w http.ResponseWriter, requestID string) {
	w.Header().Set("X-Request-Id", requestID)
	w.Header().Set("Cache-Control", "no-store") // an operation that may be cached says so
}

func logRequest(log *slog.Logger, r *http.Request, info *requestInfo, status int, took time.Duration) {
	_, route, _ := strings.Cut(r.Pattern, " ")
	if route == "" {
		route = "none"
	}
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("route", route), slog.Int("status", status),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000), slog.String("request_id", info.id),
	}
	level := slog.LevelInfo
	if info.code != "" {
		attrs = append(attrs, slog.String("code", info.code))
	}
	if status >= http.StatusInternalServerError && info.err != nil {
		level = slog.LevelError
		attrs = append(attrs, slog.String("error", info.err.Error()))
	}
	log.LogAttrs(r.Context(), level, "request", attrs...)
}

// statusRecorder remembers the status of an answer.
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

// route serves the mux, and answers what it has no route for with a problem instead of its plain text.
func route(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, pattern := mux.Handler(r)
		// The mux would redirect /v1//products with a page of HTML. No client of ours means that.
		unclean := strings.HasPrefix(path.Clean(r.URL.Path), prefix+"/") && path.Clean(r.URL.Path) != r.URL.Path
		if pattern != "" && !unclean {
			mux.ServeHTTP(w, r)
			return
		}
		probe := &headerProbe{header: http.Header{}}
		if !unclean {
			handler.ServeHTTP(probe, r)
		}
		err := &checkout.Error{Code: checkout.CodeNotFound, Detail: "There is no such route."}
		if probe.status == http.StatusMethodNotAllowed {
			allowed := probe.header.Get("Allow")
			w.Header().Set("Allow", allowed)
			err = &checkout.Error{Code: codeMethodNotAllowed, Detail: "This route takes " + allowed + "."}
		}
		writeProblem(w, infoOf(r.Context()), err)
	})
}

// headerProbe takes the mux's own answer to learn its status and headers.
type headerProbe struct {
	header http.Header
	status int
}

func (p *headerProbe) Header() http.Header         { return p.header }
func (p *headerProbe) WriteHeader(status int)      { p.status = status }
func (p *headerProbe) Write(b []byte) (int, error) { return len(b), nil }

// errInvalidUTF8 is why a body that encoding/json would silently mend is refused.
var errInvalidUTF8 = errors.New("the body is not valid UTF-8")
