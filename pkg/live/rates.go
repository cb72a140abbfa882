package live

import (
	"maps"
	"math"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"

	"flashsale/pkg/checkout"
)

// counters are what a server has counted up to one moment.
type counters struct {
	at       time.Time
	outcomes map[string]float64 // requests by outcome
	buckets  map[float64]uint64 // requests that took at most so many seconds
	lagSum   float64            // seconds
	lagCount uint64
	broken   *int64
}

// okOutcome is the outcome of a request that was not refused.
const okOutcome = "ok"

// countersOf adds up the operations of a server's metrics.
func countersOf(families []*dto.MetricFamily, at time.Time) counters {
	c := counters{at: at, outcomes: map[string]float64{}, buckets: map[float64]uint64{}}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			switch family.GetName() {
			case checkout.Requests.FullName():
				for _, label := range m.GetLabel() {
					if label.GetName() == "outcome" {
						c.outcomes[label.GetValue()] += m.GetCounter().GetValue()
					}
				}
			case checkout.RequestDuration.FullName():
				for _, b := range m.GetHistogram().GetBucket() {
					if !math.IsInf(b.GetUpperBound(), 1) { // text has this bucket, and the registry does not
						c.buckets[b.GetUpperBound()] += b.GetCumulativeCount()
					}
				}
				c.buckets[math.Inf(1)] += m.GetHistogram().GetSampleCount()
			case checkout.SweepLag.FullName():
				c.lagSum, c.lagCount = m.GetHistogram().GetSampleSum(), m.GetHistogram().GetSampleCount()
			case checkout.AuditBroken.FullName():
				c.broken = new(int64(m.GetGauge().GetValue()))
			}
		}
	}
	return c
}

// since is the traffic between two moments. ok is false if the server began anew in between.
func (c counters) since(before counters) (s TrafficSample, ok bool) {
	seconds := c.at.Sub(before.at).Seconds()
	s = TrafficSample{At: c.at.UnixMilli(), Refusals: map[string]float64{}}
	if seconds <= 0 || c.lagCount < before.lagCount || c.buckets[math.Inf(1)] < before.buckets[math.Inf(1)] {
		return s, false
	}
	for outcome, n := range c.outcomes {
		rate := (n - before.outcomes[outcome]) / seconds
		s.Requests += rate
		if outcome != okOutcome && rate > 0 {
			s.Refusals[outcome] = rate
		}
	}
	took := map[float64]uint64{}
	for bound, n := range c.buckets {
		took[bound] = n - min(n, before.buckets[bound])
	}
	s.P50, s.P99 = quantile(took, 0.50), quantile(took, 0.99)
	if sweeps := c.lagCount - before.lagCount; sweeps > 0 {
		s.SweepLag = new((c.lagSum - before.lagSum) / float64(sweeps))
	}
	return s, true
}

// quantile estimates a quantile in milliseconds from cumulative counts by upper bound in seconds, as Prometheus does: evenly within a
// bucket, and the highest bound for what is above it. It is nil without observations.
func quantile(cumulative map[float64]uint64, q float64) *float64 {
	total := cumulative[math.Inf(1)]
	if total == 0 {
		return nil
	}
	rank := q * float64(total)
	lower, below := 0.0, uint64(0)
	for _, upper := range slices.Sorted(maps.Keys(cumulative)) {
		n := cumulative[upper]
		if float64(n) >= rank && !math.IsInf(upper, 1) {
			seconds := lower + (upper-lower)*(rank-float64(below))/float64(n-below)
			return new(seconds * 1000)
		}
		if !math.IsInf(upper, 1) {
			lower, below = upper, n
		}
	}
	return new(lower * 1000)
}
