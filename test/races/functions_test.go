package races

import (
	"slices"
	"testing"

	"flashsale/internal/lambdaemu"
	"flashsale/internal/shoptest"
)

// Sixteen processes of the function, started at one instant, on fifty units.
func TestSixteenProcessesOnFiftyUnits(t *testing.T) {
	t.Parallel()
	o := shoptest.WithDefaults(t, shoptest.Options{})
	s := shoptest.New(t, 50, o)
	processes := make([]*lambdaemu.Function, 16)
	for i := range processes {
		processes[i] = s.StartFunction(t, "holds", o)
	}
	answers := slices.Concat(func() (all [][]shoptest.Response) {
		all = make([][]shoptest.Response, len(processes))
		shoptest.AtOnce(len(processes), func(i int) shoptest.Response {
			for range 10 {
				all[i] = append(all[i], s.InvokeHold(t, processes[i]))
			}
			return shoptest.Response{}
		})
		return all
	}()...)
	if counts := shoptest.Tally(answers); counts["Created"] != 50 || counts["sold_out"] != 110 {
		t.Errorf("%v", counts)
	}
	s.MustAudit(t)
}
