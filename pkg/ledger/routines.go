package ledger

import (
	"context"
	"fmt"
	"time"

	"flashsale/pkg/checkout"
)

// PlaceHold reserves units: routines/place_hold.sql.
func (l *Ledger) PlaceHold(ctx context.Context, req checkout.HoldRequest) (checkout.Receipt, error) {
	var key []byte
	if req.Key != nil {
		key = req.Key[:]
	}
	var price, currency any
	if req.Price != nil {
		price, currency = req.Price.Amount, req.Price.Currency
	}
	r, err := l.call(ctx, "place_hold", req.ID[:], req.ProductID, req.Qty, req.TTL.Microseconds(), key, price, currency)
	if err != nil {
		return checkout.Receipt{}, err
	}
	switch r.outcome {
	case "placed", "replayed":
		return r.receipt(r.outcome == "replayed"), nil
	case "sold_out":
		return r.receipt(false), checkout.SoldOut(r.product.AvailableStock())
	case "sale_not_started":
		return r.receipt(false), checkout.SaleNotStarted(*r.product.SaleStartsAt)
	case "sale_ended":
		return r.receipt(false), checkout.ErrSaleEnded
	case "qty_over_limit":
		return r.receipt(false), checkout.QtyOverLimit(r.product.MaxQtyPerHold)
	case "idempotency_key_reused":
		return checkout.Receipt{}, checkout.ErrIdempotencyReused
	case "product_not_found":
		return checkout.Receipt{}, checkout.ErrProductNotFound
	case "busy":
		return r.receipt(false), checkout.Busy(fmt.Errorf("place_hold was overtaken by other calls five times"))
	}
	return checkout.Receipt{}, unknownOutcome("place_hold", r)
}

// ReleaseHold returns a hold's units to the stock: routines/release_hold.sql.
func (l *Ledger) ReleaseHold(ctx context.Context, hold checkout.ID) (checkout.Receipt, error) {
	r, err := l.call(ctx, "release_hold", hold[:])
	if err != nil {
		return checkout.Receipt{}, err
	}
	switch r.outcome {
	case "released", "already_ended":
		return r.receipt(r.outcome == "already_ended"), nil
	case "hold_ordered":
		return r.receipt(false), checkout.ErrHoldOrdered
	case "hold_not_found":
		return checkout.Receipt{}, checkout.ErrHoldNotFound
	}
	return checkout.Receipt{}, unknownOutcome("release_hold", r)
}

// CreateOrder turns a hold into an order: routines/create_order.sql.
func (l *Ledger) CreateOrder(ctx context.Context, hold checkout.ID, paymentWindow time.Duration) (checkout.Receipt, error) {
	r, err := l.call(ctx, "create_order", hold[:], paymentWindow.Microseconds())
	if err != nil {
		return checkout.Receipt{}, err
	}
	switch r.outcome {
	case "created", "exists":
		return r.receipt(r.outcome == "exists"), nil
	case "hold_released":
		return r.receipt(false), checkout.ErrHoldReleased
	case "hold_expired":
		return r.receipt(false), checkout.ErrHoldExpired
	case "hold_not_found":
		return checkout.Receipt{}, checkout.ErrHoldNotFound
	}
	return checkout.Receipt{}, unknownOutcome("create_order", r)
}

// CancelOrder cancels an unpaid order: routines/cancel_order.sql.
func (l *Ledger) CancelOrder(ctx context.Context, order checkout.ID) (checkout.Receipt, error) {
	r, err := l.call(ctx, "cancel_order", order[:])
	if err != nil {
		return checkout.Receipt{}, err
	}
	switch r.outcome {
	case "cancelled", "already_cancelled":
		return r.receipt(r.outcome == "already_cancelled"), nil
	case "order_not_cancellable":
		return r.receipt(false), checkout.ErrOrderNotCancellable
	case "order_not_found":
		return checkout.Receipt{}, checkout.ErrOrderNotFound
	}
	return checkout.Receipt{}, unknownOutcome("cancel_order", r)
}

// ApplyPayment records an event and applies it: routines/apply_payment.sql. A NULL digest tells the routine that the
// event is stored already, and that nothing was delivered.
func (l *Ledger) ApplyPayment(ctx context.Context, e checkout.PaymentEvent, paymentWindow time.Duration) (checkout.PaymentReceipt, error) {
	var subject []byte
	if e.Subject != nil {
		subject = e.Subject[:]
	}
	var amount, currency any
	if e.Amount.Currency != "" {
		amount, currency = e.Amount.Amount, e.Amount.Currency
	}
	digest := e.Digest[:]
	if e.Stored {
		digest = nil
	}
	r, err := l.call(ctx, "apply_payment", e.Provider, e.EventID, e.Type, string(e.Kind), subject,
		e.PaymentID, amount, currency, digest, e.OccurredAt, paymentWindow.Microseconds())
	if err != nil {
		return checkout.PaymentReceipt{}, err
	}
	switch result := checkout.PaymentResult(r.outcome); result {
	case checkout.PaymentApplied, checkout.PaymentDuplicate, checkout.PaymentIgnored, checkout.PaymentUnmatched:
		return checkout.PaymentReceipt{Receipt: r.receipt(result == checkout.PaymentDuplicate), Result: result}, nil
	}
	return checkout.PaymentReceipt{}, unknownOutcome("apply_payment", r)
}

// ExpireDue reclaims due stock: routines/expire_due.sql.
func (l *Ledger) ExpireDue(ctx context.Context, productID string, batch checkout.DueBatch) (checkout.SweepReceipt, error) {
	r, err := l.call(ctx, "expire_due", productID, batch.Holds, batch.Orders, batch.Skip)
	if err != nil {
		return checkout.SweepReceipt{}, err
	}
	switch r.outcome {
	case "swept":
		return checkout.SweepReceipt{Receipt: r.receipt(false), Holds: r.holds, Orders: r.orders, Lag: r.lag}, nil
	case "product_not_found":
		return checkout.SweepReceipt{}, checkout.ErrProductNotFound
	}
	return checkout.SweepReceipt{}, unknownOutcome("expire_due", r)
}

// PutProduct creates a product or changes it: routines/put_product.sql. created tells which. Codes: invalid_request.
func (l *Ledger) PutProduct(ctx context.Context, c checkout.ProductChange) (p checkout.Product, created bool, err error) {
	var price, currency any
	if c.Price != nil {
		price, currency = c.Price.Amount, c.Price.Currency
	}
	var starts, ends *time.Time
	if c.SaleStartsAt != nil {
		starts = c.SaleStartsAt.At
	}
	if c.SaleEndsAt != nil {
		ends = c.SaleEndsAt.At
	}
	r, err := l.call(ctx, "put_product", c.ID, c.Name, price, currency, c.Stock, c.MaxQtyPerHold,
		c.SaleStartsAt != nil, starts, c.SaleEndsAt != nil, ends)
	if err != nil {
		return checkout.Product{}, false, err
	}
	switch r.outcome {
	case "created", "changed":
		return *r.product, r.outcome == "created", nil
	case "incomplete":
		return checkout.Product{}, false, checkout.Invalid("product", "a new product needs a name, a price with currency, and a stock")
	case "stock_below_taken":
		return checkout.Product{}, false, checkout.Invalid("stock", fmt.Sprintf("expected at least %d: %d are reserved and %d are sold",
			r.product.ReservedStock+r.product.SoldStock, r.product.ReservedStock, r.product.SoldStock))
	case "window_invalid":
		return checkout.Product{}, false, checkout.Invalid("sale_ends_at", "expected a time after sale_starts_at")
	}
	return checkout.Product{}, false, unknownOutcome("put_product", r)
}

func unknownOutcome(routine string, r result) error {
	return fmt.Errorf("%s returned the unknown outcome %q", routine, r.outcome)
}
