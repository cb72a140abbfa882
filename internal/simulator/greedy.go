package simulator

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// greedyAtOnce is how many holds a greedy shopper asks for at the same instant. All but one are for one unit, so that
// together they can have exactly the limit.
const greedyAtOnce = maxPerShopper + 3

// grab is the visit of a greedy shopper. It asks for many holds at once, again and again, and tries to use others' holds. It
// releases its first hold, takes more, pays for all of them, and at last pays for the one that it has released.
func (v *visit) grab(ctx context.Context) {
	v.manyHolds(ctx, 0)
	v.think()
	v.tryOthers(ctx)
	v.think()
	v.manyHolds(ctx, 1)
	own := v.history.holds()
	if len(own) == 0 {
		return
	}
	v.do(ctx, own[0], Release)
	v.manyHolds(ctx, 2)
	for i, h := range v.history.holds() {
		if h != own[0] && v.do(ctx, h, Order) {
			v.pay(ctx, h, i, succeeded, 0)
		}
	}
	v.pay(ctx, own[0], 0, succeeded, 0)
	v.tryOthers(ctx)
}

// manyHolds asks for holds at the same instant, each over a connection of its own. Half of the requests have a key.
func (v *visit) manyHolds(ctx context.Context, round int) {
	var all sync.WaitGroup
	for i := range greedyAtOnce {
		a := v.attempt(1, "")
		if i == 0 {
			a.qty = v.plan.Qty
		}
		if i%2 == 0 {
			a.key = v.plan.key(v.Product, round*greedyAtOnce+i)
		}
		other := *v // each request has its own due time
		all.Go(func() { other.placeOne(ctx, a) })
	}
	all.Wait()
	v.due = v.clock.now()
}

// placeOne is place, but it never repeats a request without a key: that would be another hold.
func (v *visit) placeOne(ctx context.Context, a *attempt) {
	if a.key != "" {
		v.place(ctx, a)
	} else {
		due := v.due
		a.add(v.once(ctx, v.placeRequest(a), due))
		v.meter.step(Place, v.clock.now()-due)
	}
	if a.hold != nil {
		v.recent.add(a)
	}
}

// tryOthers tries the latest holds of other shoppers, their orders and their keys.
func (v *visit) tryOthers(ctx context.Context) {
	for _, other := range v.recent.others(v.history.token) {
		for _, op := range []Operation{LookHold, Order, LookOrder, Cancel, Release} {
			r := other.hold.requestBy(op, v.history.token)
			r.op = Foreign
			v.step(ctx, r, func(a response) {
				v.history.foreign = append(v.history.foreign, foreign{a, r.method + " " + r.path})
			})
		}
		used := func(a *attempt) bool { return a.key == other.key } // an own key by now: its hold is the shopper's
		if other.key != "" && !slices.ContainsFunc(v.history.attempts, used) {
			v.placeOne(ctx, v.attempt(other.qty, other.key))
		}
	}
}

// recentHolds are the latest attempts that got a hold, for shoppers that try others' holds.
type recentHolds struct {
	mu       sync.Mutex
	attempts []*attempt
}

// maxRecent is enough to find other shoppers' holds after one shopper placed many.
const maxRecent = 8 * greedyAtOnce

func (r *recentHolds) add(a *attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts = append(r.attempts[max(0, len(r.attempts)+1-maxRecent):], a)
}

// others returns the two latest attempts that are not of the given shopper.
func (r *recentHolds) others(token string) (found []*attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.attempts) - 1; i >= 0 && len(found) < 2; i-- {
		if r.attempts[i].token != token {
			found = append(found, r.attempts[i])
		}
	}
	return found
}

// token signs a shopper in.
func (s *simulation) token(name string) string {
	if s.SignIn == nil {
		return ""
	}
	return s.SignIn(name)
}

// limit is the product's limit per shopper. Without sign-in a product cannot have one.
func (e *evidence) limit() *int64 {
	if e.SignIn == nil {
		return nil
	}
	limit := int64(maxPerShopper)
	return &limit
}

// maxLists is how many shoppers' lists are read, besides those of all greedy ones.
const maxLists = 200

func listRequest(token, cursor string) request {
	return request{op: ListHolds, method: http.MethodGet, path: "/holds?limit=100&cursor=" + cursor, token: token}
}

// findUnknown reads shoppers' own lists, and finds the holds whose responses were lost and that no key can find. It
// releases them.
func (s *simulation) findUnknown(ctx context.Context) {
	var read []*history
	for i, b := range s.histories {
		if b.token != "" && (b.greedy || i < maxLists) {
			read = append(read, b)
		}
	}
	s.each(ctx, len(read), func(i int) {
		b := read[i]
		for cursor, more := "", true; more; {
			r := s.mustAsk(ctx, listRequest(b.token, cursor))
			b.lists = append(b.lists, r)
			cursor, more = r.body.NextCursor, r.body.NextCursor != ""
		}
		for _, h := range b.adopt() {
			h.add(action{response: s.mustAsk(ctx, h.request(Release))})
		}
	})
}

// adopt gives listed holds that no response has shown to attempts without a key whose outcome is unknown. Which of several
// attempts placed a hold cannot be seen: it may have been the first of them.
func (b *history) adopt() (found []*hold) {
	known := map[string]bool{}
	for _, h := range b.holds() {
		known[h.id] = true
	}
	for _, list := range b.lists {
		for _, listed := range list.body.Data {
			if known[listed.ID] {
				continue
			}
			var placed *attempt
			asked := forever
			for _, a := range b.attempts {
				if a.key == "" && a.qty == listed.Qty && a.uncertain() {
					placed, asked = a, min(asked, a.firstSent())
				}
			}
			if placed == nil {
				continue // checkOwn finds it
			}
			placed.hold = &hold{
				id: listed.ID, token: b.token, qty: listed.Qty, ttl: listed.ExpiresAt.Sub(listed.CreatedAt), asked: asked, known: list.received, granted: listed,
			}
			found = append(found, placed.hold)
		}
	}
	return found
}

// Greedy is what the greedy shoppers did, and what they got.
type Greedy struct {
	Shoppers  int   `json:"shoppers"`
	Limit     int64 `json:"max_per_shopper"` // 0: the shoppers were anonymous, and none was greedy
	Asked     int   `json:"requests_for_holds"`
	Refused   int   `json:"refused_by_the_limit"`
	Holds     int   `json:"holds"`
	MostUnits int64 `json:"most_units_of_one"` // at one instant
	Kept      int64 `json:"units_bought"`
	Foreign   int   `json:"requests_about_others"`
	Reached   int   `json:"others_reached"` // of these, those that did not get 404
}

// greed sums up the greedy shoppers.
func (e *evidence) greed() (g Greedy) {
	if limit := e.limit(); limit != nil {
		g.Limit = *limit
	}
	for _, b := range e.histories {
		if !b.greedy {
			continue
		}
		g.Shoppers++
		for _, a := range b.attempts {
			g.Asked += len(a.responses)
			for _, r := range a.responses {
				if r.body.Code == "shopper_limit" {
					g.Refused++
				}
			}
		}
		for _, h := range b.holds() {
			g.Holds++
			if h.sold() {
				g.Kept += h.qty
			}
		}
		most, _, _ := mostTaken(b.holds())
		g.MostUnits = max(g.MostUnits, most)
		g.Foreign += len(b.foreign)
		for _, f := range b.foreign {
			if f.reached() {
				g.Reached++
			}
		}
	}
	return g
}

// mayHave is the most units that a shopper may have had while a request of it was under way. It counts all earlier requests that may
// have got units, except the units that had certainly come back.
func (b *history) mayHave(sent, received time.Duration) (units int64) {
	for _, a := range b.attempts {
		if (a.hold != nil || a.uncertain()) && a.firstSent() <= received && (a.hold == nil || !a.hold.returnedBefore(sent, received)) {
			units += a.qty
		}
	}
	return units
}

// returnedBefore reports whether the units had certainly come back before an instant, and no payment took them again until
// another.
func (h *hold) returnedBefore(at, until time.Duration) bool {
	return h.firstSent(isSuccess) > until &&
		h.any(func(a *action) bool { return (isRelease(a) || isCancel(a)) && a.ok() && a.received < at })
}
