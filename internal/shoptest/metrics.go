package shoptest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"flashsale/pkg/checkout"
)

// Metric reads a value off /metrics: the sum of the lines whose label values, joined with "/", begin with labels.
func (s *Shop) Metric(t testing.TB, name, labels string) float64 {
	t.Helper()
	sum := 0.0
	for line := range strings.Lines(s.Do(t, http.MethodGet, "/metrics", "", nil).Body) {
		line, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		full, pairs, found := strings.Cut(line, "{")
		if !found { // without labels
			full, value, _ = strings.Cut(line, " ")
		}
		if full != name || !strings.HasPrefix(joined(name, pairs), labels) {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("/metrics has the line %q: %v", line, err)
		}
		sum += n
	}
	return sum
}

// joined puts the values of label pairs in the order in which the metric declares its labels.
func joined(name, pairs string) string {
	var values []string
	for _, m := range slices.Concat(checkout.Metrics, checkout.RequestMetrics) {
		if !strings.HasPrefix(name, "flashsale_"+m.Name) {
			continue
		}
		for _, label := range m.Labels {
			_, rest, _ := strings.Cut(pairs, label+`="`)
			value, _, _ := strings.Cut(rest, `"`)
			values = append(values, value)
		}
	}
	return strings.Join(values, "/")
}

// SumOf adds up a metric in a function's output, in CloudWatch's embedded metric format.
func SumOf(output, name string) (sum float64) {
	for line := range strings.Lines(output) {
		var members map[string]any
		if json.Unmarshal([]byte(line), &members) != nil || members["_aws"] == nil {
			continue
		}
		if n, ok := members[name].(float64); ok {
			sum += n
		}
	}
	return sum
}
