package simulator

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// silence is how long the server may leave everything unanswered, once nobody comes any more, until it is taken for dead.
// One that was only restarted is back by then, and is checked.
const silence = 12 * time.Second

// errStopped is for who stops a rush before it could say anything about the server.
var errStopped = errors.New("interrupted before the sale was checked: nothing can be said about it")

// mind gives the work up when the server is dead or somebody wants no result any more: nothing else would end it soon,
// as every open question is asked several times.
func (r *rush) mind(watching context.Context, giveUp context.CancelCauseFunc) {
	pulse := time.NewTicker(silence / 50)
	defer pulse.Stop()
	for {
		select {
		case <-watching.Done():
			return
		case <-r.GiveUp:
			giveUp(errStopped)
			return
		case <-pulse.C:
			if r.dead() {
				giveUp(fmt.Errorf("the server at %s does not answer any more: nothing could be checked", r.URL))
				return
			}
		}
	}
}

// dead reports whether nothing was answered for too long. The observer asks all the time, so an answer to nobody means
// something. While shoppers still come the server has until their end to return.
func (r *rush) dead() bool {
	closed := time.Duration(r.closed.Load())
	heard := max(closed, r.client.lastHeard(), r.observer.client.lastHeard())
	return closed > 0 && r.clock.now()-heard > silence
}
