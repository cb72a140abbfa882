package lambdaserver

import (
	"maps"
	"net/http"
	"sync"

	"github.com/aws/aws-lambda-go/events"
	"github.com/awslabs/aws-lambda-go-api-proxy/core"
)

// responseWriter keeps net/http's promises, which the adapter's does not: the first status counts, what is written
// without one has 200, so has an answer of nothing, headers are those of the moment when the status was written, and
// where HTTP allows no body there is none.
type responseWriter struct {
	header http.Header

	mu      sync.Mutex // the handler may still be writing when it is too late
	adapter *core.ProxyResponseWriterV2
	status  int
	done    bool
}

func newResponseWriter() *responseWriter {
	return &responseWriter{header: http.Header{}, adapter: core.NewProxyResponseWriterV2()}
}

// Header implements http.ResponseWriter.
func (w *responseWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *responseWriter) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeHeader(status)
}

func (w *responseWriter) writeHeader(status int) {
	if w.done || w.status != 0 || status < http.StatusOK { // 1xx announce an answer, they are none
		return
	}
	w.status = status
	maps.Copy(w.adapter.Header(), w.header.Clone())
	w.adapter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *responseWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return 0, http.ErrHandlerTimeout
	}
	w.writeHeader(http.StatusOK)
	if w.status == http.StatusNoContent || w.status == http.StatusNotModified {
		return 0, http.ErrBodyNotAllowed
	}
	return w.adapter.Write(b)
}

// response is the answer; what the handler writes from here on is lost.
func (w *responseWriter) response() events.APIGatewayV2HTTPResponse {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeHeader(http.StatusOK)
	w.done = true
	response, _ := w.adapter.GetProxyResponse() // it fails only without a status
	return response
}
