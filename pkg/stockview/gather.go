package stockview

import (
	"errors"
	"sync"

	"flashsale/pkg/checkout"
)

// gatherer lets those who want to read a product's entry while a read of it is under way share the next one: one call of
// the cache serves all who wait. It begins after each of them asked, so nobody gets an older answer than a call of their
// own would have got. A product is read by thousands at once; a call for each was a third of the server's work.
type gatherer struct {
	mu sync.Mutex
	// next is who waits for the end of the read of a product that is under way; nil: nobody does. Without a read there is
	// no entry.
	next map[string]*gathering
}

// gathering is one read, for all who share it.
type gathering struct {
	members []string      // of the set of used keys, that somebody asks for
	turn    chan struct{} // closed when it is the turn of the one who came first, who reads for all
	done    chan struct{} // closed when the answer is there
	seen    shown
	err     error
}

// shown is what one read shows.
type shown struct {
	product *checkout.Product // nil: no entry
	count   int64             // members of the set
	used    []bool            // for each member that was asked for: it is in the set
}

// maxGathered bounds the keys that one read asks for; who comes later reads alone.
const maxGathered = 256

var errGathered = errors.New("the read was given up")

// read returns what the next read of a product shows of a member ("" for none). ask reads.
func (g *gatherer) read(id, member string, ask func(members []string) (shown, error)) (sight, error) {
	g.mu.Lock()
	share, running := g.next[id]
	switch {
	case !running:
		g.next[id] = nil
		g.mu.Unlock()
		share = &gathering{members: membersOf(member), done: make(chan struct{}), err: errGathered}
		g.lead(id, share, ask)
		return share.sight(member, 0)
	case share != nil && len(share.members) == maxGathered:
		g.mu.Unlock()
		alone := &gathering{}
		alone.seen, alone.err = ask(membersOf(member))
		return alone.sight(member, 0)
	}
	first := share == nil
	if first {
		share = &gathering{turn: make(chan struct{}), done: make(chan struct{}), err: errGathered}
		g.next[id] = share
	}
	place := len(share.members)
	share.members = append(share.members, membersOf(member)...)
	g.mu.Unlock()
	if first {
		select {
		case <-share.turn:
			g.mu.Lock()
			g.next[id] = nil // nobody joins any more
			g.mu.Unlock()
			g.lead(id, share, ask)
		case <-share.done:
		}
	}
	<-share.done
	return share.sight(member, place)
}

// lead reads for a gathering and then gives the turn to the next one. When the read failed, the next one fails with it:
// those in it have waited for the cache as long as anybody should.
func (g *gatherer) lead(id string, share *gathering, ask func(members []string) (shown, error)) {
	defer func() { // even if ask panics: nobody waits for ever
		close(share.done)
		g.mu.Lock()
		defer g.mu.Unlock()
		next := g.next[id]
		if next == nil || share.err != nil {
			delete(g.next, id)
		}
		switch {
		case next == nil:
		case share.err != nil:
			next.err = share.err
			close(next.done)
		default:
			close(next.turn)
		}
	}()
	share.seen, share.err = ask(share.members)
}

func membersOf(member string) []string {
	if member == "" {
		return nil
	}
	return []string{member}
}

// sight is what the read shows to the one whose member has a place in it.
func (w *gathering) sight(member string, place int) (sight, error) {
	if w.err != nil {
		return sight{}, w.err
	}
	return sight{
		product: w.seen.product, count: w.seen.count,
		member: member != "" && place < len(w.seen.used) && w.seen.used[place],
	}, nil
}
