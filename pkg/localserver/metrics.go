package localserver

import (
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"flashsale/pkg/checkout"
)

// buckets, in seconds, range from a ledger call on the same machine to a stalled sweep.
var buckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5, 10, 30}

// requestBuckets, in seconds, are finer: /live and Grafana show percentiles from a fraction of a millisecond to a lock wait.
var requestBuckets = []float64{
	.0002, .0004, .0006, .0008, .001, .0015, .002, .003, .004, .006, .008, .01, .015, .02, .03, .04, .06, .08, .1, .15, .2, .3, .4, .6, .8, 1, 1.5, 2, 3, 5, 9,
}

// Metrics is a checkout.Recorder for Prometheus.
type Metrics struct {
	registry   *prometheus.Registry
	counters   map[*checkout.Metric]*prometheus.CounterVec
	histograms map[*checkout.Metric]*prometheus.HistogramVec
	gauges     map[*checkout.Metric]*prometheus.GaugeVec
}

// NewMetrics registers checkout.Metrics, checkout.RequestMetrics and the metrics of the Go runtime.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry:   prometheus.NewRegistry(),
		counters:   map[*checkout.Metric]*prometheus.CounterVec{},
		histograms: map[*checkout.Metric]*prometheus.HistogramVec{},
		gauges:     map[*checkout.Metric]*prometheus.GaugeVec{},
	}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, metric := range slices.Concat(checkout.Metrics, checkout.RequestMetrics) {
		name := metric.FullName()
		switch metric.Kind {
		case checkout.Counter:
			c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: metric.Help}, metric.Labels)
			m.counters[metric] = c
			m.registry.MustRegister(c)
			if len(metric.Labels) == 0 {
				c.WithLabelValues() // exported from the start, as 0
			}
		case checkout.Histogram:
			limits := buckets
			if metric == checkout.RequestDuration {
				limits = requestBuckets
			}
			h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: metric.Help, Buckets: limits}, metric.Labels)
			m.histograms[metric] = h
			m.registry.MustRegister(h)
			if len(metric.Labels) == 0 {
				h.WithLabelValues()
			}
		case checkout.Gauge: // exported after the first audit: before, the value is unknown
			g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: metric.Help}, metric.Labels)
			m.gauges[metric] = g
			m.registry.MustRegister(g)
		}
	}
	return m
}

// Record implements checkout.Recorder.
func (m *Metrics) Record(metric *checkout.Metric, value float64, labels ...string) {
	switch metric.Kind {
	case checkout.Counter:
		m.counters[metric].WithLabelValues(labels...).Add(value)
	case checkout.Histogram:
		m.histograms[metric].WithLabelValues(labels...).Observe(value)
	case checkout.Gauge:
		m.gauges[metric].WithLabelValues(labels...).Set(value)
	}
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Gather returns the metrics as they are now.
func (m *Metrics) Gather() ([]*dto.MetricFamily, error) { return m.registry.Gather() }
