package checkout

import (
	"context"
	"errors"
	"time"
)

// Service is a flash sale's checkout: what the HTTP edge and the sweeper call. Its fields are set once, before use.
type Service struct {
	Ledger        Ledger
	View          StockView
	Recorder      Recorder
	NewID         func() (ID, error) // a new UUIDv7
	HoldTTL       time.Duration
	PaymentWindow time.Duration
}

// Product reads a product, at most two seconds old. Codes: product_not_found, busy.
func (s *Service) Product(ctx context.Context, id string) (Product, error) {
	if !ValidProductID(id) {
		return Product{}, ErrProductNotFound
	}
	p, _, err := s.View.Look(ctx, id, nil)
	return p, err
}

// Products lists at most limit products after the given id, and whether there are more. Codes: busy.
func (s *Service) Products(ctx context.Context, after string, limit int) ([]Product, bool, error) {
	products, err := s.Ledger.Products(ctx, after, limit+1)
	if err != nil || len(products) <= limit {
		return products, false, err
	}
	return products[:limit], true, nil
}

// PlaceHold reserves qty units of a product for HoldTTL. With a key that placed a hold before, it returns that hold
// and replayed. Codes: those of Ledger.PlaceHold.
//
// What the stock view shows to be impossible is refused without the ledger: that is the gate, and it only refuses.
// A key that may have placed a hold goes past it, since its hold is there whatever has been sold since.
func (s *Service) PlaceHold(ctx context.Context, productID string, qty int64, key *IdempotencyKey) (h Hold, replayed bool, err error) {
	seen, refusal, err := s.gate(ctx, productID, qty, key)
	if refusal != nil {
		s.Recorder.Record(HoldsRefused, 1, string(refusal.Code), "gate")
		return Hold{}, false, refusal
	}
	if CodeOf(err) == CodeProductNotFound {
		s.Recorder.Record(HoldsRefused, 1, string(CodeProductNotFound), "gate")
		return Hold{}, false, err
	}
	// Any other failure of the gate is no reason to refuse: the ledger decides, and says what is wrong with it.

	id, err := s.NewID()
	if err != nil {
		return Hold{}, false, err
	}
	receipt, err := s.Ledger.PlaceHold(ctx, HoldRequest{ID: id, ProductID: productID, Qty: qty, TTL: s.HoldTTL, Key: key, Price: seen})
	granted := key
	if err != nil {
		granted = nil
	}
	s.show(ctx, receipt, granted)
	if err != nil {
		s.Recorder.Record(HoldsRefused, 1, string(CodeOf(err)), "ledger")
		return Hold{}, false, err
	}
	if !receipt.Repeated {
		s.Recorder.Record(HoldsPlaced, 1)
	}
	return *receipt.Hold, receipt.Repeated, nil
}

// gate returns a refusal if the stock view shows that the ledger would refuse, and the price that it shows if that can
// be one: the view may lie.
func (s *Service) gate(ctx context.Context, productID string, qty int64, key *IdempotencyKey) (*Money, *Error, error) {
	p, unused, err := s.View.Look(ctx, productID, key)
	if err != nil {
		return nil, nil, err
	}
	refusal := p.Refuses(qty)
	if refusal == nil && p.Price.isPrice() {
		return &p.Price, nil, nil
	}
	if refusal == nil || key == nil || unused {
		return nil, refusal, nil
	}
	if used, err := s.Ledger.KeyUsed(ctx, *key); err != nil || used {
		return nil, nil, err
	}
	return nil, refusal, nil
}

// Hold reads a hold as of now. Codes: hold_not_found, busy.
func (s *Service) Hold(ctx context.Context, id ID) (Hold, error) { return s.Ledger.Hold(ctx, id) }

// ReleaseHold gives a hold's units back; once it has ended, nothing changes. Codes: those of Ledger.ReleaseHold.
func (s *Service) ReleaseHold(ctx context.Context, id ID) error {
	receipt, err := s.Ledger.ReleaseHold(ctx, id)
	s.show(ctx, receipt, nil)
	return err
}

// CreateOrder makes the hold's order, or returns it and existed. Codes: those of Ledger.CreateOrder.
func (s *Service) CreateOrder(ctx context.Context, hold ID) (o Order, existed bool, err error) {
	receipt, err := s.Ledger.CreateOrder(ctx, hold, s.PaymentWindow)
	s.show(ctx, receipt, nil)
	if err != nil {
		return Order{}, false, err
	}
	return *receipt.Order, receipt.Repeated, nil
}

// Order reads an order. Codes: order_not_found, busy.
func (s *Service) Order(ctx context.Context, id ID) (Order, error) { return s.Ledger.Order(ctx, id) }

// CancelOrder cancels an unpaid order. Codes: those of Ledger.CancelOrder.
func (s *Service) CancelOrder(ctx context.Context, id ID) (Order, error) {
	receipt, err := s.Ledger.CancelOrder(ctx, id)
	s.show(ctx, receipt, nil)
	if err != nil {
		return Order{}, err
	}
	return *receipt.Order, nil
}

// ApplyPayment does what a verified event says, once. Codes: busy.
func (s *Service) ApplyPayment(ctx context.Context, e PaymentEvent) (PaymentOutcome, error) {
	receipt, err := s.Ledger.ApplyPayment(ctx, e, s.PaymentWindow)
	if err != nil {
		return PaymentOutcome{}, err
	}
	s.show(ctx, receipt.Receipt, nil)
	s.Recorder.Record(WebhookEvents, 1, e.Provider, string(receipt.Result))
	return PaymentOutcome{Result: receipt.Result, Order: receipt.Order}, nil
}

// show puts what a ledger call left behind into the stock view, before the request is answered: work after the
// answer may never run.
func (s *Service) show(ctx context.Context, r Receipt, granted *IdempotencyKey) {
	if r.Product != nil {
		s.View.Put(ctx, *r.Product, granted)
	}
}

// Limits of one sweep: what a round of it can touch is bounded, the next round does the rest.
const (
	sweepProducts = 1000
	sweepBatch    = 2000
	sweepEvents   = 100
	maxBadRows    = 100 // rows of one product that cannot be moved, before the sweep leaves it

	// UnmatchedRetryFor is how long the sweep tries an unmatched event again; then the audit keeps showing it.
	UnmatchedRetryFor = time.Hour
)

// Sweep takes back the stock of everything that is due and tries unmatched events again. What cannot be swept does
// not keep the rest from it; the errors are joined. Two sweeps at once do no harm.
func (s *Service) Sweep(ctx context.Context) error {
	products, err := s.Ledger.DueProducts(ctx, sweepProducts)
	errs := []error{err}
	for _, id := range products {
		if ctx.Err() != nil {
			break
		}
		errs = append(errs, s.sweepProduct(ctx, id))
	}
	errs = append(errs, s.retryUnmatched(ctx))
	err = errors.Join(errs...)
	result := "ok"
	if err != nil {
		result = "failed"
	}
	s.Recorder.Record(SweepRuns, 1, result)
	return err
}

// sweepProduct sweeps one product in batches of holds and orders together. When a batch fails, the two are swept one
// after the other instead, carefully.
func (s *Service) sweepProduct(ctx context.Context, id string) error {
	err := s.sweepBatches(ctx, id, DueBatch{Holds: sweepBatch, Orders: sweepBatch})
	if err == nil || CodeOf(err) != "" {
		return err
	}
	return errors.Join(
		s.sweepAround(ctx, id, DueBatch{Holds: sweepBatch}),
		s.sweepAround(ctx, id, DueBatch{Orders: sweepBatch}))
}

// sweepBatches sweeps until a batch is not full.
func (s *Service) sweepBatches(ctx context.Context, id string, batch DueBatch) error {
	for ctx.Err() == nil {
		receipt, err := s.Ledger.ExpireDue(ctx, id, batch)
		if err != nil {
			return err
		}
		s.show(ctx, receipt.Receipt, nil)
		RecordSweep(s.Recorder, receipt)
		if (batch.Holds == 0 || receipt.Holds < batch.Holds) && (batch.Orders == 0 || receipt.Orders < batch.Orders) {
			break
		}
	}
	return nil
}

// sweepAround cuts a batch that fails in half until the row that cannot be moved stands alone; it is passed over, and
// reported.
func (s *Service) sweepAround(ctx context.Context, id string, full DueBatch) error {
	var errs []error
	for batch := full; batch.Skip < maxBadRows; {
		err := s.sweepBatches(ctx, id, batch)
		switch {
		case err == nil || CodeOf(err) != "": // done, or busy: not a bad row
			return errors.Join(append(errs, err)...)
		case batch.Holds+batch.Orders > 1:
			batch.Holds, batch.Orders = batch.Holds/2, batch.Orders/2
		default:
			errs = append(errs, err)
			full.Skip++
			batch = full
		}
	}
	return errors.Join(errs...)
}

func (s *Service) retryUnmatched(ctx context.Context) error {
	events, err := s.Ledger.UnmatchedEvents(ctx, UnmatchedRetryFor, sweepEvents)
	errs := []error{err}
	for _, e := range events {
		_, err := s.ApplyPayment(ctx, e)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// RecordSweep records what one ExpireDue took back.
func RecordSweep(rec Recorder, r SweepReceipt) {
	if r.Holds+r.Orders == 0 {
		return
	}
	rec.Record(SweptHolds, float64(r.Holds))
	rec.Record(SweptOrders, float64(r.Orders))
	rec.Record(SweepLag, r.Lag.Seconds())
}
