package ledger

import (
	"context"
	"slices"
	"time"

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
	key, _ := keyOfHold(requests[0])
	all := make([]Placed, len(requests))
	for i, r := range sendTogether(newHoldGroups(l), key, requests) {
		got, err := r.response, error(nil)
		if all[i].Shared = r.shared; !r.shared {
			got, err = l.placeHold(ctx, requests[i])
		}
		if err == nil {
			all[i].Receipt, err = holdReceipt(got)
		}
		all[i].Err = err
	}
	return all
}

// Applied is what became of one event of a batch.
type Applied struct {
	Receipt checkout.PaymentReceipt
	Err     error
	Shared  bool // with apply_payments
}

// ApplyTogether applies events of one product, without the queue: those that may share a call with the first one as one batch,
// and then the others, each alone.
func (l *Ledger) ApplyTogether(ctx context.Context, product string, events []checkout.PaymentEvent, window time.Duration) []Applied {
	g := newPaymentGroups(l)
	first, _ := keyOfPayment(delivery{events[0], window, product})
	var batch []delivery
	var positions []int
	for i, e := range events {
		d := delivery{e, window, product}
		key, ok := keyOfPayment(d)
		if ok && key == first && !slices.ContainsFunc(batch, func(other delivery) bool { return g.conflict(key, &other, &d) }) {
			batch, positions = append(batch, d), append(positions, i)
		}
	}
	all := make([]Applied, len(events))
	for n, r := range sendTogether(g, first, batch) {
		if i := positions[n]; r.shared {
			all[i].Receipt, all[i].Err = eventReceipt(r.response)
			all[i].Shared = true
		}
	}
	for i, e := range events {
		if !all[i].Shared {
			all[i].Receipt, all[i].Err = l.applyAlone(ctx, e, window)
		}
	}
	return all
}

// applyAlone is ApplyEvent without the queue.
func (l *Ledger) applyAlone(ctx context.Context, e checkout.PaymentEvent, window time.Duration) (checkout.PaymentReceipt, error) {
	alone := &Ledger{Role: l.Role, db: l.db, lanes: l.lanes, rec: l.rec}
	return alone.ApplyEvent(ctx, e, window)
}

type sent[R any] struct {
	response R
	shared   bool
}

func sendTogether[K comparable, Q, R any](g *groups[K, Q, R], key K, requests []Q) []sent[R] {
	var batch []*waiting[Q, R]
	for _, r := range requests {
		batch = append(batch, &waiting[Q, R]{r, make(chan R, 1)})
	}
	g.send(key, batch)
	all := make([]sent[R], len(batch))
	for i, w := range batch {
		all[i].response, all[i].shared = <-w.response
	}
	return all
}
