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

// How long before the function's deadline a request is over. The handler's context ends first, so that the handler
// itself can say that it is too late; a handler that does not is left behind soon after.
const (
	handlerReserve  = 500 * time.Millisecond
	functionReserve = 250 * time.Millisecond
)

// HTTP serves API Gateway's HTTP API events (payload version 2.0) with a net/http handler.
type HTTP struct {
	Handler http.Handler
	// Problem answers in place of a handler that cannot: err is what became of it.
	Problem func(w http.ResponseWriter, requestID string, err error)
	Metrics *Metrics
	Logger  *slog.Logger

	gateway core.RequestAccessorV2
}

// Start serves until Lambda ends the process.
func (h *HTTP) Start() { lambda.Start(h.Invoke) }

// Invoke answers one event. A panic and a handler that is too late are answered, too; it never returns an error. (What is
// no event of an HTTP API at all does not get here: aws-lambda-go tells the caller, who had IAM's permission to try.)
func (h *HTTP) Invoke(ctx context.Context, event events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	defer h.Metrics.Flush()
	late, cancel := endBefore(ctx, functionReserve)
	defer cancel()
	ctx, cancel = endBefore(ctx, handlerReserve)
	defer cancel()

	id := requestID(ctx, event)
	request, err := h.request(ctx, event)
	if err != nil {
		return h.answerInstead(ctx, id, checkout.Malformed("The request cannot be read."), err), nil
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
		return h.answerInstead(ctx, id, err, err), nil
	}
	return w.response(), nil
}

// endBefore returns a context that ends so long before the deadline of ctx, if that has one.
func endBefore(ctx context.Context, reserve time.Duration) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, deadline.Add(-reserve))
	}
	return context.WithCancel(ctx)
}

// answerInstead makes the answer of a request that the handler did not answer, and logs why.
func (h *HTTP) answerInstead(ctx context.Context, id string, answer, cause error) events.APIGatewayV2HTTPResponse {
	h.Logger.ErrorContext(ctx, "request not answered by its handler", "request_id", id, "error", cause.Error())
	w := newResponseWriter()
	h.Problem(w, id, answer)
	return w.response()
}

// requestID is API Gateway's, which its access log has, too; never the client's.
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

// request makes the request of an event. The adapter's is mended where it differs from what net/http's own server makes
// of the same request: see the tests, which have an event for each difference.
func (h *HTTP) request(ctx context.Context, event events.APIGatewayV2HTTPRequest) (*http.Request, error) {
	if !method.MatchString(event.RequestContext.HTTP.Method) { // the adapter would print it
		return nil, errors.New("reading the event: its method is none")
	}
	path := event.RawPath
	if path == "" {
		path = event.RequestContext.HTTP.Path
	}
	// A stage other than $default stands in front of the path.
	if stage := event.RequestContext.Stage; stage != "" && stage != "$default" {
		if rest, ok := strings.CutPrefix(path, "/"+stage); ok && (rest == "" || rest[0] == '/') {
			path = rest
		}
	}
	// The gateway has undone the path's percent-encoding, the adapter reads it as if it had not.
	event.RawPath = (&url.URL{Path: "/" + strings.TrimLeft(path, "/")}).EscapedPath()
	query := event.RawQueryString
	if query == "" { // an event written by hand
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
	request.RemoteAddr = net.JoinHostPort(event.RequestContext.HTTP.SourceIP, "0") // nobody tells the port
	// The adapter splits most values at their commas: signatures, dates and ETags have some.
	for name, value := range event.Headers {
		request.Header[textproto.CanonicalMIMEHeaderKey(name)] = []string{value}
	}
	if host := request.Header.Get("Host"); host != "" {
		request.Host = host
		request.Header.Del("Host") // as net/http does
	}
	return request, nil
}
