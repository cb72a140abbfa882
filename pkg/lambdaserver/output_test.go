package lambdaserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/google/go-cmp/cmp"

	"flashsale/pkg/checkout"
	"flashsale/pkg/lambdaserver"
)

// emf is a line of the embedded metric format.
type emf struct {
	AWS struct {
		Timestamp         int64
		CloudWatchMetrics []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []struct{ Name, Unit string }
		}
	} `json:"_aws"`
}

// lines writes each line as "name unit{dimension=value}=value".
func lines(t *testing.T, text string) (all []string) {
	t.Helper()
	for line := range strings.Lines(text) {
		var head emf
		var members map[string]any
		if json.Unmarshal([]byte(line), &head) != nil || json.Unmarshal([]byte(line), &members) != nil ||
			len(head.AWS.CloudWatchMetrics) != 1 || head.AWS.Timestamp == 0 {
			t.Fatalf("the line is not in the embedded metric format: %s", line)
		}
		m := head.AWS.CloudWatchMetrics[0]
		if m.Namespace != "shop-dev" || len(m.Metrics) != 1 || len(m.Dimensions) != 1 {
			t.Fatalf("the line is %+v, expected one metric", m)
		}
		var labels []string
		for _, dimension := range m.Dimensions[0] {
			labels = append(labels, fmt.Sprint(dimension, "=", members[dimension]))
		}
		all = append(all, fmt.Sprint(m.Metrics[0].Name, " ", m.Metrics[0].Unit, labels, "=", members[m.Metrics[0].Name]))
	}
	return all
}

func TestMetricsFormat(t *testing.T) {
	var out bytes.Buffer
	m := lambdaserver.NewMetrics("shop-dev", &out)
	m.Record(checkout.HoldsRefused, 1, "sold_out", "gate")
	m.Record(checkout.HoldsRefused, 1, "sold_out", "ledger")
	m.Record(checkout.HoldsRefused, 2, "sold_out", "gate")
	m.Record(checkout.HoldsPlaced, 1)
	m.Record(checkout.SweepLag, 0.5)
	m.Record(checkout.SweepLag, 0.25)
	m.Record(checkout.AuditBroken, 3)
	m.Record(checkout.AuditBroken, 0)
	m.Flush()
	want := []string{
		"flashsale_holds_refused_total Count[reason=sold_out by=gate]=3",
		"flashsale_holds_refused_total Count[reason=sold_out by=ledger]=1",
		"flashsale_holds_placed_total Count[]=1",
		"flashsale_sweep_lag_seconds Seconds[]=[0.5 0.25]",
		"flashsale_audit_broken Count[]=0",
	}
	if diff := cmp.Diff(want, lines(t, out.String())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	out.Reset()
	if m.Flush(); out.Len() > 0 {
		t.Errorf("written twice: %s", out.String())
	}
}

// CloudWatch accepts 100 values per line.
func TestMetricsSplitLongLines(t *testing.T) {
	var out bytes.Buffer
	m := lambdaserver.NewMetrics("shop-dev", &out)
	for range 250 {
		m.Record(checkout.LedgerDuration, 0.001, "place_hold")
	}
	m.Flush()
	all := lines(t, out.String())
	if n := strings.Count(strings.Join(all, ""), "0.001"); len(all) != 3 || n != 250 {
		t.Errorf("got %d lines with %d values, expected 3 with 250", len(all), n)
	}
}

// A line that belongs to an invocation has its ids, in groups and with attributes, too.
func TestLogLinesHaveInvocationIDs(t *testing.T) {
	var out bytes.Buffer
	log := lambdaserver.NewLogger(&out, 0)
	ctx := lambdacontext.NewContext(context.Background(), &lambdacontext.LambdaContext{AwsRequestID: "c6af9ac6-7b61"})
	ctx = context.WithValue(ctx, "x-amzn-trace-id", "Root=1-5759e988") //nolint:revive,staticcheck // the key of aws-lambda-go
	log.With("part", "ledger").InfoContext(ctx, "hello")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	delete(line, "time")
	want := map[string]any{"level": "INFO", "msg": "hello", "part": "ledger", "lambda_request_id": "c6af9ac6-7b61", "trace_id": "Root=1-5759e988"}
	if diff := cmp.Diff(want, line); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	out.Reset()
	log.Info("at the start")
	if strings.Contains(out.String(), "request_id") {
		t.Error(out.String())
	}
}

// A process may serve several invocations at once. Each gets its own response and logs its own ids, and every measurement is
// written once.
func TestConcurrentInvocations(t *testing.T) {
	out, log := &lockedBuffer{}, &lockedBuffer{}
	const n = 40
	var together sync.WaitGroup // all invocations are under way at the same time
	together.Add(n)
	f, _ := serve(nil)
	f.Metrics, f.Logger = lambdaserver.NewMetrics("shop-dev", out), lambdaserver.NewLogger(log, 0)
	f.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		together.Done()
		together.Wait()
		f.Metrics.Record(checkout.HoldsPlaced, 1)
		f.Metrics.Record(checkout.LedgerDuration, 0.25, "place_hold")
		f.Logger.InfoContext(r.Context(), "served", "path", r.URL.Path)
		_, _ = io.WriteString(w, r.URL.Path)
	})
	var invocations sync.WaitGroup
	for i := range n {
		invocations.Go(func() {
			path := fmt.Sprint("/v1/holds/", i)
			event := events.APIGatewayV2HTTPRequest{RawPath: path}
			event.RequestContext.HTTP.Method = http.MethodGet
			ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "invocation of " + path})
			if r, err := f.Invoke(ctx, event); err != nil || r.StatusCode != http.StatusOK || r.Body != path {
				t.Errorf("%s got %+v (%v), expected its own response", path, r, err)
			}
		})
	}
	invocations.Wait()
	for line := range strings.Lines(log.String()) {
		var logged struct {
			Path       string
			Invocation string `json:"lambda_request_id"`
		}
		if err := json.Unmarshal([]byte(line), &logged); err != nil || logged.Invocation != "invocation of "+logged.Path {
			t.Errorf("the line %q has no whole entry with the ids of its invocation (%v)", line, err)
		}
	}
	placed, durations := 0.0, 0
	for line := range strings.Lines(out.String()) {
		var values struct {
			Placed    float64   `json:"flashsale_holds_placed_total"`
			Durations []float64 `json:"flashsale_ledger_call_duration_seconds"`
		}
		if err := json.Unmarshal([]byte(line), &values); err != nil {
			t.Errorf("the line %q: %v", line, err)
		}
		placed, durations = placed+values.Placed, durations+len(values.Durations)
	}
	if placed != n || durations != n {
		t.Errorf("the metrics have %v holds and %d durations, expected %d of each", placed, durations, n)
	}
}

// lockedBuffer is an output that several invocations write to.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
