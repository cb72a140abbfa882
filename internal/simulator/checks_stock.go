package simulator

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

// demand is units that may have been granted, and the first request for them.
type demand struct {
	at  time.Duration
	qty int64
}

// checkSoldOut: a refusal is wrong if the units of all earlier requests that may have been granted leave room for this
// one. Units that returned in between do not count.
func (e *evidence) checkSoldOut(c *Check) {
	attempts := e.attemptsAndProbe()
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
		for _, r := range a.responses {
			if r.body.Code != "sold_out" {
				continue
			}
			c.looks()
			before, _ := slices.BinarySearchFunc(granted, r.received, func(d demand, at time.Duration) int { return cmp.Compare(d.at, at) })
			if sums[before]+a.qty <= e.Sale.Stock {
				c.breaks("key %s: %d units were refused as sold out at %s, when at most %d of %d were taken", a.key, a.qty,
					seconds(r.received), sums[before], e.Sale.Stock)
			}
		}
	}
}

// edge is where a span begins (units > 0) or ends.
type edge struct {
	at    time.Duration
	units int64
	span  *span
}

// mostTaken adds up, instant by instant, the units that were certainly taken. It returns the most and when that was.
func mostTaken(holds []*hold) (most int64, at time.Duration, edges []edge) {
	for _, h := range holds {
		spans := h.taken()
		for i := range spans {
			edges = append(edges, edge{spans[i].from, h.qty, &spans[i]}, edge{spans[i].to, -h.qty, &spans[i]})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.units, b.units)) })
	var taken int64
	for _, e := range edges {
		if taken += e.units; taken > most {
			most, at = taken, e.at
		}
	}
	return most, at, edges
}

func (e *evidence) checkOversold(c *Check) {
	most, worst, edges := mostTaken(e.holds())
	c.LookedAt += len(edges) / 2
	if most <= e.Sale.Stock {
		return
	}
	var holds []string
	for _, e := range edges {
		if e.units > 0 && e.at <= worst && e.span.to > worst {
			holds = append(holds, e.span.hold.id)
		}
	}
	c.breaks("at %s the shoppers had %d units of %d, in %d holds; the latest are %s", seconds(worst), most, e.Sale.Stock, len(holds),
		strings.Join(holds[max(len(holds)-maxEvidence, 0):], ", "))
}

// consistent reports whether a product's counters add up.
func consistent(b body) bool {
	return b.Available != nil && *b.Available >= 0 && b.Reserved >= 0 && b.Sold >= 0 && *b.Available+b.Reserved+b.Sold == b.Stock
}

func (e *evidence) checkAddsUp(c *Check) {
	see := func(a *response) {
		c.looks()
		if a.status != http.StatusOK || a.body.Available == nil {
			return
		}
		if b := a.body; !consistent(b) || b.Stock != e.Sale.Stock {
			c.breaks("at %s: %d available + %d reserved + %d sold, stock %d, expected stock %d", seconds(a.received), *b.Available, b.Reserved, b.Sold, b.Stock, e.Sale.Stock)
		}
	}
	for i := range e.samples {
		see(&e.samples[i].response)
	}
	for _, b := range e.histories {
		c.LookedAt += b.looks - len(b.badLooks)
		for i := range b.badLooks {
			see(&b.badLooks[i])
		}
	}
}

// maxAge is how old a read may be: two seconds by the contract, and three more for a slow machine.
const maxAge = 5 * time.Second

// checkFresh finds reads with a lower version than another read showed more than maxAge before.
func (e *evidence) checkFresh(c *Check) {
	var seen int64 // the highest version of the samples that are old enough
	next := 0
	for i := range e.samples {
		a := &e.samples[i].response
		c.looks()
		for ; next < i && e.samples[next].response.received < a.sent-maxAge; next++ {
			seen = max(seen, e.samples[next].response.version)
		}
		if a.version < seen {
			c.breaks("at %s the product had version %d, but a read %s before had version %d", seconds(a.received), a.version, maxAge, seen)
		}
	}
}

// sold is how many units the orders at the end have sold.
func (e *evidence) sold() (units int64) {
	for _, h := range e.holds() {
		if h.sold() {
			units += h.qty
		}
	}
	return units
}

func (e *evidence) checkSold(c *Check) {
	for _, h := range e.holds() {
		if h.sold() {
			c.looks()
		}
	}
	if sold := e.sold(); e.final.Sold != sold {
		c.breaks("%s: sold_stock is %d, the paid orders have %d units", e.Product, e.final.Sold, sold)
	}
}

// reserved bounds the units that were reserved at a sample. The upper bound includes holds and orders that have expired
// since they were read back, because the sweep may not have freed them yet.
func (e *evidence) reserved(s Sample) (atLeast, atMost int64) {
	for _, h := range e.holds() {
		if h.finalHold == nil || h.finalOrder == nil {
			continue
		}
		switch {
		case h.finalHold.body.state() == "active":
			atMost += h.qty
			if s.response.received < h.earliestEnd() {
				atLeast += h.qty
			}
		case h.finalOrderState() == "pending_payment":
			atMost += h.qty
			if h.window > 0 && s.response.received < h.firstSent(isOrder)+h.window-rounding {
				atLeast += h.qty
			}
		}
	}
	return atLeast, atMost
}

func (e *evidence) checkReserved(c *Check) {
	c.LookedAt += len(e.holds())
	atLeast, atMost := e.reserved(e.final)
	if held := e.final.Held; held < atLeast || held > atMost {
		c.breaks("%s: reserved_stock is %d, expected %d to %d by the holds and orders", e.Product, held, atLeast, atMost)
	}
}

func (e *evidence) checkLeftovers(c *Check) {
	if e.probe == nil {
		return
	}
	c.looks()
	if e.probe.hold == nil && !e.probe.uncertain() {
		last := e.probe.responses[len(e.probe.responses)-1]
		c.breaks("%s: %d units are available, but a request for one got the response %s", e.Product, e.leftovers.Available, last.outcome())
	}
}
