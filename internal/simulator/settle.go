package simulator

import (
	"context"
	"sync"
	"time"
)

const (
	// asking is how many of the last questions are under way at a time.
	asking = 32
	// maxReplays bounds how many granted keys are sent once more.
	maxReplays = 1000
)

// settle finds out what is still unknown, waits for what is due, and reads everything back.
func (r *rush) settle(ctx context.Context) {
	r.phase.Store("checking")
	if last := r.lastLost(); last > 0 {
		r.clock.until(ctx, last+r.Quiet)
	}
	r.askAgain(ctx)
	due, all := r.latestDue()
	if all && due > r.clock.now() {
		r.clock.until(ctx, due)
	}
	r.await(ctx, r.TakenBack, func(s Sample) bool { return !all || s.Held == 0 })
	r.readBack(ctx)
	r.tryLeftovers(ctx)
	r.await(ctx, r.TakenBack, func(s Sample) bool {
		sure, maybe := r.reserved(s)
		return s.Sold == r.sold() && sure <= s.Held && s.Held <= maybe
	})
	r.counters = r.observer.last()
}

// attempts returns every attempt of every shopper.
func (r *rush) attempts() (all []*attempt) {
	for _, b := range r.books {
		all = append(all, b.attempts...)
	}
	return all
}

// holds returns every hold in the books.
func (r *rush) holds() (all []*hold) {
	for _, a := range r.attempts() {
		if a.hold != nil {
			all = append(all, a.hold)
		}
	}
	return all
}

func (r *rush) lastLost() (last time.Duration) {
	for _, a := range r.attempts() {
		last = max(last, lastLost(a.answers))
		if a.hold == nil {
			continue
		}
		for i := range a.hold.acts {
			if act := &a.hold.acts[i]; act.lost() {
				last = max(last, act.received)
			}
		}
	}
	return last
}

// askAgain sends what got no answer once more with the same key or event id, and some keys that were granted. A hold
// that only this made is given back at once.
func (r *rush) askAgain(ctx context.Context) {
	replays := 0
	var again []*attempt
	for _, a := range r.attempts() {
		if a.uncertain() {
			again = append(again, a)
		} else if a.hold != nil && replays < maxReplays {
			replays++
			again = append(again, a)
		}
	}
	r.each(ctx, len(again), func(i int) {
		a := again[i]
		unknown := a.hold == nil
		answer := r.question(ctx, placeRequest(r.product, a))
		// The gate may be a moment behind with a key that was granted.
		for tries := 0; a.hold != nil && answer.body.Code == "sold_out" && tries < 10; tries++ {
			r.clock.until(ctx, r.clock.now()+500*time.Millisecond)
			answer = r.question(ctx, placeRequest(r.product, a))
		}
		a.learn(answer)
		if unknown && a.hold != nil && !answer.replayed {
			q := request{op: Release, method: "DELETE", path: "/holds/" + a.hold.id, timeout: answerTimeout}
			a.hold.did(act{answer: r.question(ctx, q)})
		}
	})
	holds := r.holds()
	r.each(ctx, len(holds), func(i int) {
		for _, e := range holds[i].unansweredEvents() {
			e.answer = r.question(ctx, r.delivery(e.event, e.text))
			holds[i].did(e)
		}
	})
}

// unansweredEvents returns an act of each payment event that no delivery of was answered.
func (h *hold) unansweredEvents() (open []act) {
	answered := map[string]bool{}
	for i := range h.acts {
		if a := &h.acts[i]; a.event != "" && a.ok() {
			answered[a.event] = true
		}
	}
	for i := range h.acts {
		if a := h.acts[i]; a.event != "" && !answered[a.event] {
			answered[a.event] = true
			open = append(open, a)
		}
	}
	return open
}

// question is one whose answer the checks need.
func (r *rush) question(ctx context.Context, q request) answer {
	a := r.ask(ctx, q)
	if a.lost() || a.busy() {
		r.unanswered.Add(1)
	}
	return a
}

// each does something for 0 to n-1, a bounded number at a time, until ctx ends.
func (r *rush) each(ctx context.Context, n int, do func(i int)) {
	var all sync.WaitGroup
	next := make(chan int)
	for range asking {
		all.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		next <- i
	}
	close(next)
	all.Wait()
}

// latestDue returns when everything that is not paid has run out, and whether that is soon enough to wait for.
func (r *rush) latestDue() (due time.Duration, soon bool) {
	for _, h := range r.holds() {
		if h.paidBy() < forever || h.any(both(isCancel, isDone)) || h.any(both(isRelease, isDone)) {
			continue
		}
		due = max(due, h.latestEnd())
		if by := h.orderedBy(); by < forever {
			due = max(due, by+h.window+rounding)
		}
		// An order whose answers were all lost may have been made until the last of them.
		for i := range h.acts {
			if a := &h.acts[i]; isOrder(a) && h.window > 0 {
				due = max(due, a.received+h.window+rounding)
			}
		}
	}
	return due, due-r.clock.now() <= patience
}

// await waits until a sample shows what is expected, for a limited time.
func (r *rush) await(ctx context.Context, limit time.Duration, expected func(Sample) bool) {
	asked := r.clock.now()
	for ctx.Err() == nil && r.clock.now() < asked+limit {
		if s := r.observer.last(); s.answer.sent > asked && expected(s) {
			return
		}
		r.clock.until(ctx, r.clock.now()+50*time.Millisecond)
	}
}

// readBack asks for every hold and its order.
func (r *rush) readBack(ctx context.Context) {
	holds := r.holds()
	r.each(ctx, len(holds), func(i int) {
		h := holds[i]
		hold := r.question(ctx, lookHoldRequest(h))
		order := r.question(ctx, lookOrderRequest(h))
		h.finalHold, h.finalOrder = &hold, &order
	})
}

// tryLeftovers holds one unit if the server shows any to be left, and gives it back.
func (r *rush) tryLeftovers(ctx context.Context) {
	if r.left = r.observer.last(); r.left.Available < 1 {
		return
	}
	r.probe = &attempt{key: r.product + ":leftovers", qty: 1}
	r.probe.learn(r.question(ctx, placeRequest(r.product, r.probe)))
	if h := r.probe.hold; h != nil {
		q := request{op: Release, method: "DELETE", path: "/holds/" + h.id, timeout: answerTimeout}
		h.did(act{answer: r.question(ctx, q)})
	}
}

// sold is how many units are sold by the orders that were read back.
func (r *rush) sold() (units int64) {
	for _, h := range r.holds() {
		if h.sold() {
			units += h.qty
		}
	}
	return units
}

// reserved bounds the units that may be reserved when a sample was taken, by what was read back: those that surely were
// still held or ordered, and those that may have been. What had expired may not have been swept yet.
func (r *rush) reserved(s Sample) (sure, maybe int64) {
	for _, h := range r.holds() {
		if h.finalHold == nil || h.finalOrder == nil {
			continue
		}
		switch {
		case h.finalHold.body.state() == "active":
			maybe += h.qty
			if s.answer.received < h.earliestEnd() {
				sure += h.qty
			}
		case h.finalOrder.body.state() == "pending_payment":
			maybe += h.qty
			if h.window > 0 && s.answer.received < h.firstSent(isOrder)+h.window-rounding {
				sure += h.qty
			}
		}
	}
	return sure, maybe
}
