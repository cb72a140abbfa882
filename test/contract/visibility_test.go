package contract

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"flashsale/internal/shoptest"
	"flashsale/pkg/admin"
)

// lag is how late a server that reads its cache may show an operator's change.
const lag = 2 * time.Second

// question is a shopper's request, and the response once the change shows.
type question struct {
	want string
	ask  func() string
}

// An operator's change does not touch the cache. A server that serves from the cache shows it within two seconds, since
// every entry expires by then.
func TestCachedServerFollowsTheOperator(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 1000, shoptest.Options{})
	operator := admin.Local{Ledger: s.Ledger}
	outcome := func(r shoptest.Response) string { return strings.TrimSpace(http.StatusText(r.Status) + " " + r.Code()) }
	read := func() string { return outcome(s.Do(t, http.MethodGet, "/v1/products/"+s.ProductID, "", nil)) }
	place := func() string { return outcome(s.PostHold(t, 1, "")) }
	list := func() string {
		if strings.Contains(s.Do(t, http.MethodGet, "/v1/products", "", nil).Body, s.ProductID) {
			return "listed"
		}
		return "not listed"
	}
	hits := func() float64 { return s.Metric(t, "flashsale_cache_lookups_total", "hit") }
	for _, step := range []struct {
		name      string
		change    func() error
		questions []question
	}{
		{"hidden", func() error { _, _, err := operator.HideProduct(t.Context(), s.ProductID, true); return err },
			[]question{{"Not Found product_not_found", read}, {"Not Found product_not_found", place}, {"not listed", list}}},
		{"shown", func() error { _, _, err := operator.HideProduct(t.Context(), s.ProductID, false); return err },
			[]question{{"OK", read}, {"Created", place}, {"listed", list}}},
		{"ended", func() error { _, _, err := operator.EndSale(t.Context(), s.ProductID); return err },
			[]question{{"OK", read}, {"Conflict sale_ended", place}, {"listed", list}}},
	} {
		before := hits()
		shoptest.Eventually(t, "the server serves the state before from the cache", func() bool {
			for _, q := range step.questions {
				q.ask()
			}
			return hits() > before
		})
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		changed := time.Now()
		for _, q := range step.questions {
			for got, late := "", time.Duration(0); got != q.want; {
				if late > lag {
					t.Errorf("%s: asked %v after the change, the server says %q, expected %q", step.name, late, got, q.want)
					break
				}
				late = time.Since(changed)
				got = q.ask()
			}
		}
	}
}
