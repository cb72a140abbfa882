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
	// Invoke calls the function and returns its response.
	Invoke func(ctx context.Context, payload []byte) ([]byte, error)
}

var _ Operator = Client{}

// Migrate implements Operator.
func (c Client) Migrate(ctx context.Context) error {
	_, err := c.call(ctx, request{Operation: opMigrate})
	return err
}

// PutProduct implements Operator.
func (c Client) PutProduct(ctx context.Context, change checkout.ProductChange) (checkout.Product, bool, error) {
	r, err := c.call(ctx, request{Operation: opPutProduct, Product: &change})
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

// Audit implements Operator.
func (c Client) Audit(ctx context.Context) (ledger.Audit, error) {
	r, err := c.call(ctx, request{Operation: opAudit})
	return result(r.Audit, err)
}

// Owed implements Operator.
func (c Client) Owed(ctx context.Context, limit int) (ledger.OwedList, error) {
	r, err := c.call(ctx, request{Operation: opOwed, Limit: limit})
	return result(r.Owed, err)
}

// RecordRefund implements Operator.
func (c Client) RecordRefund(ctx context.Context, refund checkout.RefundRecord) (checkout.Receipt, error) {
	r, err := c.call(ctx, request{Operation: opRecord, Refund: &refund})
	return checkout.Receipt{Repeated: err == nil && !r.Recorded}, err
}

// PaymentProviders implements Operator.
func (c Client) PaymentProviders(ctx context.Context, paymentID string) ([]ledger.PaymentName, error) {
	r, err := c.call(ctx, request{Operation: opProviders, PaymentID: paymentID})
	return r.Providers, err
}

// Orders implements Operator.
func (c Client) Orders(ctx context.Context, filter ledger.OrderFilter, limit int) (ledger.OrderList, error) {
	r, err := c.call(ctx, request{Operation: opOrders, Orders: &filter, Limit: limit})
	return result(r.Orders, err)
}

// OrderHistory implements Operator.
func (c Client) OrderHistory(ctx context.Context, id checkout.ID) (ledger.OrderHistory, error) {
	r, err := c.call(ctx, request{Operation: opHistory, OrderID: id.OrderID()})
	return result(r.History, err)
}

// Events implements Operator.
func (c Client) Events(ctx context.Context, state ledger.EventState, limit int) (ledger.EventList, error) {
	r, err := c.call(ctx, request{Operation: opEvents, State: state, Limit: limit})
	return result(r.Events, err)
}

// result returns what the function responded with.
func result[T any](r *T, err error) (T, error) {
	if err == nil && r == nil {
		err = errNoResult
	}
	if err != nil {
		return *new(T), err
	}
	return *r, nil
}

// errNoResult means a response without its result, as from a function of another version.
var errNoResult = errors.New("the admin function returned no result; does its version differ from this command's?")

func (c Client) call(ctx context.Context, q request) (r response, err error) {
	payload, err := json.Marshal(q)
	if err != nil {
		return r, fmt.Errorf("calling the admin function: %w", err)
	}
	body, err := c.Invoke(ctx, payload)
	if err != nil {
		return r, fmt.Errorf("calling the admin function: %w", err)
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return r, fmt.Errorf("reading the admin function's response: %w", err)
	}
	if r.Error != nil {
		return r, r.Error.err()
	}
	return r, nil
}
