package stockview

import (
	"sync/atomic"
	"time"
)

// cacheClock is what this process knows of the cache's own clock: every call of a script returns its time.
//
// A cache entry expires at a time on that clock. No other two clocks are ever compared, so it does not matter how far the
// clocks of the cache, the database and the functions are apart. See docs/decisions.md.
type cacheClock struct{ latest atomic.Pointer[clockReading] }

// clockReading is one time of the cache, and when this process received it.
type clockReading struct {
	cache    int64 // milliseconds since 1970
	received time.Time
}

func (c *cacheClock) set(cache int64, received time.Time) {
	c.latest.Store(&clockReading{cache: cache, received: received})
}

// at returns the cache's time at a moment of this process, or up to one call's duration earlier. It returns 0 if no call
// has returned a time yet. If this process's clock stood still, as in a frozen function, the time is too early. An entry
// then lives too short or is not stored, never the opposite.
func (c *cacheClock) at(moment time.Time) int64 {
	r := c.latest.Load()
	if r == nil {
		return 0
	}
	return r.cache + moment.Sub(r.received).Milliseconds()
}
