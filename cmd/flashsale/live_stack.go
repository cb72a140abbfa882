package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"flashsale/pkg/checkout"
	"flashsale/pkg/live"
)

const (
	// metricPeriod is how fine CloudWatch's metrics are.
	metricPeriod = time.Minute
	// metricsSettle is how long after its end a minute is read: its metrics arrive within a minute.
	metricsSettle = time.Minute
	// metricsWindow is how far back one call reads. Its price follows the number of metrics, not of minutes.
	metricsWindow = 10 * time.Minute
)

// stackTraffic measures the requests of a stack with CloudWatch: API Gateway's metrics, and those that the functions write.
type stackTraffic struct {
	client    *cloudwatch.Client
	api       string    // its id
	namespace string    // of the functions' metrics
	read      time.Time // the end of the latest minute that was read
}

// traffic finds the API's id at the beginning of its URL.
func (s *stack) traffic() (*stackTraffic, error) {
	address, err := s.output(outputAPI)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("reading the stack's output %s: %w", outputAPI, err)
	}
	id, _, _ := strings.Cut(u.Hostname(), ".")
	return &stackTraffic{client: cloudwatch.NewFromConfig(s.account), api: id, namespace: s.name}, nil
}

// The ids of the queries.
const (
	queryRequests = "requests"
	query4xx      = "e4xx"
	query5xx      = "e5xx"
	queryP50      = "p50"
	queryP99      = "p99"
	queryLag      = "lag"
	queryBroken   = "broken"
	queryRefused  = "refused"
)

func (t *stackTraffic) queries() []types.MetricDataQuery {
	period := aws.Int32(int32(metricPeriod.Seconds()))
	metric := func(id, namespace, name, stat string, dimensions ...types.Dimension) types.MetricDataQuery {
		return types.MetricDataQuery{Id: &id, MetricStat: &types.MetricStat{
			Stat: &stat, Period: period, Metric: &types.Metric{Namespace: &namespace, MetricName: &name, Dimensions: dimensions},
		}}
	}
	gateway := func(id, name, stat string) types.MetricDataQuery {
		return metric(id, "AWS/ApiGateway", name, stat, types.Dimension{Name: aws.String("ApiId"), Value: &t.api})
	}
	return []types.MetricDataQuery{
		gateway(queryRequests, "Count", "Sum"), gateway(query4xx, "4xx", "Sum"), gateway(query5xx, "5xx", "Sum"),
		gateway(queryP50, "Latency", "p50"), gateway(queryP99, "Latency", "p99"),
		metric(queryLag, t.namespace, checkout.SweepLag.FullName(), "Average"),
		metric(queryBroken, t.namespace, checkout.AuditBroken.FullName(), "Maximum"),
		{
			Id: aws.String(queryRefused), Label: aws.String("${PROP('Dim.reason')}"), Period: period, // one result for each reason and decider
			Expression: aws.String(fmt.Sprintf(`SEARCH('{"%s",%s} MetricName="%s"', 'Sum', %d)`,
				t.namespace, strings.Join(checkout.HoldsRefused.Labels, ","), checkout.HoldsRefused.FullName(), *period)),
		},
	}
}

// minute has the values of one minute.
type minute struct {
	values  map[string]float64 // by query
	refused map[string]float64 // holds by reason
}

// Read implements live.Traffic.
func (t *stackTraffic) Read(ctx context.Context) (r live.Reading, err error) {
	end := time.Now().Add(-metricsSettle).Truncate(metricPeriod)
	pages := cloudwatch.NewGetMetricDataPaginator(t.client, &cloudwatch.GetMetricDataInput{
		StartTime: aws.Time(end.Add(-metricsWindow)), EndTime: &end, MetricDataQueries: t.queries(), ScanBy: types.ScanByTimestampAscending,
	})
	minutes := map[int64]minute{} // by their beginnings, in seconds since 1970
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return r, &live.Trouble{Sentence: "CloudWatch cannot be read (cloudwatch:GetMetricData), so requests are missing.", Cause: fmt.Errorf("reading CloudWatch: %w", err)}
		}
		for _, result := range page.MetricDataResults {
			add(minutes, result)
		}
	}
	for start := end.Add(-metricsWindow); start.Before(end); start = start.Add(metricPeriod) {
		m := minutes[start.Unix()]
		if broken, known := m.values[queryBroken]; known {
			r.Broken = aws.Int64(int64(broken))
		}
		if start.Before(t.read) {
			continue
		}
		r.Samples = append(r.Samples, m.sample(start.Add(metricPeriod)))
	}
	t.read = end
	return r, nil
}

// add files the values of a result under their minutes.
func add(minutes map[int64]minute, result types.MetricDataResult) {
	id := aws.ToString(result.Id)
	for i, at := range result.Timestamps[:min(len(result.Timestamps), len(result.Values))] {
		m, ok := minutes[at.Unix()]
		if !ok {
			m = minute{values: map[string]float64{}, refused: map[string]float64{}}
			minutes[at.Unix()] = m
		}
		if id == queryRefused {
			m.refused[aws.ToString(result.Label)] += result.Values[i]
		} else {
			m.values[id] = result.Values[i]
		}
	}
}

// sample is the traffic of a minute. 4xx and 5xx are what is left of API Gateway's count without the refused holds.
func (m minute) sample(end time.Time) live.TrafficSample {
	perSecond := func(n float64) float64 { return max(n, 0) / metricPeriod.Seconds() }
	s := live.TrafficSample{At: end.UnixMilli(), Requests: perSecond(m.values[queryRequests]), Refusals: map[string]float64{}}
	clients, servers := m.values[query4xx], m.values[query5xx]
	for reason, n := range m.refused {
		s.Refusals[reason] = perSecond(n)
		if reason == string(checkout.CodeBusy) {
			servers -= n
		} else {
			clients -= n
		}
	}
	if clients > 0 {
		s.Refusals["4xx"] = perSecond(clients)
	}
	if servers > 0 {
		s.Refusals["5xx"] = perSecond(servers)
	}
	optional := func(id string) *float64 {
		if v, ok := m.values[id]; ok {
			return &v
		}
		return nil
	}
	s.P50, s.P99, s.SweepLag = optional(queryP50), optional(queryP99), optional(queryLag)
	return s
}
