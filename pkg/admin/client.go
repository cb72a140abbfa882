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
	if err == nil && r.Audit == nil {
		err = errNoResult
	}
	if err != nil {
		return ledger.Audit{}, err
	}
	return *r.Audit, nil
}

// RefundsDue implements Operator.
func (c Client) RefundsDue(ctx context.Context, limit int) ([]ledger.RefundDue, error) {
	r, err := c.call(ctx, request{Operation: opRefundsDue, Limit: limit})
	return r.RefundsDue, err
}

// Unmatched implements Operator.
func (c Client) Unmatched(ctx context.Context, limit int) ([]ledger.UnmatchedEvent, error) {
	r, err := c.call(ctx, request{Operation: opUnmatched, Limit: limit})
	return r.Unmatched, err
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
