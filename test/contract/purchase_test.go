package contract

import (
	"strings"
	"testing"

	"flashsale/internal/shoptest"
)

// The README's purchase. The functions' output has each request and each metric, but no secret.
func TestPurchase(t *testing.T) {
	t.Parallel()
	shoptest.ServerAndFunctions(t, func(t *testing.T, open shoptest.Opener) {
		s := open(t, 10, shoptest.Options{})
		s.Purchase(t)
		s.MustAudit(t)
		if s.Cloud == nil {
			return
		}
		s.Stop()
		output := s.Cloud.Output()
		for name, want := range map[string]float64{"flashsale_holds_placed_total": 1, "flashsale_webhook_events_total": 3} {
			if got := shoptest.SumOf(output, name); got != want {
				t.Errorf("%s is %v, expected %v", name, got, want)
			}
		}
		for _, text := range []string{`"route":"/v1/orders/{id}"`, `"trace_id":"Root=1-5759e988`, `"lambda_request_id":"`, `"request_id":"`} {
			if !strings.Contains(output, text) {
				t.Errorf("the log does not contain %s", text)
			}
		}
		for _, secret := range []string{"whsec_", "v1,", "key-", "root:"} {
			if strings.Contains(output, secret) {
				t.Errorf("the log contains %s, which is secret", secret)
			}
		}
	})
}
