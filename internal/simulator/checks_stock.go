package simulator

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

// demand is units that were asked for and may have been granted, and when they were first asked for.
type demand struct {
	at  time.Duration
	qty int64
}

// checkSoldOut: a refusal is a lie if all that had been asked for before it came, and may have been granted, left room
// for it. What came back in between is not even counted.
func (r *rush) checkSoldOut(c *Check) {
	attempts := r.attempts()
	if r.probe != nil {
		attempts = append(attempts, r.probe)
	}
	var granted []demand
	for _, a := range attempts {
		if a.hold != nil || a.uncertain() {
			granted = append(granted, demand{a.firstSent(), a.qty})
		}
	}
	slices.SortFunc(granted, func(a, b demand) int { return cmp.Compare(a.at, b.at) })
	sums := make([]int64, len(granted)+1)
	for i, d := range granted {
		sums[i+1] = sums[i] + d.qty
	}
	for _, a := range attempts {
		for i := range a.answers {
			answer := &a.answers[i]
			if answer.body.Code != "sold_out" {
				continue
			}
			c.looks()
			before, _ := slices.BinarySearchFunc(granted, answer.received, func(d demand, at time.Duration) int { return cmp.Compare(d.at, at) })
			if sums[before]+a.qty <= r.Sale.Stock {
				c.breaks("key %s: %d units were refused as sold out at %s, when at most %d of %d had been asked for", a.key, a.qty,
					seconds(answer.received), sums[before], r.Sale.Stock)
			}
		}
	}
}

// edge is where a span of taken units begins or ends.
type edge struct {
	at    time.Duration
	units int64
	span  *span
}

// checkOversold adds up, instant by instant, the units that surely were taken.
func (r *rush) checkOversold(c *Check) {
	var edges []edge
	for _, h := range r.holds() {
		spans := h.taken()
		for i := range spans {
			c.looks()
			edges = append(edges, edge{spans[i].from, h.qty, &spans[i]}, edge{spans[i].to, -h.qty, &spans[i]})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.units, b.units)) })
	var taken, most int64
	worst := time.Duration(0)
	for _, e := range edges {
		if taken += e.units; taken > most {
			most, worst = taken, e.at
		}
	}
	if most <= r.Sale.Stock {
		return
	}
	var who []string
	for _, e := range edges {
		if e.units > 0 && e.at <= worst && e.span.to > worst {
			who = append(who, e.span.hold.id)
		}
	}
	c.breaks("at %s the shoppers had %d units of %d, in %d holds, the latest of them: %s", seconds(worst), most, r.Sale.Stock, len(who),
		strings.Join(who[max(len(who)-maxEvidence, 0):], ", "))
}

// consistent reports whether a product's counters agree with each other.
func consistent(b body) bool {
	return b.Available != nil && *b.Available >= 0 && b.Reserved >= 0 && b.Sold >= 0 && *b.Available+b.Reserved+b.Sold == b.Stock
}

func (r *rush) checkAddsUp(c *Check) {
	see := func(a *answer) {
		c.looks()
		if a.status != http.StatusOK || a.body.Available == nil {
			return
		}
		if b := a.body; !consistent(b) || b.Stock != r.Sale.Stock {
			c.breaks("at %s: %d available + %d reserved + %d sold, stock %d, put on sale %d", seconds(a.received), *b.Available, b.Reserved, b.Sold, b.Stock, r.Sale.Stock)
		}
	}
	for _, s := range r.observer.all() {
		see(&s.answer)
	}
	for _, b := range r.books {
		c.LookedAt += b.looked - len(b.looks)
		for i := range b.looks {
			see(&b.looks[i])
		}
	}
}

// stale is how old a read may be: two seconds by the contract, and as much again and one more for a machine that
// stumbles between reading and answering.
const stale = 5 * time.Second

// checkFresh: a version that was seen must not be undercut once it is older than a read may be.
func (r *rush) checkFresh(c *Check) {
	samples := r.observer.all()
	var seen int64 // the highest version of the samples that are old enough
	next := 0
	for i := range samples {
		a := &samples[i].answer
		c.looks()
		for ; next < i && samples[next].answer.received < a.sent-stale; next++ {
			seen = max(seen, samples[next].answer.version)
		}
		if a.version < seen {
			c.breaks("at %s the product had version %d, %s after version %d had been seen", seconds(a.received), a.version, stale, seen)
		}
	}
}

func (r *rush) checkSold(c *Check) {
	for _, h := range r.holds() {
		if h.sold() {
			c.looks()
		}
	}
	if sold := r.sold(); r.counters.Sold != sold {
		c.breaks("%s: sold_stock is %d, the paid orders have %d units", r.product, r.counters.Sold, sold)
	}
}

func (r *rush) checkReserved(c *Check) {
	c.LookedAt += len(r.holds())
	sure, maybe := r.reserved(r.counters)
	if held := r.counters.Held; held < sure || held > maybe {
		c.breaks("%s: reserved_stock is %d, expected %d to %d by the holds and orders that the server has", r.product, held, sure, maybe)
	}
}

func (r *rush) checkLeftovers(c *Check) {
	if r.probe == nil {
		return
	}
	c.looks()
	if r.probe.hold == nil && !r.probe.uncertain() {
		last := r.probe.answers[len(r.probe.answers)-1]
		c.breaks("%s: %d units are available, but one more hold was answered %s", r.product, r.left.Available, last.word())
	}
}
