package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"flashsale/pkg/api"
	"flashsale/pkg/app"
	"flashsale/pkg/lambdaserver"
	"flashsale/pkg/ledger"
)

// allocations measures what a request allocates in a function. Nothing else goes on in this process meanwhile.
func (r *Run) allocations(ctx context.Context, out *Result, s *schema) (err error) {
	metrics, log := lambdaserver.NewMetrics("bench", io.Discard), lambdaserver.NewLogger(io.Discard, slog.LevelInfo)
	l, err := ledger.Open(s.appDSN, metrics)
	if err != nil {
		return err
	}
	a := app.New(app.Config{HoldTTL: holdTTL, PaymentWindow: 15 * time.Minute}, app.Deps{Ledger: l, CacheAddr: r.CacheAddr, Recorder: metrics, Logger: log})
	defer func() { err = errors.Join(err, a.Close()) }()
	onSale, gone := productID(), productID()
	if err := errors.Join(s.product(ctx, onSale, fullStock), s.product(ctx, gone, 1), s.holdTheLast(ctx, gone)); err != nil {
		return err
	}
	table := Table{Title: "A request", Labels: []string{"request"}, Columns: []Column{{"allocations", Count}, {"allocated", KiB}}}
	for _, c := range []struct {
		name, function, product string
		resource                api.Resource
		want                    int
	}{
		{"hold placed", "holds", onSale, api.Holds, http.StatusCreated},
		{"hold refused, sold out", "holds", gone, api.Holds, http.StatusConflict},
		{"product read", "products", onSale, api.Products, http.StatusOK},
	} {
		server := &lambdaserver.HTTP{Handler: a.Handler(nil, c.resource), Problem: api.WriteProblem, Metrics: metrics, Logger: log}
		event, _, err := eventFor(ctx, c.function, c.product)
		if err != nil {
			return err
		}
		for range r.Rounds {
			count, size, err := allocated(ctx, server, event, c.want, r.size(1000, 20))
			if err != nil {
				return err
			}
			out.Figures.Add("allocations", count, c.name)
			out.Figures.Add("allocated", size/1024, c.name)
		}
		table.Add([]string{c.name}, out.Figures.Median("allocations", c.name), out.Figures.Median("allocated", c.name))
	}
	out.Tables = append(out.Tables, table)
	return nil
}

// allocated returns how many allocations, and how many bytes, one event takes, on the average of n.
func allocated(ctx context.Context, server *lambdaserver.HTTP, event events.APIGatewayV2HTTPRequest, want, n int) (count, size float64, err error) {
	var before, after runtime.MemStats
	for i := range n + n/10 {
		if i == n/10 { // those before have made the connections
			runtime.ReadMemStats(&before)
		}
		answer, err := server.Invoke(ctx, event)
		if err != nil || answer.StatusCode != want {
			return 0, 0, errors.Join(err, fmt.Errorf("the handler answered %d, expected %d: %s", answer.StatusCode, want, answer.Body))
		}
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n), float64(after.TotalAlloc-before.TotalAlloc) / float64(n), nil
}
