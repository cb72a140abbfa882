package simulator

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	settling   = 32   // requests in flight at a time
	maxReplays = 1000 // granted keys that are sent once more
)

// settle resolves unknown outcomes, waits for time limits to pass, and reads everything back.
func (s *simulation) settle(ctx context.Context) {
	s.phase.Store("checking")
	if last := s.lastLost(); last > 0 {
		s.clock.until(ctx, last+s.Quiet)
	}
	s.retryLost(ctx)
	s.findUnknown(ctx)
	due, soon := s.lastDue()
	if soon {
		s.clock.until(ctx, due)
	}
	s.await(ctx, s.TakenBack, func(sample Sample) bool { return !soon || sample.Held == 0 })
	s.readBack(ctx)
	s.tryLeftovers(ctx)
	s.await(ctx, s.TakenBack, func(sample Sample) bool {
		atLeast, atMost := s.reserved(sample)
		return sample.Sold == s.sold() && atLeast <= sample.Held && sample.Held <= atMost
	})
	s.final = s.observer.last()
}

// lastLost is when the last request without a response was given up, 0 if there is none.
func (s *simulation) lastLost() (last time.Duration) {
	s.responses(func(a *response, _ string) {
		if a.lost() {
			last = max(last, a.received)
		}
	})
	return last
}

// retryLost retries requests that got no response, with the same key or event id, and also replays some granted keys.
// It releases a hold that only the retry created.
func (s *simulation) retryLost(ctx context.Context) {
	replays := 0
	var again []*attempt
	for _, a := range s.attempts() {
		if a.key == "" {
			continue // it would place another hold: findUnknown looks for what it placed
		}
		if a.uncertain() {
			again = append(again, a)
		} else if a.hold != nil && replays < maxReplays {
			replays++
			again = append(again, a)
		}
	}
	s.each(ctx, len(again), func(i int) {
		a := again[i]
		unknown := a.hold == nil
		r := s.mustAsk(ctx, s.placeRequest(a))
		// The gate may learn of a granted key a moment later.
		for tries := 0; a.hold != nil && r.body.Code == "sold_out" && tries < 10; tries++ {
			s.clock.until(ctx, s.clock.now()+500*time.Millisecond)
			r = s.mustAsk(ctx, s.placeRequest(a))
		}
		a.add(r)
		if unknown && a.hold != nil && !r.replayed {
			a.hold.add(action{response: s.mustAsk(ctx, a.hold.request(Release))})
		}
	})
	holds := s.holds()
	s.each(ctx, len(holds), func(i int) {
		for _, a := range holds[i].openEvents() {
			a.response = s.mustAsk(ctx, s.delivery(a.event, a.text))
			for tries := 0; a.isStored() && tries < 20; tries++ { // a delivery tries to apply it again
				s.clock.until(ctx, s.clock.now()+500*time.Millisecond)
				a.response = s.mustAsk(ctx, s.delivery(a.event, a.text))
			}
			holds[i].add(a)
		}
	})
}

// openEvents returns one action of each payment event that has no response yet, or was only stored: it may take effect at any time.
func (h *hold) openEvents() (open []action) {
	seen := map[string]bool{}
	for _, a := range h.actions {
		if a.event != "" && a.ok() && !a.isStored() {
			seen[a.event] = true
		}
	}
	for _, a := range h.actions {
		if a.event != "" && !seen[a.event] {
			seen[a.event] = true
			open = append(open, *a)
		}
	}
	return open
}

// mustAsk sends a request whose response the checks need.
func (s *simulation) mustAsk(ctx context.Context, q request) response {
	a := s.ask(ctx, q)
	if a.lost() || a.busy() {
		s.unresolved.Add(1)
	}
	return a
}

// each calls do for 0 to n-1, a limited number at a time, until ctx ends.
func (s *simulation) each(ctx context.Context, n int, do func(i int)) {
	var all errgroup.Group
	all.SetLimit(settling)
	for i := 0; i < n && ctx.Err() == nil; i++ {
		all.Go(func() error { do(i); return nil })
	}
	_ = all.Wait() // no function returns an error
}

// lastDue is when every unpaid hold and order has expired, and whether that is soon enough to wait for.
func (s *simulation) lastDue() (due time.Duration, soon bool) {
	for _, h := range s.holds() {
		if h.paidBy() < forever || h.any(both(isCancel, isOK)) || h.any(both(isRelease, isOK)) {
			continue
		}
		due = max(due, h.latestEnd())
		if by := h.orderedBy(); by < forever {
			due = max(due, by+h.window+rounding)
		}
		// If all responses to an order were lost, the server may have created it as late as the last of them.
		for _, a := range h.actions {
			if isOrder(a) && h.window > 0 {
				due = max(due, a.received+h.window+rounding)
			}
		}
	}
	return due, due-s.clock.now() <= patience
}

// await waits until a new sample shows the expected, for a limited time.
func (s *simulation) await(ctx context.Context, limit time.Duration, expected func(Sample) bool) {
	asked := s.clock.now()
	for ctx.Err() == nil && s.clock.now() < asked+limit {
		if sample := s.observer.last(); sample.response.sent > asked && expected(sample) {
			return
		}
		s.clock.until(ctx, s.clock.now()+50*time.Millisecond)
	}
}

// readBack reads every hold and its order.
func (s *simulation) readBack(ctx context.Context) {
	holds := s.holds()
	s.each(ctx, len(holds), func(i int) {
		hold, order := s.mustAsk(ctx, holds[i].request(LookHold)), s.mustAsk(ctx, holds[i].request(LookOrder))
		holds[i].finalHold, holds[i].finalOrder = &hold, &order
	})
}

// probeName is the name of the shopper that tries the leftovers.
func (s *simulation) probeName() string { return s.Product + "-leftovers" }

// tryLeftovers holds one unit if the server shows any as available, and releases it.
func (s *simulation) tryLeftovers(ctx context.Context) {
	if s.leftovers = s.observer.last(); s.leftovers.Available < 1 {
		return
	}
	s.probe = &attempt{key: s.Product + ":leftovers", token: s.token(s.probeName()), qty: 1}
	s.probe.add(s.mustAsk(ctx, s.placeRequest(s.probe)))
	if h := s.probe.hold; h != nil {
		h.add(action{response: s.mustAsk(ctx, h.request(Release))})
	}
}
