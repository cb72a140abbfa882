package lambdaserver

import (
	"maps"
	"net/http"
	"sync"

	"github.com/aws/aws-lambda-go/events"
	"github.com/awslabs/aws-lambda-go-api-proxy/core"
)

// responseWriter behaves as net/http's does, which the adapter's does not: the first status counts, the default status is
// 200, headers are fixed when the status is written, and a status without a body gets none.
type responseWriter struct {
	header http.Header

	mu      sync.Mutex // an abandoned handler may still write
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
	if w.done || w.status != 0 || status < http.StatusOK { // 1xx statuses precede the response
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

// response returns the response. Later writes of the handler are dropped.
func (w *responseWriter) response() events.APIGatewayV2HTTPResponse {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeHeader(http.StatusOK)
	w.done = true
	response, _ := w.adapter.GetProxyResponse() // fails only without a status
	return response
}
