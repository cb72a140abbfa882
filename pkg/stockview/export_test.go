package stockview

import "time"

// RestoreWholePause is restoreWholePause.
const RestoreWholePause = restoreWholePause

// SetClock lets a view believe that the cache's time is off by a duration.
func (v *View) SetClock(off time.Duration) {
	now := time.Now()
	v.clock.set(now.Add(off).UnixMilli(), now)
}
