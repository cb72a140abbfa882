package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"flashsale/pkg/checkout"
)

// PlaceHold reserves units. While a call for the product is under way, the hold shares the next one: see groups.
func (l *Ledger) PlaceHold(ctx context.Context, req checkout.HoldRequest) (checkout.Receipt, error) {
	place := l.placeHold
	if l.holds != nil && !l.known.has(exclusive(req)) { // a batch would leave it out
		place = l.holds.do
	}
	r, err := place(ctx, req)
	if err != nil {
		return checkout.Receipt{}, err
	}
	if r.hold != nil || req.MaxPerShopper != nil { // a refused shopper's row stays, too
		l.known.add(exclusive(req))
	}
	return holdReceipt(r)
}

// placeHold reserves units by a call of its own: routines/place_hold.sql.
func (l *Ledger) placeHold(ctx context.Context, req checkout.HoldRequest) (r result, err error) {
	if one := exclusive(req); l.turns != nil && one != "" {
		leave, err := l.turns.enter(ctx, one)
		if err != nil {
			return result{}, checkout.Busy(err)
		}
		defer leave()
	}
	var key []byte
	if req.Key != nil {
		key = req.Key[:]
	}
	var price, currency, perShopper any
	if req.Price != nil {
		price, currency = req.Price.Amount, req.Price.Currency
		if req.MaxPerShopper != nil {
			perShopper = *req.MaxPerShopper
		}
	}
	overtaken := func() bool { // the reason to refuse it has gone
		return r.outcome == "overtaken" || r.outcome == "shopper_limit" && r.product.MaxPerShopper == nil
	}
	for tries := 0; tries == 0 || overtaken() && tries <= maxRetries; tries++ {
		if r, err = l.call(ctx, "place_hold", req.ID[:], req.ProductID, req.Qty, req.TTL.Microseconds(), key, price, currency,
			shopperArg(req.Shopper), perShopper); err != nil {
			return result{}, err
		}
	}
	return r, nil
}

// holdReceipt is what a result of place_hold means to its caller.
func holdReceipt(r result) (checkout.Receipt, error) {
	switch r.outcome {
	case "placed", "replayed":
		if r.hold == nil { // deleted with its key in this moment: it had ended long ago
			return checkout.Receipt{}, checkout.Busy(errors.New("the hold of the key was deleted"))
		}
		return r.receipt(r.outcome == "replayed"), nil
	case "sold_out":
		return r.receipt(false), checkout.SoldOut(r.product.AvailableStock(), r.product.ReservedStock)
	case "sale_not_started":
		return r.receipt(false), checkout.SaleNotStarted(*r.product.SaleStartsAt)
	case "sale_ended":
		return r.receipt(false), checkout.ErrSaleEnded
	case "qty_over_limit":
		return r.receipt(false), checkout.QtyOverLimit(r.product.MaxQtyPerHold)
	case "sign_in_needed":
		return r.receipt(false), checkout.ErrSignInNeeded
	case "shopper_limit":
		if r.product.MaxPerShopper == nil { // removed meanwhile, again and again
			return r.receipt(false), checkout.Busy(errors.New("the limit per shopper changed"))
		}
		return r.receipt(false), checkout.ShopperLimit(*r.product.MaxPerShopper, r.yours)
	case "shopper_blocked":
		return r.receipt(false), checkout.ShopperLimit(0, r.yours)
	case "idempotency_key_reused":
		return checkout.Receipt{}, checkout.ErrIdempotencyReused
	case "product_not_found":
		return checkout.Receipt{}, checkout.ErrProductNotFound
	case "busy", "overtaken":
		return r.receipt(false), checkout.Busy(fmt.Errorf("place_hold was overtaken by other calls"))
	}
	return checkout.Receipt{}, unknownOutcome("place_hold", r)
}

// shopperArg is NULL for an anonymous shopper.
func shopperArg(s checkout.Shopper) []byte {
	if s.Anonymous() {
		return nil
	}
	return s[:]
}

// ReleaseHold returns a hold's units to the stock: routines/release_hold.sql.
func (l *Ledger) ReleaseHold(ctx context.Context, by checkout.Caller, hold checkout.ID) (checkout.Receipt, error) {
	r, err := l.call(ctx, "release_hold", hold[:], shopperArg(by.Shopper), by.Operator)
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
func (l *Ledger) CreateOrder(ctx context.Context, by checkout.Caller, hold checkout.ID, terms checkout.OrderTerms) (checkout.Receipt, error) {
	var unpaid, reference any
	if terms.Unpaid > 0 {
		unpaid = terms.Unpaid.Microseconds()
	}
	if terms.Reference != "" {
		reference = terms.Reference
	}
	r, err := l.call(ctx, "create_order", hold[:], terms.Window.Microseconds(), unpaid, shopperArg(by.Shopper), by.Operator, reference)
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
func (l *Ledger) CancelOrder(ctx context.Context, by checkout.Caller, order checkout.ID) (checkout.Receipt, error) {
	r, err := l.call(ctx, "cancel_order", order[:], shopperArg(by.Shopper), by.Operator)
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

// ApplyEvent stores and applies a payment event, in a batch with others of its product if it is hot: see groups. If that fails,
// routines/keep_event.sql stores it alone, so that the provider need not send it again.
func (l *Ledger) ApplyEvent(ctx context.Context, e checkout.PaymentEvent, paymentWindow time.Duration) (checkout.PaymentReceipt, error) {
	r, err := l.deliver(ctx, e, paymentWindow)
	if err != nil && e.Kind == checkout.PaymentProcessing {
		return checkout.PaymentReceipt{}, err // it helps now or never, and an earlier release could not apply a stored one
	}
	if err != nil {
		kept, keepErr := l.call(ctx, "keep_event", eventArgs(e)...)
		if keepErr != nil {
			return checkout.PaymentReceipt{}, err
		}
		r = kept
	}
	receipt, outcomeErr := eventReceipt(r)
	if checkout.CodeOf(outcomeErr) == checkout.CodeEventIDReused {
		said := sha256.Sum256(fmt.Appendf(nil, "%q %v %q %q %v", e.Type, e.Subject, e.PaymentID, e.RefundID, e.Amount))
		if err := l.reject(ctx, "reused", checkout.RejectedEvent{
			Provider: e.Provider, EventID: e.EventID, Type: e.Type, Digest: e.Digest,
			Detail: "another event with this id was received before",
		}, e, said); err != nil {
			return checkout.PaymentReceipt{}, err
		}
	}
	receipt.Cause = err
	return receipt, outcomeErr
}

// RetryEvent applies a stored event again. After a failure its next try is postponed.
func (l *Ledger) RetryEvent(ctx context.Context, e checkout.EventRef, paymentWindow time.Duration) (checkout.PaymentReceipt, error) {
	r, err := l.call(ctx, "retry_event", e.Provider, e.EventID, paymentWindow.Microseconds())
	if err != nil {
		_, keepErr := l.call(ctx, "postpone_event", e.Provider, e.EventID)
		return checkout.PaymentReceipt{}, errors.Join(fmt.Errorf("applying event %s of %s again: %w", e.EventID, e.Provider, err), keepErr)
	}
	return eventReceipt(r)
}

func eventReceipt(r result) (checkout.PaymentReceipt, error) {
	outcome, wakes := strings.CutSuffix(r.outcome, "_wakes")
	switch result := checkout.PaymentResult(outcome); result {
	case checkout.PaymentApplied, checkout.PaymentDuplicate, checkout.PaymentIgnored, checkout.PaymentUnmatched, checkout.PaymentStored:
		return checkout.PaymentReceipt{Receipt: r.receipt(result == checkout.PaymentDuplicate), Result: result, Wakes: wakes}, nil
	case "event_id_reused":
		return checkout.PaymentReceipt{}, checkout.ErrEventIDReused
	}
	return checkout.PaymentReceipt{}, unknownOutcome("apply_event", r)
}

// eventArgs are the arguments of apply_event and keep_event that describe the event.
func eventArgs(e checkout.PaymentEvent) []any {
	amount, currency := amountArgs(e.Amount)
	return []any{
		e.Provider, e.EventID, e.Type, string(e.Kind), subjectArg(e.Subject), e.PaymentID, e.RefundID, amount, currency, e.Digest[:], e.OccurredAt,
	}
}

func subjectArg(id *checkout.ID) []byte {
	if id == nil {
		return nil
	}
	return id[:]
}

// amountArgs returns the amount and the currency of an event, each NULL if the event has none.
func amountArgs(m checkout.Money) (amount, currency any) {
	if m != (checkout.Money{}) {
		amount = m.Amount
	}
	if m.Currency != "" {
		currency = m.Currency
	}
	return amount, currency
}

// RejectEvent keeps a verified event that cannot be read: routines/reject_event.sql.
func (l *Ledger) RejectEvent(ctx context.Context, e checkout.RejectedEvent) error {
	return l.reject(ctx, "unreadable", e, checkout.PaymentEvent{}, [sha256.Size]byte{})
}

// reject keeps an event without effect. said tells two events with one id apart.
func (l *Ledger) reject(ctx context.Context, reason string, r checkout.RejectedEvent, e checkout.PaymentEvent, said [sha256.Size]byte) error {
	amount, currency := amountArgs(e.Amount)
	detail := r.Detail
	if len(detail) > maxDetail {
		detail = strings.ToValidUTF8(detail[:maxDetail], "")
	}
	_, err := l.call(ctx, "reject_event", r.Provider, r.EventID, reason, r.Type, detail, subjectArg(e.Subject), e.PaymentID, amount, currency, r.Digest[:], said[:])
	return err
}

// maxDetail limits the detail of a rejected event, in bytes.
const maxDetail = 1000

// RecordRefund records money that went back outside of its provider: routines/record_refund.sql. Codes: invalid_request.
func (l *Ledger) RecordRefund(ctx context.Context, r checkout.RefundRecord) (checkout.Receipt, error) {
	if err := r.Check(); err != nil {
		return checkout.Receipt{}, err
	}
	out, err := l.call(ctx, "record_refund", r.Provider, r.ID, r.PaymentID, r.Amount, r.Note, r.Operator)
	if err != nil {
		return checkout.Receipt{}, err
	}
	switch out.outcome {
	case "recorded", "exists":
		return out.receipt(out.outcome == "exists"), nil
	case "payment_not_found":
		return checkout.Receipt{}, checkout.Invalid("payment", "expected the id of a payment that was received")
	case "over_held":
		return checkout.Receipt{}, checkout.Invalid("amount", "expected at most what the payment still holds")
	}
	return checkout.Receipt{}, unknownOutcome("record_refund", out)
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

func unknownOutcome(routine string, r result) error {
	return fmt.Errorf("%s returned the unknown outcome %q", routine, r.outcome)
}
