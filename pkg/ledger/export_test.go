package ledger

import (
	"context"

	"flashsale/pkg/checkout"
)

// Placed is what became of one hold of a batch.
type Placed struct {
	Receipt checkout.Receipt
	Err     error
	Shared  bool // with place_holds
}

// PlaceTogether places holds as one batch, without the queue.
func (l *Ledger) PlaceTogether(ctx context.Context, requests []checkout.HoldRequest) []Placed {
	g := newHoldGroups(l)
	key, _ := keyOfHold(requests[0])
	var batch []*waiting[checkout.HoldRequest, checkout.Receipt]
	for _, r := range requests {
		batch = append(batch, &waiting[checkout.HoldRequest, checkout.Receipt]{r, make(chan checkout.Receipt, 1)})
	}
	g.send(key, batch)
	all := make([]Placed, len(requests))
	for i, h := range batch {
		if all[i].Receipt, all[i].Shared = <-h.response; !all[i].Shared {
			all[i].Receipt, all[i].Err = l.placeHold(ctx, h.request)
		}
	}
	return all
}
