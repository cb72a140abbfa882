package races

import (
	"fmt"
	"net/http"
	"testing"

	"flashsale/internal/shoptest"
	"flashsale/pkg/checkout"
)

// A shopper asks for a hundred units at once, with and without keys: of the server's process, or of several processes of the
// function. The shopper gets the limit, and no unit more.
func TestShopperLimitIsExactAcrossProcesses(t *testing.T) {
	shoptest.Everywhere(t, func(t *testing.T, open shoptest.Opener) {
		const limit = 7
		s := open(t, 1000, shoptest.Options{SignIn: true})
		units := int64(limit)
		if _, _, err := s.PutProduct(t.Context(), checkout.ProductChange{ID: s.ProductID, MaxPerShopper: &checkout.Limit{Units: &units}}); err != nil {
			t.Fatal(err)
		}
		for name, key := range map[string]func(i int) string{
			"without keys": func(int) string { return "" },
			"with keys":    func(i int) string { return fmt.Sprintf("start-gate-limit-%d", i/2) }, // each of them twice
		} {
			me := s.As(t, name)
			responses := shoptest.AtOnce(100, func(i int) shoptest.Response {
				for {
					if r := me.PostHold(t, 1, key(i)); r.Code() != "busy" || t.Failed() {
						return r
					}
				}
			})
			placed := map[string]bool{}
			for _, r := range responses {
				switch {
				case r.Status == http.StatusCreated || r.Status == http.StatusOK:
					placed[r.Text("id")] = true
				case r.Code() != "shopper_limit":
					t.Errorf("%s: a hold over the limit got %+v, expected shopper_limit", name, r)
				}
			}
			if len(placed) != limit {
				t.Errorf("%s: %d holds were placed, expected exactly the limit, %d", name, len(placed), limit)
			}
		}
		s.MustAudit(t)
	})
}
