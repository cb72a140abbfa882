package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"flashsale/pkg/admin"
	"flashsale/pkg/api"
	"flashsale/pkg/checkout"
)

// findAmount completes the amount of a success. Only its shopper may read a signed-in shopper's order from the server, so the
// ledger is asked as an operator if it is the server's.
func (c *webhookSendCmd) findAmount(ctx context.Context, env environment, base string, ours bool) error {
	id, ok := checkout.ParseOrderID(c.Order)
	if c.Hold != "" {
		id, ok = checkout.ParseHoldID(c.Hold)
	}
	if !ok {
		return fmt.Errorf("%w: %q is not the id of an order or a hold", errUsage, c.Order+c.Hold)
	}
	amount, err := amountOnServer(ctx, env, base, id)
	if err == nil && amount == nil && ours {
		if amount, err = amountInLedger(ctx, env, id); errors.Is(err, errNoShop) {
			err = nil // the server may be another directory's
		}
	}
	if err != nil {
		return err
	}
	if amount == nil {
		return fmt.Errorf("%w: the amount of %s is unknown: it does not exist, or it is a signed-in shopper's; give --amount and --currency", errUsage, c.Order+c.Hold)
	}
	if c.Amount == nil {
		c.Amount = &amount.Amount
	}
	if c.Currency == "" {
		c.Currency = amount.Currency
	}
	return nil
}

// amountInLedger reads the amount of an order as an operator; nil if there is no such order.
func amountInLedger(ctx context.Context, env environment, id checkout.ID) (amount *checkout.Money, err error) {
	env.ctx = ctx
	err = withOperator(env, func(ctx context.Context, op admin.Operator) error {
		history, err := op.OrderHistory(ctx, id)
		if checkout.CodeOf(err) == checkout.CodeOrderNotFound {
			return nil
		}
		amount = &history.Order.Amount
		return err
	})
	return amount, err
}

// amountOnServer reads the amount of an anonymous shopper's order, or computes it from the hold if there is no order yet; nil if the
// server shows neither.
func amountOnServer(ctx context.Context, env environment, base string, id checkout.ID) (*checkout.Money, error) {
	var order struct{ Amount checkout.Money }
	if found, err := get(ctx, env, base+"/v1/orders/"+id.OrderID(), &order); found || err != nil {
		return &order.Amount, err
	}
	var hold struct {
		ProductID string `json:"product_id"`
		Qty       int64
	}
	var product struct{ Price checkout.Money }
	found, err := get(ctx, env, base+"/v1/holds/"+id.HoldID(), &hold)
	if found {
		found, err = get(ctx, env, base+"/v1/products/"+hold.ProductID, &product)
	}
	if !found {
		return nil, err
	}
	product.Price.Amount *= hold.Qty
	return &product.Price, err
}

// get reads JSON. It returns false if the server does not show it to an anonymous shopper.
func get(ctx context.Context, env environment, url string, into any) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, fmt.Errorf("%w: --url: %w", errUsage, err)
	}
	status, body, err := send(env, request)
	if err != nil || status == http.StatusNotFound || status == http.StatusUnauthorized {
		return false, err
	}
	if status != http.StatusOK {
		return false, fmt.Errorf("reading the amount: %s responded with %d", url, status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return false, fmt.Errorf("reading the amount: %w", err)
	}
	return true, nil
}

// send sends a request with the edge's secret, if there is one.
func send(env environment, request *http.Request) (status int, body []byte, err error) {
	if len(env.config.EdgeSecrets) > 0 {
		request.Header.Set(api.EdgeHeader, env.config.EdgeSecrets[0])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, fmt.Errorf("is the server running? %w", err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	body, err = io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return response.StatusCode, body, err
}
