package contract

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"flashsale/internal/shoptest"
	"flashsale/pkg/checkout"
)

// /metrics shows every event of a sale, under the names in checkout.Metrics.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 3, shoptest.Options{})
	id := s.MustOrder(t, 2)
	s.PostHold(t, 2, "")
	s.PostHold(t, 101, "")
	s.PostHold(t, 1, "key-for-the-metrics")
	s.Deliver(t, "evt-metrics", s.Event("payment.succeeded", id, 2))
	s.Deliver(t, "evt-metrics", s.Event("payment.succeeded", id, 2))
	body := s.Event("payment.succeeded", id, 2)
	s.Do(t, http.MethodPost, "/v1/payments/webhook", string(body)+" ", s.Signer.Sign(uuid.NewString(), shoptest.Must(s.Order(t.Context(), checkout.Caller{}, id))(t).CreatedAt, body))
	for _, want := range []struct {
		name, labels string
		value        float64
	}{
		{"flashsale_holds_placed_total", "", 2},
		{"flashsale_holds_refused_total", "sold_out", 1},
		{"flashsale_holds_refused_total", "qty_over_limit", 1},
		{"flashsale_ledger_calls_total", "place_hold/placed", 2},
		{"flashsale_ledger_calls_total", "create_order/created", 1},
		{"flashsale_ledger_call_duration_seconds_count", "apply_event", 2},
		{"flashsale_webhook_events_total", "standard/applied", 1},
		{"flashsale_webhook_events_total", "standard/duplicate", 1},
		{"flashsale_webhook_events_total", "standard/refused", 1},
		{"flashsale_requests_total", "place-hold/ok", 2},
		{"flashsale_requests_total", "place-hold/sold_out", 1},
		{"flashsale_requests_total", "place-hold/qty_over_limit", 1},
		{"flashsale_requests_total", "receive-payment-event/signature_invalid", 1},
		{"flashsale_request_duration_seconds_count", "place-hold", 4},
	} {
		if got := s.Metric(t, want.name, want.labels); got != want.value {
			t.Errorf("%s{%s} is %v, expected %v", want.name, want.labels, got, want.value)
		}
	}
	for _, name := range []string{"flashsale_cache_lookups_total", "flashsale_sweep_runs_total"} {
		shoptest.Eventually(t, name+" counts", func() bool { return s.Metric(t, name, "") > 0 })
	}
	shoptest.Eventually(t, "the audit has run", func() bool {
		return strings.Contains(s.Do(t, http.MethodGet, "/metrics", "", nil).Body, "flashsale_audit_broken 0\n")
	})
	page := s.Do(t, http.MethodGet, "/metrics", "", nil).Body
	for _, m := range checkout.Metrics {
		if len(m.Labels) == 0 && !strings.Contains(page, "flashsale_"+m.Name) {
			t.Errorf("%s is missing from the first scrape, expected 0", m.Name)
		}
	}
}

// The sweep releases a hold that expired without a request, and records how late it was.
func TestSweepLagIsMeasured(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 3, shoptest.Options{HoldTTL: 100 * time.Millisecond})
	s.MustHold(t, 1)
	shoptest.Eventually(t, "the lag is recorded", func() bool { return s.Metric(t, "flashsale_sweep_lag_seconds_count", "") > 0 })
	if lag := s.Metric(t, "flashsale_sweep_lag_seconds_sum", ""); lag <= 0 || lag > 30 { // a sweep a second; a busy machine is late
		t.Errorf("the lag is %v s, expected a second or two", lag)
	}
	if n := s.Metric(t, "flashsale_sweep_holds_total", ""); n != 1 {
		t.Errorf("%v holds were swept, expected 1", n)
	}
}
