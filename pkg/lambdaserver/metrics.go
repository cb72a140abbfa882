package lambdaserver

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"flashsale/pkg/checkout"
)

// maxValues is the embedded metric format's limit of values per metric and line.
const maxValues = 100

// Metrics is a checkout.Recorder for CloudWatch. It collects the measurements of invocations and writes them to the
// log in the embedded metric format. CloudWatch extracts them from there, without an API call. A metric's labels are
// its dimensions, and its name is that on /metrics.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
type Metrics struct {
	namespace string
	out       io.Writer

	mu    sync.Mutex
	kept  map[string]*series // by metric and label values
	order []string
}

type series struct {
	metric *checkout.Metric
	labels []string
	values []float64 // a histogram's observations, or one sum or latest value
}

// NewMetrics writes to out, with one Write per line. Invocations that end at the same time write at the same time, which
// standard output allows.
func NewMetrics(namespace string, out io.Writer) *Metrics {
	return &Metrics{namespace: namespace, out: out, kept: map[string]*series{}}
}

// Record implements checkout.Recorder.
func (m *Metrics) Record(metric *checkout.Metric, value float64, labels ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := metric.Name + "\x00" + strings.Join(labels, "\x00")
	s := m.kept[key]
	if s == nil {
		s = &series{metric: metric, labels: labels}
		m.kept[key] = s
		m.order = append(m.order, key)
	}
	switch {
	case metric.Kind == checkout.Histogram || len(s.values) == 0:
		s.values = append(s.values, value)
	case metric.Kind == checkout.Counter:
		s.values[0] += value
	case metric.Kind == checkout.Gauge:
		s.values[0] = value
	}
}

// Flush writes the measurements since the last Flush: one line for each metric and combination of label values.
func (m *Metrics) Flush() {
	m.mu.Lock()
	kept, order := m.kept, m.order
	m.kept, m.order = map[string]*series{}, nil
	m.mu.Unlock()

	for _, key := range order {
		for chunk := range slices.Chunk(kept[key].values, maxValues) {
			s := *kept[key]
			s.values = chunk
			m.write(s)
		}
	}
}

func (m *Metrics) write(s series) {
	name, unit := s.metric.FullName(), "Count"
	var value any = s.values[0]
	if s.metric.Kind == checkout.Histogram {
		unit, value = "Seconds", s.values
	}
	dimensions := s.metric.Labels
	if dimensions == nil {
		dimensions = []string{}
	}
	line := map[string]any{
		name: value,
		"_aws": map[string]any{
			"Timestamp": time.Now().UnixMilli(),
			"CloudWatchMetrics": []any{map[string]any{
				"Namespace": m.namespace, "Dimensions": [][]string{dimensions},
				"Metrics": []any{map[string]string{"Name": name, "Unit": unit}},
			}},
		},
	}
	for i, label := range s.metric.Labels {
		line[label] = s.labels[i]
	}
	text, err := json.Marshal(line)
	if err != nil { // NaN or infinity, which is never recorded
		return
	}
	_, _ = m.out.Write(append(text, '\n')) // standard output: a failure cannot be reported anywhere
}
