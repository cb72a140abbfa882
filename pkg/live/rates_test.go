package live

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestQuantile(t *testing.T) {
	t.Parallel()
	inf := math.Inf(1)
	for name, c := range map[string]struct {
		buckets map[float64]uint64
		q       float64
		want    float64 // ms; -1: none
	}{
		"nothing":                     {map[float64]uint64{.1: 0, inf: 0}, .5, -1},
		"the middle of one bucket":    {map[float64]uint64{.1: 0, .2: 10, inf: 10}, .5, 150},
		"the first bucket":            {map[float64]uint64{.1: 10, .2: 10, inf: 10}, .5, 50},
		"across an empty bucket":      {map[float64]uint64{.1: 50, .2: 50, .4: 100, inf: 100}, .75, 300},
		"at the end of a bucket":      {map[float64]uint64{.1: 50, .2: 100, inf: 100}, .5, 100},
		"above all bounds":            {map[float64]uint64{.1: 0, .2: 1, inf: 100}, .99, 200},
		"a server without any bounds": {map[float64]uint64{inf: 3}, .5, 0},
	} {
		got := -1.0
		if v := quantile(c.buckets, c.q); v != nil {
			got = *v
		}
		if math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: the quantile is %v ms, expected %v", name, got, c.want)
		}
	}
}

func TestTrafficIsTheDifferenceOfTwoReads(t *testing.T) {
	t.Parallel()
	at, inf := time.UnixMilli(1000), math.Inf(1)
	before := counters{at: at, outcomes: map[string]float64{"ok": 10, "busy": 4}, buckets: map[float64]uint64{.1: 14, .2: 14, inf: 14}, lagSum: 3, lagCount: 2}
	after := counters{
		at: at.Add(2 * time.Second), outcomes: map[string]float64{"ok": 14, "busy": 4, "sold_out": 6},
		buckets: map[float64]uint64{.1: 14, .2: 24, inf: 24}, lagSum: 4, lagCount: 4,
	}
	got, ok := after.since(before)
	want := TrafficSample{At: 3000, Requests: 5, Refusals: map[string]float64{"sold_out": 3}, P50: new(150.0), P99: new(199.0), SweepLag: new(0.5)}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-9 })); !ok || d != "" {
		t.Errorf("expected (-) and measured (+) traffic differ, ok: %t\n%s", ok, d)
	}
	if got, ok := before.since(after); ok {
		t.Errorf("a server that began anew gave %+v, expected no sample", got)
	}
	unasked := after
	unasked.at, unasked.lagCount = after.at.Add(time.Second), 1
	if got, ok := unasked.since(after); ok {
		t.Errorf("a server that began anew, with fewer sweeps, gave %+v, expected no sample", got)
	}
	idle := after
	idle.at = after.at.Add(time.Second)
	if got, ok := idle.since(after); !ok || got.Requests != 0 || got.P50 != nil || got.SweepLag != nil || got.Refusals == nil {
		t.Errorf("an idle second gave %+v %t, expected no requests, no percentile and no lag", got, ok)
	}
}
