package races

import (
	"slices"
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
