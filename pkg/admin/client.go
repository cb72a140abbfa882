package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// Client is an Operator that invokes the admin function of a stack.
type Client struct {
	// Invoke calls the function and returns its response. operator names who asks for a change; empty for a request that
	// changes nothing.
	Invoke func(ctx context.Context, payload []byte, operator string) ([]byte, error)
	// Who names the operator. It is asked for changes only.
	Who func(ctx context.Context) string
}

var _ Operator = Client{}

// Migrate implements Operator.
func (c Client) Migrate(ctx context.Context) error {
	_, err := c.change(ctx, request{Operation: opMigrate})
	return err
}

// PutProduct implements Operator.
func (c Client) PutProduct(ctx context.Context, change checkout.ProductChange) (checkout.Product, bool, error) {
	r, err := c.change(ctx, request{Operation: opPutProduct, Product: &change})
	if err == nil && r.Product == nil {
		err = errNoResult
	}
	if err != nil {
		return checkout.Product{}, false, err
	}
	return checkout.Product(*r.Product), r.Created, nil
}

// Products implements Operator.
func (c Client) Products(ctx context.Context, after string, limit int) ([]checkout.Product, error) {
	r, err := c.call(ctx, request{Operation: opProducts, After: after, Limit: limit})
	return fromWire(r.Products), err
}

// Overview implements Operator.
func (c Client) Overview(ctx context.Context) (ledger.Overview, error) {
	r, err := c.call(ctx, request{Operation: opOverview})
	o, err := result(r.Overview, err)
	return o.fromWire(), err
}

// Audit implements Operator.
func (c Client) Audit(ctx context.Context) (ledger.Audit, error) {
	r, err := c.call(ctx, request{Operation: opAudit})
	return result(r.Audit, err)
}

// Owed implements Operator.
func (c Client) Owed(ctx context.Context, limit int) (ledger.OwedPayments, error) {
	r, err := c.call(ctx, request{Operation: opOwed, Limit: limit})
	return result(r.Owed, err)
}

// Payments implements Operator.
func (c Client) Payments(ctx context.Context, paymentID string) ([]ledger.PaymentRecord, error) {
	r, err := c.call(ctx, request{Operation: opPayments, PaymentID: paymentID})
	return r.Payments, err
}

// RecordReturn implements Operator.
func (c Client) RecordReturn(ctx context.Context, record checkout.RefundRecord) (ledger.PaymentRecord, error) {
	sent := refund(record)
	r, err := c.change(ctx, request{Operation: opRecordRefund, Refund: &sent})
	return result(r.Payment, err)
}

// Orders implements Operator.
func (c Client) Orders(ctx context.Context, f ledger.OrderFilter, limit int) (ledger.List[ledger.ListedOrder], error) {
	r, err := c.call(ctx, request{Operation: opOrders, Orders: &f, Limit: limit})
	return result(r.Orders, err)
}

// OrderHistory implements Operator.
func (c Client) OrderHistory(ctx context.Context, id checkout.ID) (ledger.OrderHistory, error) {
	r, err := c.call(ctx, request{Operation: opOrder, OrderID: id.OrderID()})
	return result(r.Order, err)
}

// Events implements Operator.
func (c Client) Events(ctx context.Context, state ledger.EventState, limit int) (ledger.List[ledger.ListedEvent], error) {
	r, err := c.call(ctx, request{Operation: opEvents, State: state, Limit: limit})
	return result(r.Events, err)
}

// ReceivedEvents implements Operator.
func (c Client) ReceivedEvents(ctx context.Context, after *ledger.EventMark, limit int) (ledger.ReceivedEvents, error) {
	r, err := c.call(ctx, request{Operation: opReceived, Mark: after, Limit: limit})
	return result(r.Received, err)
}

// EndSale implements Operator.
func (c Client) EndSale(ctx context.Context, id string) (checkout.Product, bool, error) {
	return c.changeProduct(ctx, request{Operation: opEndSale, ProductID: id})
}

// HideProduct implements Operator.
func (c Client) HideProduct(ctx context.Context, id string, hidden bool) (checkout.Product, bool, error) {
	operation := opShowProduct
	if hidden {
		operation = opHideProduct
	}
	return c.changeProduct(ctx, request{Operation: operation, ProductID: id})
}

// DeleteProduct implements Operator.
func (c Client) DeleteProduct(ctx context.Context, id string) error {
	_, err := c.change(ctx, request{Operation: opDeleteProduct, ProductID: id})
	return err
}

func (c Client) changeProduct(ctx context.Context, q request) (checkout.Product, bool, error) {
	r, err := c.change(ctx, q)
	p, err := result(r.Product, err)
	return checkout.Product(p), r.Changed, err
}

// Reservations implements Operator.
func (c Client) Reservations(ctx context.Context, f ledger.ReservationFilter, limit int) (ledger.Reservations, error) {
	r, err := c.call(ctx, request{Operation: opReservations, Reservations: &f, Limit: limit})
	return result(r.Reservations, err)
}

// ReleaseHolds implements Operator.
func (c Client) ReleaseHolds(ctx context.Context, s Selection) (Ended, error) {
	r, err := c.change(ctx, request{Operation: opReleaseHolds, Selection: &s})
	return result(r.Ended, err)
}

// CancelOrders implements Operator.
func (c Client) CancelOrders(ctx context.Context, s Selection) (Ended, error) {
	r, err := c.change(ctx, request{Operation: opCancelOrders, Selection: &s})
	return result(r.Ended, err)
}

// BlockShopper implements Operator.
func (c Client) BlockShopper(ctx context.Context, shopper checkout.Shopper) (Block, error) {
	r, err := c.change(ctx, request{Operation: opBlock, Shopper: shopper.String()})
	return result(r.Block, err)
}

// UnblockShopper implements Operator.
func (c Client) UnblockShopper(ctx context.Context, shopper checkout.Shopper) (bool, error) {
	r, err := c.change(ctx, request{Operation: opUnblock, Shopper: shopper.String()})
	return r.Changed, err
}

// BlockedShoppers implements Operator.
func (c Client) BlockedShoppers(ctx context.Context, limit int) (ledger.List[ledger.BlockedShopper], error) {
	r, err := c.call(ctx, request{Operation: opBlocked, Limit: limit})
	return result(r.Blocked, err)
}

// result returns a part of the response, which must be there unless the call failed.
func result[T any](part *T, err error) (T, error) {
	if err == nil && part == nil {
		err = errNoResult
	}
	if err != nil {
		return *new(T), err
	}
	return *part, nil
}

// errNoResult means a response without its result, as from a function of another version.
var errNoResult = errors.New("the admin function returned no result; does its version differ from this command's?")

func (c Client) call(ctx context.Context, q request) (response, error) { return c.send(ctx, q, "") }

func (c Client) change(ctx context.Context, q request) (response, error) {
	return c.send(ctx, q, c.Who(ctx))
}

// ErrOldFunction means that the stack's admin function is of a release that lacks an operation.
var ErrOldFunction = errors.New("the stack's admin function is of an earlier release and cannot do this")

func (c Client) send(ctx context.Context, q request, operator string) (r response, err error) {
	payload, err := json.Marshal(q)
	if err != nil {
		return r, fmt.Errorf("calling the admin function: %w", err)
	}
	body, err := c.Invoke(ctx, payload, operator)
	if err != nil {
		return r, fmt.Errorf("calling the admin function: %w", err)
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return r, fmt.Errorf("reading the admin function's response: %w", err)
	}
	if r.Error != nil && r.Error.unknownOperation() {
		return r, fmt.Errorf("%w (%s): deploy this release first", ErrOldFunction, q.Operation)
	}
	if r.Error != nil {
		return r, r.Error.err()
	}
	return r, nil
}
