package races

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"flashsale/internal/lambdaemu"
	"flashsale/internal/shoptest"
)

// Sixteen processes of the function start at the same instant and compete for fifty units.
func TestFunctionProcessesNeverOversell(t *testing.T) {
	t.Parallel()
	o := shoptest.WithDefaults(t, shoptest.Options{})
	s := shoptest.New(t, 50, o)
	processes := make([]*lambdaemu.Function, 16)
	for i := range processes {
		processes[i] = s.StartFunction(t, "holds", o)
	}
	all := make([][]shoptest.Response, len(processes))
	shoptest.AtOnce(len(processes), func(i int) shoptest.Response {
		for len(all[i]) < 10 {
			if r := s.InvokeHold(t, processes[i]); r.Code() != "busy" || t.Failed() { // without a key: busy has placed nothing, see wantStock
				all[i] = append(all[i], r)
			}
		}
		return shoptest.Response{}
	})
	if counts := shoptest.Tally(slices.Concat(all...)); counts["Created"] != 50 || counts["sold_out"] != 110 {
		t.Errorf("160 requests got %v, expected 50 Created and 110 sold_out", counts)
	}
	wantStock(t, s, 50, 0)
	s.MustAudit(t)
}

// Holds that arrive in one process at the same instant share a call of the database. Each gets a hold of its own.
func TestHoldsOfOneProcessShareCalls(t *testing.T) {
	t.Parallel()
	o := shoptest.WithDefaults(t, shoptest.Options{Managed: true})
	s := shoptest.New(t, 1_000_000, o)
	f := s.StartFunction(t, "holds", o)
	placed := map[string]bool{}
	shoptest.Eventually(t, "holds share a call", func() bool {
		for _, r := range shoptest.AtOnce(shoptest.ManagedConcurrency, func(int) shoptest.Response { return s.InvokeHold(t, f) }) {
			if r.Status != http.StatusCreated || placed[r.Text("id")] {
				t.Fatalf("a hold got %+v, expected 201 and a hold of its own", r)
			}
			placed[r.Text("id")] = true
		}
		for line := range strings.Lines(f.Output()) {
			if strings.Contains(line, `"routine":"place_holds"`) && strings.Contains(line, `"outcome":"placed"`) {
				return true
			}
		}
		return false
	})
	if p := s.Stock(t); p.ReservedStock < int64(len(placed)) { // more: a response was lost, and the hold without a key repeated
		t.Errorf("%d units are reserved for %d holds, expected at least as many", p.ReservedStock, len(placed))
	}
	f.Stop() // its output is complete
	if n := shoptest.SumOf(f.Output(), "flashsale_holds_placed_total"); n != float64(len(placed)) {
		t.Errorf("the metrics of concurrent requests count %v holds, expected %d", n, len(placed))
	}
	s.MustAudit(t)
}
