package lambdaserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/awslabs/aws-lambda-go-api-proxy/core"

	"flashsale/pkg/checkout"
)

// The time that remains before the function's deadline when a request ends. The handler's context ends first, so that
// the handler can respond itself. A handler that does not is abandoned soon after.
const (
	handlerReserve  = 500 * time.Millisecond
	functionReserve = 250 * time.Millisecond
)

// HTTP serves API Gateway's HTTP API events (payload version 2.0) with a net/http handler.
type HTTP struct {
	Handler http.Handler
	// Problem writes the response when the handler failed with err.
	Problem func(w http.ResponseWriter, requestID string, err error)
	Metrics *Metrics
	Logger  *slog.Logger

	gateway core.RequestAccessorV2
}

// Start serves until Lambda ends the process.
func (h *HTTP) Start() { lambda.Start(h.Invoke) }

// Invoke responds to one event, also after a panic or a timeout of the handler. It never returns an error. aws-lambda-go
// itself rejects a payload that is no event of an HTTP API.
func (h *HTTP) Invoke(ctx context.Context, event events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	defer h.Metrics.Flush()
	late, cancel := endBefore(ctx, functionReserve)
	defer cancel()
	ctx, cancel = endBefore(ctx, handlerReserve)
	defer cancel()

	id := requestID(ctx, event)
	request, err := h.request(ctx, event)
	if err != nil {
		h.Logger.InfoContext(ctx, "the event is no request", "request_id", id, "error", err.Error())
		return h.problem(id, checkout.Malformed("The request cannot be parsed.")), nil
	}
	request.Header.Set("X-Request-Id", id)

	w := newResponseWriter()
	returned := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				returned <- fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		h.Handler.ServeHTTP(w, request)
		returned <- nil
	}()
	select {
	case err = <-returned:
	case <-late.Done():
		err = checkout.Busy(context.DeadlineExceeded)
	}
	if err != nil {
		h.Logger.ErrorContext(ctx, "the handler did not respond", "request_id", id, "error", err.Error())
		return h.problem(id, err), nil
	}
	return w.response(), nil
}

// endBefore returns a context that ends before the deadline of ctx, if it has one, by the given reserve.
func endBefore(ctx context.Context, reserve time.Duration) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, deadline.Add(-reserve))
	}
	return context.WithCancel(ctx)
}

// problem responds with err in place of the handler.
func (h *HTTP) problem(id string, err error) events.APIGatewayV2HTTPResponse {
	w := newResponseWriter()
	h.Problem(w, id, err)
	return w.response()
}

// requestID returns API Gateway's request id, which its access log shows, too. It never uses the client's.
func requestID(ctx context.Context, event events.APIGatewayV2HTTPRequest) string {
	if event.RequestContext.RequestID != "" {
		return event.RequestContext.RequestID
	}
	if invocation, ok := lambdacontext.FromContext(ctx); ok {
		return invocation.AwsRequestID
	}
	return ""
}

var method = regexp.MustCompile(`^[A-Za-z]+$`)

// request converts an event into a request. It corrects the adapter where its request differs from that of net/http's
// server; the tests have an event for each difference.
func (h *HTTP) request(ctx context.Context, event events.APIGatewayV2HTTPRequest) (*http.Request, error) {
	if !method.MatchString(event.RequestContext.HTTP.Method) { // the adapter would print it
		return nil, errors.New("reading the event: it has no valid method")
	}
	path := event.RawPath
	if path == "" {
		path = event.RequestContext.HTTP.Path
	}
	// The path starts with the stage, unless that is $default.
	if stage := event.RequestContext.Stage; stage != "" && stage != "$default" {
		if rest, ok := strings.CutPrefix(path, "/"+stage); ok && (rest == "" || rest[0] == '/') {
			path = rest
		}
	}
	// The gateway decoded the path's percent-encoding, but the adapter decodes it again.
	event.RawPath = (&url.URL{Path: "/" + strings.TrimLeft(path, "/")}).EscapedPath()
	query := event.RawQueryString
	if query == "" { // a handwritten event
		parameters := url.Values{}
		for name, value := range event.QueryStringParameters {
			parameters.Set(name, value)
		}
		query = parameters.Encode()
	}
	event.RawQueryString, event.QueryStringParameters = "", nil
	request, err := h.gateway.EventToRequestWithContext(ctx, event)
	if err != nil {
		return nil, fmt.Errorf("reading the event: %w", err)
	}
	request.URL.RawQuery = query
	request.RequestURI = request.URL.RequestURI()
	request.RemoteAddr = net.JoinHostPort(event.RequestContext.HTTP.SourceIP, "0") // the event has no port
	// The adapter splits most headers at commas, which breaks signatures, dates and ETags.
	for name, value := range event.Headers {
		request.Header[textproto.CanonicalMIMEHeaderKey(name)] = []string{value}
	}
	if host := request.Header.Get("Host"); host != "" {
		request.Host = host
		request.Header.Del("Host") // as net/http does
	}
	return request, nil
}
