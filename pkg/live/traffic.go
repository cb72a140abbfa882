package live

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// ServerTraffic measures the traffic of `flashsale run` by its metrics.
type ServerTraffic struct {
	gather func(ctx context.Context) ([]*dto.MetricFamily, error)
	before *counters // nil before the first Read and after a failure
}

// InProcess measures the server of this process. gather returns its metrics.
func InProcess(gather func() ([]*dto.MetricFamily, error)) *ServerTraffic {
	return &ServerTraffic{gather: func(context.Context) ([]*dto.MetricFamily, error) { return gather() }}
}

// OverHTTP measures the server at a base URL such as http://127.0.0.1:8080 by its /metrics.
func OverHTTP(base *url.URL) *ServerTraffic {
	return &ServerTraffic{gather: func(ctx context.Context) ([]*dto.MetricFamily, error) {
		families, err := scrape(ctx, base.JoinPath("metrics").String())
		if err != nil {
			return nil, &Trouble{fmt.Sprintf("No server shows its metrics at %s, so requests are missing.", base.Redacted()), err}
		}
		return families, nil
	}}
}

// Read implements Traffic. The first Read only begins to measure.
func (t *ServerTraffic) Read(ctx context.Context) (r Reading, err error) {
	families, err := t.gather(ctx)
	if err != nil {
		t.before = nil
		return r, err
	}
	now := countersOf(families, time.Now())
	r.Broken = now.broken
	if t.before != nil {
		if sample, ok := now.since(*t.before); ok {
			r.Samples = []TrafficSample{sample}
		}
	}
	t.before = &now
	return r, nil
}

// maxMetrics limits what is read of /metrics, in bytes.
const maxMetrics = 4 << 20

// scrapeTimeout limits one read of /metrics.
const scrapeTimeout = 3 * time.Second

func scrape(ctx context.Context, url string) (_ []*dto.MetricFamily, err error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("reading the metrics: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("reading the metrics: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("reading the metrics: the server responded with %s", response.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(response.Body, maxMetrics))
	if err != nil {
		return nil, fmt.Errorf("reading the metrics: %w", err)
	}
	return slices.Collect(maps.Values(families)), nil
}
