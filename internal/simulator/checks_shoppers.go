package simulator

import (
	"net/http"
	"time"
)

// reached reports whether a request about another shopper's hold or order got a response other than 404.
func (f foreign) reached() bool {
	return !f.lost() && !f.busy() && f.status != http.StatusInternalServerError && f.status != http.StatusNotFound
}

// checkLimitKept adds up each shopper's units. At every instant it counts those that the shopper certainly had. At the end it counts
// those of its holds and orders as the server shows them.
func (e *evidence) checkLimitKept(c *Check) {
	limit := e.limit()
	if limit == nil {
		return
	}
	for _, b := range e.histories {
		holds := b.holds()
		if len(holds) == 0 {
			continue
		}
		c.looks()
		if most, at, _ := mostTaken(holds); most > *limit {
			c.breaks("the shopper of %s had %d units at %s, the limit is %d", holds[0].id, most, seconds(at), *limit)
		}
		var units int64
		for _, h := range holds {
			if h.finalHold != nil && (h.finalHold.body.state() == "active" || h.finalOrderState() == "pending_payment" || h.sold()) {
				units += h.qty
			}
		}
		if units > *limit {
			c.breaks("the shopper of %s has %d units at the end, the limit is %d", holds[0].id, units, *limit)
		}
	}
}

// checkLimitTrue finds refusals that cannot be right: even with all units that the shopper may have had, it was within the limit.
func (e *evidence) checkLimitTrue(c *Check) {
	limit := e.limit()
	if limit == nil {
		return
	}
	for _, b := range e.histories {
		for _, a := range b.attempts {
			for _, r := range a.responses {
				if r.body.Code != "shopper_limit" {
					continue
				}
				c.looks()
				if had := b.mayHave(r.sent, r.received); had+a.qty <= *limit || r.body.Yours > had || r.body.Limit != *limit {
					c.breaks("key %q: %d more units were refused at %s, when the shopper had at most %d of %d; the response says %d of %d", a.key, a.qty,
						seconds(r.received), had, *limit, r.body.Yours, r.body.Limit)
				}
			}
		}
	}
}

// checkOwn finds requests that reached another shopper's hold or order, and lists that have too much or too little.
func (e *evidence) checkOwn(c *Check) {
	for _, b := range e.histories {
		for _, f := range b.foreign {
			c.looks()
			if f.reached() {
				c.breaks("%s: another shopper got the response %d %s at %s, expected 404", f.request, f.status, f.body.Code, seconds(f.received))
			}
		}
		if len(b.lists) == 0 {
			continue
		}
		c.looks()
		b.checkList(c)
	}
}

func (b *history) checkList(c *Check) {
	own := map[string]time.Duration{}
	for _, h := range b.holds() {
		own[h.id] = h.known
	}
	listed := map[string]bool{}
	for _, list := range b.lists {
		if !list.ok() {
			return // settle counts it as unresolved
		}
		for _, h := range list.body.Data {
			listed[h.ID] = true
			if _, mine := own[h.ID]; !mine {
				c.breaks("%s: it is in the list of a shopper that did not place it", h.ID)
			}
		}
	}
	for id, known := range own {
		if !listed[id] && known < b.lists[0].sent {
			c.breaks("%s: its shopper's list does not have it", id)
		}
	}
}
