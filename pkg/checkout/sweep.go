package checkout

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Limits of one sweep. The next sweep continues where one stops.
const (
	sweepProducts = 1000
	sweepBatch    = 2000
	sweepEvents   = 100
	sweepWorkers  = 4   // products, or events, at a time
	maxBadRows    = 100 // rows of one product that fail, before the sweep gives the product up
	// A call for sweepBatch holds takes under 100 ms, or a few hundred on a busy server. A late one may wait for a locked product.
	lateSweepCall = 500 * time.Millisecond
)

// sweep is one run of Sweep.
type sweep struct {
	*Service
	// turn has a token while a call runs. Calls for several products at once would leave new holds no core of a small
	// database server. The calls of a sweep run one after the other, unless one is late.
	turn chan struct{}
}

// Sweep reclaims the stock of all due holds and orders. A failure does not stop the rest: the errors are joined.
// Concurrent sweeps are harmless.
func (s *Service) Sweep(ctx context.Context) error {
	products, err := s.Ledger.DueProducts(ctx, sweepProducts)
	run := &sweep{Service: s, turn: make(chan struct{}, 1)}
	err = errors.Join(err, each(ctx, products, run.sweepProduct))
	result := "ok"
	if err != nil {
		result = "failed"
	}
	s.Recorder.Record(SweepRuns, 1, result)
	return err
}

// Background returns the service for periodic work, whose parts run side by side: Sweep and RetryEvents.
func (s *Service) Background() *Service {
	b := *s
	b.View = &serialView{StockView: s.View}
	return &b
}

// serialView stores one state at a time, so that a sweep uses one connection to the cache, and not one for each worker.
type serialView struct {
	StockView
	mu sync.Mutex
}

func (v *serialView) Put(ctx context.Context, p Product, granted *IdempotencyKey) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.StockView.Put(ctx, p, granted)
}

func (v *serialView) ForgetKeys(ctx context.Context, productID string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.StockView.ForgetKeys(ctx, productID)
}

// sweepProduct sweeps one product in batches of holds and orders together. If a batch fails with an internal error, it
// sweeps holds and orders separately and isolates the bad rows.
func (s *sweep) sweepProduct(ctx context.Context, id string) error {
	err := s.sweepBatches(ctx, id, DueBatch{Holds: sweepBatch, Orders: sweepBatch})
	if err == nil || CodeOf(err) != "" {
		return err
	}
	return errors.Join(
		s.isolateBadRows(ctx, id, DueBatch{Holds: sweepBatch}),
		s.isolateBadRows(ctx, id, DueBatch{Orders: sweepBatch}))
}

// sweepBatches sweeps until a batch is not full.
func (s *sweep) sweepBatches(ctx context.Context, id string, batch DueBatch) error {
	for ctx.Err() == nil {
		leave := s.enter(ctx)
		if leave == nil {
			break
		}
		receipt, err := s.Ledger.ExpireDue(ctx, id, batch)
		leave()
		if err != nil {
			return err
		}
		s.updateView(ctx, receipt.Receipt, nil)
		RecordSweep(s.Recorder, receipt)
		if (batch.Holds == 0 || receipt.Holds < batch.Holds) && (batch.Orders == 0 || receipt.Orders < batch.Orders) {
			break
		}
	}
	return nil
}

// enter waits for the turn to make a call. leave ends the turn; a late call loses it before, so that a locked product does
// not delay the others. leave is nil if ctx has ended.
func (s *sweep) enter(ctx context.Context) (leave func()) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	end := sync.OnceFunc(func() { <-s.turn })
	late := time.AfterFunc(lateSweepCall, end)
	return func() { late.Stop(); end() }
}

// isolateBadRows halves a failing batch until it has one row. It skips and reports that row, and continues with the
// rest.
func (s *sweep) isolateBadRows(ctx context.Context, id string, full DueBatch) error {
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

// RetryEvents applies stored events that are due for another try. It is no part of Sweep, since an event whose order is locked
// must not delay the stock of other products.
func (s *Service) RetryEvents(ctx context.Context) error {
	events, err := s.Ledger.WaitingEvents(ctx, sweepEvents)
	return errors.Join(err, each(ctx, events, func(ctx context.Context, e EventRef) error {
		receipt, err := s.retryEvent(ctx, e)
		if err == nil && receipt.Wakes && receipt.Order != nil {
			s.wake(ctx, receipt.Receipt)
		}
		return err
	}))
}

// each does something with each item, several at a time, so that a locked row delays only its own item. It joins the errors.
func each[T any](ctx context.Context, items []T, do func(context.Context, T) error) error {
	errs := make([]error, len(items))
	next := make(chan int)
	var wg sync.WaitGroup
	for range sweepWorkers {
		wg.Go(func() {
			for i := range next {
				errs[i] = do(ctx, items[i])
			}
		})
	}
	for i := range items {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
	return errors.Join(errs...)
}

// RecordSweep records the holds and orders that one ExpireDue reclaimed.
func RecordSweep(rec Recorder, r SweepReceipt) {
	if r.Holds+r.Orders == 0 {
		return
	}
	rec.Record(SweptHolds, float64(r.Holds))
	rec.Record(SweptOrders, float64(r.Orders))
	rec.Record(SweepLag, r.Lag.Seconds())
}
