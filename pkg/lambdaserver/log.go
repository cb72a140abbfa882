package lambdaserver

import (
	"context"
	"io"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// NewLogger logs JSON, and to each line that belongs to an invocation adds its ids: lambda_request_id, which Lambda's
// own lines have as requestId, and trace_id, which X-Ray has. The request_id of an HTTP request, which is API Gateway's,
// is in the line of the request.
func NewLogger(out io.Writer, level slog.Level) *slog.Logger {
	return slog.New(invocationHandler{slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level})})
}

type invocationHandler struct{ slog.Handler }

func (h invocationHandler) Handle(ctx context.Context, r slog.Record) error {
	if invocation, ok := lambdacontext.FromContext(ctx); ok {
		r.AddAttrs(slog.String("lambda_request_id", invocation.AwsRequestID))
	}
	if trace, ok := ctx.Value(traceKey).(string); ok && trace != "" {
		r.AddAttrs(slog.String("trace_id", trace))
	}
	return h.Handler.Handle(ctx, r)
}

func (h invocationHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return invocationHandler{h.Handler.WithAttrs(attrs)}
}

func (h invocationHandler) WithGroup(name string) slog.Handler {
	return invocationHandler{h.Handler.WithGroup(name)}
}

// traceKey is under which aws-lambda-go keeps the header Lambda-Runtime-Trace-Id in the context.
const traceKey = "x-amzn-trace-id"
