package test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"flashsale/pkg/checkout"
)

// metric reads a value off /metrics: the sum of the lines whose label values, joined with "/", begin with labels.
func metric(t *testing.T, s *shop, name, labels string) float64 {
	t.Helper()
	sum := 0.0
	for line := range strings.Lines(s.do(t, http.MethodGet, "/metrics", "", nil).body) {
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
			t.Fatalf("%s: %v", line, err)
		}
		sum += n
	}
	return sum
}

// joined puts the values of label pairs in the order in which the metric declares its labels.
func joined(name, pairs string) string {
	var values []string
	for _, m := range checkout.Metrics {
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

// What happens is to be seen on /metrics, under the names that checkout.Metrics documents.
func TestMetrics(t *testing.T) {
	s := open(t, 3, options{})
	id := s.mustOrder(t, 2)
	s.hold(t, 2, "")
	s.hold(t, 101, "")
	s.hold(t, 1, "key-for-the-metrics")
	s.deliver(t, "evt-metrics", s.event("payment.succeeded", id, 2))
	s.deliver(t, "evt-metrics", s.event("payment.succeeded", id, 2))
	body := s.event("payment.succeeded", id, 2)
	s.do(t, http.MethodPost, "/v1/payments/webhook", string(body)+" ", s.signer.Sign(uuid.NewString(), must(s.Order(t.Context(), id))(t).CreatedAt, body))
	for _, want := range []struct {
		name, labels string
		value        float64
	}{
		{"flashsale_holds_placed_total", "", 2},
		{"flashsale_holds_refused_total", "sold_out", 1},
		{"flashsale_holds_refused_total", "qty_over_limit", 1},
		{"flashsale_ledger_calls_total", "place_hold/placed", 2},
		{"flashsale_ledger_calls_total", "create_order/created", 1},
		{"flashsale_ledger_call_duration_seconds_count", "apply_payment", 2},
		{"flashsale_webhook_events_total", "standard/applied", 1},
		{"flashsale_webhook_events_total", "standard/duplicate", 1},
		{"flashsale_webhook_events_total", "standard/refused", 1},
	} {
		if got := metric(t, s, want.name, want.labels); got != want.value {
			t.Errorf("%s{%s} is %v, want %v", want.name, want.labels, got, want.value)
		}
	}
	for _, name := range []string{"flashsale_cache_lookups_total", "flashsale_sweep_runs_total"} {
		eventually(t, name+" counts", func() bool { return metric(t, s, name, "") > 0 })
	}
	eventually(t, "the audit has run", func() bool {
		return strings.Contains(s.do(t, http.MethodGet, "/metrics", "", nil).body, "flashsale_audit_broken 0\n")
	})
	page := s.do(t, http.MethodGet, "/metrics", "", nil).body
	for _, m := range checkout.Metrics {
		if len(m.Labels) == 0 && !strings.Contains(page, "flashsale_"+m.Name) {
			t.Errorf("%s is not there from the start", m.Name)
		}
	}
}

// A hold that expires unseen is swept, and the sweep says how late it was.
func TestSweepLagIsMeasured(t *testing.T) {
	s := open(t, 3, options{holdTTL: 100 * time.Millisecond})
	s.mustHold(t, 1)
	eventually(t, "the lag is recorded", func() bool { return metric(t, s, "flashsale_sweep_lag_seconds_count", "") > 0 })
	if lag := metric(t, s, "flashsale_sweep_lag_seconds_sum", ""); lag <= 0 || lag > 2 {
		t.Errorf("lag %v s", lag)
	}
	if n := metric(t, s, "flashsale_sweep_holds_total", ""); n != 1 {
		t.Errorf("%v holds swept", n)
	}
}
