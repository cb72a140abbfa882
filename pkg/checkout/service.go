package checkout

import (
	"context"
	"time"
)

// Service is the checkout that the HTTP edge and the sweeper call. Its fields are set once, before use.
type Service struct {
	Ledger        Ledger
	View          StockView
	Recorder      Recorder
	NewID         func() (ID, error) // a new UUIDv7
	HoldTTL       time.Duration
	PaymentWindow time.Duration
	Blocked       *Blocked      // nil: each request of a blocked shopper reaches the ledger
	OrderLimit    time.Duration // how long units may stay reserved without a sign of payment, from the hold on; 0: no limit
}

// Product reads a product, at most two seconds old. Codes: product_not_found, busy.
func (s *Service) Product(ctx context.Context, id string) (Product, error) {
	if !ValidProductID(id) {
		return Product{}, ErrProductNotFound
	}
	found, err := s.View.Lookup(ctx, id, nil)
	if err == nil && found.Product.Hidden {
		return Product{}, ErrProductNotFound
	}
	return found.Product, err
}

// Products lists at most limit public products after the given id, at most two seconds old, and reports whether there are
// more. Codes: busy.
func (s *Service) Products(ctx context.Context, after string, limit int) (public []Product, more bool, err error) {
	for {
		page, err := s.View.Products(ctx, after, limit+1)
		if err != nil {
			return nil, false, err
		}
		for _, p := range page {
			if after = p.ID; !p.Hidden {
				public = append(public, p)
			}
		}
		if len(public) > limit {
			return public[:limit], true, nil
		}
		if len(page) <= limit {
			return public, false, nil
		}
	}
}

// PlaceHold reserves qty units of a product for HoldTTL. If the shopper has placed a hold with this key before, it
// returns that hold and replayed. Codes: those of Ledger.PlaceHold.
func (s *Service) PlaceHold(ctx context.Context, shopper Shopper, productID string, qty int64, key *IdempotencyKey) (h Hold, replayed bool, err error) {
	key = shopper.Key(key)
	seen, refusal, by := s.gate(ctx, shopper, productID, qty, key)
	if refusal != nil {
		s.Recorder.Record(HoldsRefused, 1, string(refusal.Code), by)
		return Hold{}, false, refusal
	}
	id, err := s.NewID()
	if err != nil {
		return Hold{}, false, err
	}
	request := HoldRequest{ID: id, Shopper: shopper, ProductID: productID, Qty: qty, TTL: s.HoldTTL, Key: key}
	if seen != nil {
		request.Price, request.MaxPerShopper = &seen.Price, seen.MaxPerShopper
	}
	receipt, err := s.Ledger.PlaceHold(ctx, request)
	s.Blocked.note(shopper, productID, err)
	granted := key
	if err != nil {
		granted = nil
	}
	s.updateView(ctx, receipt, granted)
	if err != nil {
		s.Recorder.Record(HoldsRefused, 1, string(CodeOf(err)), byLedger)
		return Hold{}, false, err
	}
	if !receipt.Repeated {
		s.Recorder.Record(HoldsPlaced, 1)
	}
	return *receipt.Hold, receipt.Repeated, nil
}

// Hold reads a hold as of now. Codes: hold_not_found, busy.
func (s *Service) Hold(ctx context.Context, by Caller, id ID) (Hold, error) {
	return s.Ledger.Hold(ctx, by, id)
}

// Holds lists at most limit holds of a shopper that were placed before the given one (nil: the latest). next is not nil if
// there are more. Codes: busy.
func (s *Service) Holds(ctx context.Context, shopper Shopper, before *ID, limit int) (holds []Hold, next *ID, err error) {
	holds, err = s.Ledger.HoldsOf(ctx, shopper, orLatest(before), limit+1)
	if err != nil || len(holds) <= limit {
		return holds, nil, err
	}
	return holds[:limit], &holds[limit-1].ID, nil
}

// Orders lists at most limit orders of a shopper, by the time of their holds, as Holds does. A page may be short, or empty,
// with more to follow. Codes: busy.
func (s *Service) Orders(ctx context.Context, shopper Shopper, before *ID, limit int) (orders []Order, next *ID, err error) {
	return s.Ledger.OrdersOf(ctx, shopper, orLatest(before), limit)
}

// orLatest is where a list begins.
func orLatest(before *ID) ID {
	if before != nil {
		return *before
	}
	return lastID
}

// ReleaseHold returns a hold's units to the stock. It changes nothing once the hold has ended. Codes: those of
// Ledger.ReleaseHold.
func (s *Service) ReleaseHold(ctx context.Context, by Caller, id ID) error {
	receipt, err := s.Ledger.ReleaseHold(ctx, by, id)
	s.updateView(ctx, receipt, nil)
	return err
}

// CreateOrder makes the hold's order, or returns the existing one and existed. The first reference that is given stays. Codes: those of
// Ledger.CreateOrder, invalid_request.
func (s *Service) CreateOrder(ctx context.Context, by Caller, hold ID, reference string) (o Order, existed bool, err error) {
	if !ValidReference(reference) {
		return Order{}, false, Invalid("reference", ReferenceRule)
	}
	receipt, err := s.Ledger.CreateOrder(ctx, by, hold, OrderTerms{Window: s.PaymentWindow, Unpaid: s.OrderLimit, Reference: reference})
	s.updateView(ctx, receipt, nil)
	if err != nil {
		return Order{}, false, err
	}
	return *receipt.Order, receipt.Repeated, nil
}

// Order reads an order. Codes: order_not_found, busy.
func (s *Service) Order(ctx context.Context, by Caller, id ID) (Order, error) {
	return s.Ledger.Order(ctx, by, id)
}

// CancelOrder cancels an unpaid order. Codes: those of Ledger.CancelOrder.
func (s *Service) CancelOrder(ctx context.Context, by Caller, id ID) (Order, error) {
	receipt, err := s.Ledger.CancelOrder(ctx, by, id)
	s.updateView(ctx, receipt, nil)
	if err != nil {
		return Order{}, err
	}
	return *receipt.Order, nil
}

// ApplyEvent stores and applies a verified event, once. Events that waited for it are applied as well. Codes:
// event_id_reused, busy.
func (s *Service) ApplyEvent(ctx context.Context, e PaymentEvent) (PaymentReceipt, error) {
	receipt, err := s.Ledger.ApplyEvent(ctx, e, s.PaymentWindow)
	if err != nil {
		return PaymentReceipt{}, err
	}
	s.updateView(ctx, receipt.Receipt, nil)
	s.Recorder.Record(WebhookEvents, 1, e.Provider, string(receipt.Result))
	if receipt.Wakes && receipt.Order != nil {
		receipt.Receipt = s.wake(ctx, receipt.Receipt)
	}
	return receipt, nil
}

// wakeTimeout limits what one delivery waits for other events, one of which may be locked.
const wakeTimeout = time.Second

// wake applies the events that waited for an order's payment, and returns the order's latest state. A failure is left to
// the sweep.
func (s *Service) wake(ctx context.Context, last Receipt) Receipt {
	ctx, cancel := context.WithTimeout(ctx, wakeTimeout)
	defer cancel()
	events, err := s.Ledger.EventsWaitingFor(ctx, last.Order.ID)
	if err != nil {
		return last
	}
	for _, e := range events {
		if r, err := s.retryEvent(ctx, e); err == nil && r.Order != nil && r.Order.ID == last.Order.ID {
			last = r.Receipt
		}
	}
	return last
}

func (s *Service) retryEvent(ctx context.Context, e EventRef) (PaymentReceipt, error) {
	receipt, err := s.Ledger.RetryEvent(ctx, e, s.PaymentWindow)
	if err == nil {
		s.updateView(ctx, receipt.Receipt, nil)
	}
	return receipt, err
}

// RejectEvent keeps a verified event that cannot be read. Codes: busy.
func (s *Service) RejectEvent(ctx context.Context, e RejectedEvent) error {
	return s.Ledger.RejectEvent(ctx, e)
}

// updateView stores the product of a receipt in the stock view. It runs before the response, because a Lambda function
// may be frozen after it.
func (s *Service) updateView(ctx context.Context, r Receipt, granted *IdempotencyKey) {
	if r.Product != nil {
		s.View.Put(ctx, *r.Product, granted)
	}
}
