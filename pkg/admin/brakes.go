package admin

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// Selection selects holds to release or orders to cancel: by their ids, or with a filter.
type Selection struct {
	IDs    []string                  `json:"ids,omitempty"` // at most MaxEnded
	Filter *ledger.ReservationFilter `json:"filter,omitempty"`
}

// Ended is what one call released or cancelled.
type Ended struct {
	IDs     []string  `json:"ids"`
	Units   int64     `json:"units"`          // of IDs
	Earlier []string  `json:"earlier"`        // had ended before
	Refused []Refusal `json:"refused"`        // such as a hold that was ordered meanwhile
	Left    int64     `json:"left,omitempty"` // more that the filter selects: call again
}

// Refusal is a hold or an order that could not be ended.
type Refusal struct {
	ID     string        `json:"id"`
	Code   checkout.Code `json:"code"`
	Detail string        `json:"detail"`
}

// Block is what blocking a shopper did.
type Block struct {
	Again  bool  `json:"again"`            // the shopper was blocked before
	Unseen bool  `json:"unseen,omitempty"` // no hold of the shopper is known; the id may be misspelt
	Holds  Ended `json:"holds"`
	Orders Ended `json:"orders"`
}

const (
	// MaxEnded limits the holds or orders of one call, and with them the ids in one line of the log.
	MaxEnded = 500
	// enders is how many of them end at a time. All of one product wait for its row anyway.
	enders = 4
)

// ending is one way to end a reservation.
type ending struct {
	kind  ledger.ReservationKind
	parse func(string) (checkout.ID, bool)
	field string
	end   func(context.Context, checkout.Caller, checkout.ID) (checkout.Receipt, error)
}

// ReleaseHolds implements Operator.
func (l Local) ReleaseHolds(ctx context.Context, s Selection) (Ended, error) {
	return l.end(ctx, s, ending{ledger.ReservedByHold, checkout.ParseHoldID, "hold_id", l.ReleaseHold})
}

// CancelOrders implements Operator.
func (l Local) CancelOrders(ctx context.Context, s Selection) (Ended, error) {
	return l.end(ctx, s, ending{ledger.ReservedByOrder, checkout.ParseOrderID, "order_id", l.CancelOrder})
}

func (l Local) end(ctx context.Context, s Selection, e ending) (done Ended, err error) {
	if (s.Filter == nil) == (len(s.IDs) == 0) {
		return done, checkout.Invalid("selection", "expected ids or a filter")
	}
	if f := s.Filter; f != nil && f.ProductID == "" && f.Shopper == "" && f.OlderThan == 0 && f.PlacedBy == nil {
		return done, checkout.Invalid("filter", "expected a product, a shopper or an age, so that no request ends everything by mistake")
	}
	if len(s.IDs) > MaxEnded {
		return done, checkout.Invalid("ids", fmt.Sprintf("expected at most %d", MaxEnded))
	}
	var left int64
	if s.Filter != nil {
		f := *s.Filter
		f.Kind = e.kind
		found, err := l.Reservations(ctx, f, MaxEnded)
		if err != nil {
			return done, err
		}
		for _, r := range found.Entries {
			s.IDs = append(s.IDs, r.ID)
		}
		left = found.More()
	}
	ids := make([]checkout.ID, len(s.IDs))
	for i, text := range s.IDs {
		var ok bool
		if ids[i], ok = e.parse(text); !ok {
			return done, checkout.Invalid(e.field, fmt.Sprintf("expected an id such as %s, got %q", e.example(), text))
		}
	}
	done, err = endAll(ctx, s.IDs, ids, e)
	done.Left = left
	return done, err
}

func (e ending) example() string {
	if e.kind == ledger.ReservedByHold {
		return "hold_01h455vb4pex5vsknk084sn02q"
	}
	return "ord_01h455vb4pex5vsknk084sn02q"
}

// endAll ends each reservation. A failure stops it, and it then returns what it has done so far.
func endAll(ctx context.Context, texts []string, ids []checkout.ID, e ending) (Ended, error) {
	type outcome struct {
		receipt checkout.Receipt
		refusal *checkout.Error
		known   bool
	}
	outcomes := make([]outcome, len(ids))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(enders)
	for i, id := range ids {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			receipt, err := e.end(ctx, checkout.Caller{Operator: true}, id)
			var refusal *checkout.Error
			if err != nil && (!errors.As(err, &refusal) || refusal.Code == checkout.CodeBusy) {
				return err
			}
			outcomes[i] = outcome{receipt, refusal, true}
			return nil
		})
	}
	err := group.Wait()
	done := Ended{IDs: []string{}, Earlier: []string{}, Refused: []Refusal{}}
	for i, o := range outcomes {
		switch {
		case !o.known:
		case o.refusal != nil:
			done.Refused = append(done.Refused, Refusal{texts[i], o.refusal.Code, o.refusal.Detail})
		case o.receipt.Repeated:
			done.Earlier = append(done.Earlier, texts[i])
		default:
			done.IDs = append(done.IDs, texts[i])
			done.Units += o.receipt.Hold.Qty
		}
	}
	return done, err
}

// EndSale implements Operator. It reads the product first: the sale ends at the time of that read.
func (l Local) EndSale(ctx context.Context, id string) (p checkout.Product, changed bool, err error) {
	if p, err = l.existing(ctx, id); err != nil {
		return p, false, err
	}
	switch {
	case p.SaleEndsAt != nil && !p.AsOf.Before(*p.SaleEndsAt):
		return p, false, nil
	case p.SaleStartsAt != nil && !p.SaleStartsAt.Before(p.AsOf):
		return p, false, checkout.Invalid("product", fmt.Sprintf("expected a sale that has started: that of %s starts at %s; hide the product instead",
			id, p.SaleStartsAt.Format(time.RFC3339)))
	}
	p, _, err = l.Ledger.PutProduct(ctx, checkout.ProductChange{ID: id, SaleEndsAt: &checkout.Moment{At: &p.AsOf}})
	return p, err == nil, err
}

// HideProduct implements Operator.
func (l Local) HideProduct(ctx context.Context, id string, hidden bool) (p checkout.Product, changed bool, err error) {
	if p, err = l.existing(ctx, id); err != nil || p.Hidden == hidden {
		return p, false, err
	}
	p, _, err = l.Ledger.PutProduct(ctx, checkout.ProductChange{ID: id, Hidden: &hidden})
	return p, err == nil, err
}

// DeleteProduct implements Operator.
func (l Local) DeleteProduct(ctx context.Context, id string) error {
	if !checkout.ValidProductID(id) {
		return checkout.ErrProductNotFound
	}
	return l.Ledger.DeleteProduct(ctx, id)
}

// existing reads a product that a change must not create.
func (l Local) existing(ctx context.Context, id string) (checkout.Product, error) {
	if !checkout.ValidProductID(id) {
		return checkout.Product{}, checkout.ErrProductNotFound
	}
	return l.Product(ctx, id)
}

// lastID is after every id.
var lastID = checkout.ID(bytes.Repeat([]byte{0xff}, len(checkout.ID{})))

// BlockShopper implements Operator. Blocking comes first, so that nothing new takes the place of what is released. A hold that
// is being placed meanwhile may still succeed.
func (l Local) BlockShopper(ctx context.Context, shopper checkout.Shopper) (b Block, err error) {
	if b.Again, err = l.Blocked(ctx, shopper); err != nil {
		return b, err
	}
	if err := l.setBlocked(ctx, shopper, true); err != nil {
		return b, err
	}
	seen, err := l.HoldsOf(ctx, shopper, lastID, 1)
	if err != nil {
		return b, err
	}
	b.Unseen = len(seen) == 0
	all := Selection{Filter: &ledger.ReservationFilter{Shopper: shopper.String()}}
	if b.Holds, err = l.ReleaseHolds(ctx, all); err != nil {
		return b, err
	}
	b.Orders, err = l.CancelOrders(ctx, all)
	return b, err
}

// UnblockShopper implements Operator.
func (l Local) UnblockShopper(ctx context.Context, shopper checkout.Shopper) (changed bool, err error) {
	blocked, err := l.Blocked(ctx, shopper)
	if err != nil || !blocked {
		return false, err
	}
	err = l.setBlocked(ctx, shopper, false)
	return err == nil, err
}

func (l Local) setBlocked(ctx context.Context, shopper checkout.Shopper, blocked bool) error {
	if shopper.Anonymous() {
		return checkout.Invalid("shopper", "expected a shopper who has signed in")
	}
	return l.Ledger.BlockShopper(ctx, shopper, blocked, cmp.Or(l.Who(ctx), unknownOperator))
}
