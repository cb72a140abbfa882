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
	a, err := l.call(ctx, "place_hold", req.ID[:], req.ProductID, req.Qty, req.TTL.Microseconds(), key, price, currency)
	if err != nil {
		return checkout.Receipt{}, err
	}
	switch a.outcome {
	case "placed", "replayed":
		return a.receipt(a.outcome == "replayed"), nil
	case "sold_out":
		return a.receipt(false), checkout.SoldOut(a.product.AvailableStock())
	case "sale_not_started":
		return a.receipt(false), checkout.SaleNotStarted(*a.product.SaleStartsAt)
	case "sale_ended":
		return a.receipt(false), checkout.ErrSaleEnded
	case "qty_over_limit":
		return a.receipt(false), checkout.QtyOverLimit(a.product.MaxQtyPerHold)
	case "idempotency_key_reused":
		return checkout.Receipt{}, checkout.ErrIdempotencyReused
	case "product_not_found":
		return checkout.Receipt{}, checkout.ErrProductNotFound
	case "busy":
		return a.receipt(false), checkout.Busy(fmt.Errorf("place_hold was overtaken too often"))
	}
	return checkout.Receipt{}, unknownOutcome("place_hold", a)
}

// ReleaseHold gives a hold's units back: routines/release_hold.sql.
func (l *Ledger) ReleaseHold(ctx context.Context, hold checkout.ID) (checkout.Receipt, error) {
	a, err := l.call(ctx, "release_hold", hold[:])
	if err != nil {
		return checkout.Receipt{}, err
	}
	switch a.outcome {
	case "released", "already_ended":
		return a.receipt(a.outcome == "already_ended"), nil
	case "hold_ordered":
		return a.receipt(false), checkout.ErrHoldOrdered
	case "hold_not_found":
		return checkout.Receipt{}, checkout.ErrHoldNotFound
	}
	return checkout.Receipt{}, unknownOutcome("release_hold", a)
}

// CreateOrder turns a hold into an order: routines/create_order.sql.
func (l *Ledger) CreateOrder(ctx context.Context, hold checkout.ID, paymentWindow time.Duration) (checkout.Receipt, error) {
	a, err := l.call(ctx, "create_order", hold[:], paymentWindow.Microseconds())
	if err != nil {
		return checkout.Receipt{}, err
	}
	switch a.outcome {
	case "created", "exists":
		return a.receipt(a.outcome == "exists"), nil
	case "hold_released":
		return a.receipt(false), checkout.ErrHoldReleased
	case "hold_expired":
		return a.receipt(false), checkout.ErrHoldExpired
	case "hold_not_found":
		return checkout.Receipt{}, checkout.ErrHoldNotFound
	}
	return checkout.Receipt{}, unknownOutcome("create_order", a)
}

// CancelOrder cancels an unpaid order: routines/cancel_order.sql.
func (l *Ledger) CancelOrder(ctx context.Context, order checkout.ID) (checkout.Receipt, error) {
	a, err := l.call(ctx, "cancel_order", order[:])
	if err != nil {
		return checkout.Receipt{}, err
	}
	switch a.outcome {
	case "cancelled", "already_cancelled":
		return a.receipt(a.outcome == "already_cancelled"), nil
	case "order_not_cancellable":
		return a.receipt(false), checkout.ErrOrderNotCancellable
	case "order_not_found":
		return checkout.Receipt{}, checkout.ErrOrderNotFound
	}
	return checkout.Receipt{}, unknownOutcome("cancel_order", a)
}

// ApplyPayment records an event and its effect: routines/apply_payment.sql.
func (l *Ledger) ApplyPayment(ctx context.Context, e checkout.PaymentEvent, paymentWindow time.Duration) (checkout.PaymentReceipt, error) {
	var subject []byte
	if e.Subject != nil {
		subject = e.Subject[:]
	}
	var amount, currency any
	if e.Amount.Currency != "" {
		amount, currency = e.Amount.Amount, e.Amount.Currency
	}
	a, err := l.call(ctx, "apply_payment", e.Provider, e.EventID, e.Type, string(e.Kind), subject,
		e.PaymentID, amount, currency, e.Digest[:], e.OccurredAt, paymentWindow.Microseconds())
	if err != nil {
		return checkout.PaymentReceipt{}, err
	}
	switch result := checkout.PaymentResult(a.outcome); result {
	case checkout.PaymentApplied, checkout.PaymentDuplicate, checkout.PaymentIgnored, checkout.PaymentUnmatched:
		return checkout.PaymentReceipt{Receipt: a.receipt(result == checkout.PaymentDuplicate), Result: result}, nil
	}
	return checkout.PaymentReceipt{}, unknownOutcome("apply_payment", a)
}

// ExpireDue takes back what is due: routines/expire_due.sql.
func (l *Ledger) ExpireDue(ctx context.Context, productID string, batch checkout.DueBatch) (checkout.SweepReceipt, error) {
	a, err := l.call(ctx, "expire_due", productID, batch.Holds, batch.Orders, batch.Skip)
	if err != nil {
		return checkout.SweepReceipt{}, err
	}
	switch a.outcome {
	case "swept":
		return checkout.SweepReceipt{Receipt: a.receipt(false), Holds: a.holds, Orders: a.orders, Lag: a.lag}, nil
	case "product_not_found":
		return checkout.SweepReceipt{}, checkout.ErrProductNotFound
	}
	return checkout.SweepReceipt{}, unknownOutcome("expire_due", a)
}

// PutProduct puts a product on sale or changes it: routines/put_product.sql. created tells which. Codes:
// invalid_request.
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
	a, err := l.call(ctx, "put_product", c.ID, c.Name, price, currency, c.Stock, c.MaxQtyPerHold,
		c.SaleStartsAt != nil, starts, c.SaleEndsAt != nil, ends)
	if err != nil {
		return checkout.Product{}, false, err
	}
	switch a.outcome {
	case "created", "changed":
		return *a.product, a.outcome == "created", nil
	case "incomplete":
		return checkout.Product{}, false, checkout.Invalid("product", "a new product needs a name, a price with its currency, and a stock")
	case "stock_below_taken":
		return checkout.Product{}, false, checkout.Invalid("stock", fmt.Sprintf("expected at least %d, which is reserved (%d) and sold (%d) already",
			a.product.ReservedStock+a.product.SoldStock, a.product.ReservedStock, a.product.SoldStock))
	case "window_invalid":
		return checkout.Product{}, false, checkout.Invalid("sale_ends_at", "expected a time after sale_starts_at")
	}
	return checkout.Product{}, false, unknownOutcome("put_product", a)
}

func unknownOutcome(routine string, a answer) error {
	return fmt.Errorf("%s answered with an outcome that this program does not know: %q", routine, a.outcome)
}
