package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"flashsale/pkg/checkout"
	"flashsale/pkg/payments"
)

type webhookCmd struct {
	Send webhookSendCmd `cmd:"" help:"Sign one payment event (Standard Webhooks) with the first of WEBHOOK_SECRETS, else with the development secret of this directory (with --stack: with the stack's own), and send it."`
}

type webhookSendCmd struct {
	Type      string        `required:"" help:"Such as payment.succeeded, payment.failed or payment.refunded." placeholder:"TYPE"`
	Order     string        `xor:"subject" required:"" help:"The order that it is about." placeholder:"ord_…"`
	Hold      string        `xor:"subject" required:"" help:"Or the hold." placeholder:"hold_…"`
	Amount    *int64        `help:"In minor units; asked of the server if not given." placeholder:"4999"`
	Currency  string        `help:"ISO 4217; asked of the server if not given." placeholder:"USD"`
	PaymentID string        `help:"The provider's id of the payment (pay_ and the event's id)." placeholder:"ID"`
	ID        string        `help:"The event's id; send it again to deliver the same event again (a new one)." placeholder:"ID"`
	Age       time.Duration `help:"How long ago it was signed; negative is in the future." placeholder:"DURATION"`
	URL       string        `help:"The server (http:// and ADDR, or the API of --stack)." placeholder:"URL"`
}

const webhookTimeout = 15 * time.Second

func (c webhookSendCmd) Run(env environment) error {
	ctx, cancel := context.WithTimeout(env.ctx, webhookTimeout)
	defer cancel()
	signer, err := c.signer(ctx, env)
	if err != nil {
		return err
	}
	base, endpoint := c.endpoint(env)
	if c.ID == "" {
		c.ID = "evt_" + uuid.NewString()
	}
	if c.PaymentID == "" {
		c.PaymentID = "pay_" + c.ID
	}
	if c.Amount == nil || c.Currency == "" {
		if err := c.askAmount(ctx, base); err != nil {
			return err
		}
	}
	at := time.Now().Add(-c.Age)
	body := payments.StandardBody(c.Type, at, payments.StandardData{
		PaymentID: c.PaymentID, OrderID: c.Order, HoldID: c.Hold, Amount: c.Amount, Currency: c.Currency,
	})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(string(body)))
	if err != nil {
		return fmt.Errorf("%w: --url: %w", errUsage, err)
	}
	request.Header = signer.Sign(c.ID, at, body)
	request.Header.Set("Content-Type", "application/json")
	status, answer, err := do(request)
	if err != nil {
		return err
	}
	if err := write(env.out, "%s: %d %s\n", c.ID, status, strings.TrimSpace(string(answer))); err != nil {
		return err
	}
	if status/100 != 2 {
		return fmt.Errorf("%w: the server answered %d", errRefused, status)
	}
	return nil
}

// signer signs as the receiver expects; that of a --stack also says where it is.
func (c *webhookSendCmd) signer(ctx context.Context, env environment) (*payments.Standard, error) {
	if env.stack == "" {
		return webhookSigner(env)
	}
	s, err := findStack(ctx, env.stack)
	if err != nil {
		return nil, err
	}
	url, secrets, err := s.webhook(ctx)
	if err != nil {
		return nil, err
	}
	if c.URL == "" {
		c.URL = url
	}
	return payments.NewStandard(secrets[:1])
}

// endpoint returns where the API begins, and where the event goes. --url may name either.
func (c webhookSendCmd) endpoint(env environment) (base, endpoint string) {
	const path = "/v1/payments/webhook"
	base = strings.TrimSuffix(c.URL, "/")
	if base == "" {
		base = "http://" + env.config.Addr
	}
	base = strings.TrimSuffix(base, path)
	return base, base + path
}

// askAmount finds out what the order costs, or, when there is none yet, its hold.
func (c *webhookSendCmd) askAmount(ctx context.Context, base string) error {
	id, ok := checkout.ParseOrderID(c.Order)
	if c.Hold != "" {
		id, ok = checkout.ParseHoldID(c.Hold)
	}
	if !ok {
		return fmt.Errorf("%w: %q is not the id of an order or a hold", errUsage, c.Order+c.Hold)
	}
	var order struct {
		Amount struct {
			Amount   int64
			Currency string
		}
	}
	found, err := get(ctx, base+"/v1/orders/"+id.OrderID(), &order)
	if err != nil {
		return err
	}
	amount, unit := order.Amount.Amount, order.Amount.Currency
	if !found {
		var hold struct {
			ProductID string `json:"product_id"`
			Qty       int64
		}
		var product struct {
			Price struct {
				Amount   int64
				Currency string
			}
		}
		if found, err = get(ctx, base+"/v1/holds/"+id.HoldID(), &hold); err == nil && found {
			found, err = get(ctx, base+"/v1/products/"+hold.ProductID, &product)
		}
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("%w: there is no such order or hold to ask the amount of; give --amount and --currency", errUsage)
		}
		amount, unit = hold.Qty*product.Price.Amount, product.Price.Currency
	}
	if c.Amount == nil {
		c.Amount = &amount
	}
	if c.Currency == "" {
		c.Currency = unit
	}
	return nil
}

// get reads JSON; false when there is no such thing.
func get(ctx context.Context, url string, into any) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, fmt.Errorf("%w: --url: %w", errUsage, err)
	}
	status, body, err := do(request)
	if err != nil || status == http.StatusNotFound {
		return false, err
	}
	if status != http.StatusOK {
		return false, fmt.Errorf("asking for the amount: %s answered %d", url, status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return false, fmt.Errorf("asking for the amount: %w", err)
	}
	return true, nil
}

func do(request *http.Request) (status int, body []byte, err error) {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, fmt.Errorf("is the server running? %w", err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	body, err = io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return response.StatusCode, body, err
}
