package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"flashsale/pkg/checkout"
	"flashsale/pkg/payments"
)

type buyCmd struct {
	Product string `arg:"" help:"The product's id, such as demo."`
	Qty     int64  `help:"Units to buy (default: ${default})." default:"1" placeholder:"N"`
	URL     string `help:"The server (default: http:// and ADDR, or the API of --stack)." placeholder:"URL"`
	Shopper string `xor:"signin" help:"Sign in as this shopper, with a token as flashsale token prints (default: an anonymous shopper)." placeholder:"NAME"`
	Token   string `xor:"signin" help:"Sign in with this token of your identity provider." placeholder:"TOKEN"`
	Yes     bool   `help:"Buy from a server that is not on this machine. No money moves: the payment is an event that this command signs, and the units stay sold."`
	jsonFlag
}

// purchase sends the requests of one shopper, and prints each with its response.
type purchase struct {
	env   environment
	base  string
	token string // empty: anonymous
	quiet bool
}

// bought is a purchase, in the JSON of the command.
type bought struct {
	HoldID  string          `json:"hold_id"`
	EventID string          `json:"event_id,omitempty"` // of the payment; an order of amount 0 needs none
	Order   json.RawMessage `json:"order"`              // as the API shows it
}

// check refuses a purchase that the command line does not describe.
func (c buyCmd) check(env environment) error {
	switch {
	case c.Qty < 1:
		return fmt.Errorf("--qty is %d, expected 1 or more", c.Qty)
	case !checkout.ValidProductID(c.Product):
		return fmt.Errorf("the product is %q, expected 1 to 64 of a-z 0-9 -", c.Product)
	case c.Shopper != "" && env.stack != "":
		return errors.New("--shopper signs in to a server of this machine only: use --token with --stack")
	}
	return checkTarget(env, c.URL, c.Yes, fmt.Sprintf("sells %s of %s without money, with a payment event that this command signs, at", plural(c.Qty, "unit"), c.Product))
}

// Run buys units as a shopper and a payment provider do, and stops at the first refusal.
func (c buyCmd) Run(env environment) error {
	if err := c.check(env); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	ctx, cancel := context.WithTimeout(env.ctx, webhookTimeout)
	defer cancel()
	server := webhookSendCmd{URL: c.URL}
	signer, err := server.signer(ctx, env)
	if err != nil {
		return err
	}
	p := purchase{env: env, token: c.Token, quiet: c.JSON}
	p.base, _ = server.endpoint(env)
	if c.Shopper != "" {
		if p.token, err = developmentToken(env, c.Shopper, time.Hour); err != nil {
			return err
		}
	}
	result, err := c.buy(p, signer)
	if err == nil && c.JSON {
		err = printJSON(env.out, result)
	}
	return err
}

func (c buyCmd) buy(p purchase, signer *payments.Standard) (result bought, err error) {
	if err := p.do(http.MethodGet, "/v1/products/"+c.Product, nil, nil, nil); err != nil {
		return result, err
	}
	var hold struct{ ID string }
	key := http.Header{"Idempotency-Key": {uuid.NewString()}}
	if err := p.do(http.MethodPost, "/v1/holds", map[string]any{"product_id": c.Product, "qty": c.Qty}, key, &hold); err != nil {
		return result, err
	}
	result.HoldID = hold.ID
	var order struct {
		ID, Status string
		Amount     checkout.Money
	}
	if err := p.do(http.MethodPost, "/v1/orders", map[string]any{"hold_id": hold.ID}, nil, &order); err != nil {
		return result, err
	}
	if order.Status != string(checkout.OrderPaid) { // an order of amount 0 is paid at once
		at := time.Now()
		result.EventID = "evt_" + uuid.NewString()
		event := payments.StandardBody(payments.StandardSucceeded, at, payments.StandardData{
			PaymentID: "pay_" + result.EventID, OrderID: order.ID, Amount: &order.Amount.Amount, Currency: order.Amount.Currency,
		})
		provider := purchase{env: p.env, base: p.base, quiet: p.quiet} // a payment provider is no shopper
		err := provider.do(http.MethodPost, webhookPath, json.RawMessage(event), signer.Sign(result.EventID, at, event), nil)
		if checkout.CodeOf(err) == checkout.CodeSignatureInvalid {
			return result, fmt.Errorf("%w The order stays unpaid: %s", err, signedWith(p.env))
		}
		if err != nil {
			return result, err
		}
	}
	if err := p.do(http.MethodGet, "/v1/orders/"+order.ID, nil, nil, &result.Order); err != nil {
		return result, err
	}
	if err := json.Unmarshal(result.Order, &order); err != nil || order.Status != string(checkout.OrderPaid) {
		return result, fmt.Errorf("%w: the order is %s, expected it paid", errRefused, order.Status)
	}
	return result, nil
}

// do sends one request and prints it with the response. The body of a success goes into result, unless it is nil.
func (p purchase) do(method, path string, body any, header http.Header, result any) error {
	ctx, cancel := context.WithTimeout(p.env.ctx, webhookTimeout)
	defer cancel()
	var text []byte
	if body != nil {
		text, _ = json.Marshal(body) // strings, numbers and JSON cannot fail
	}
	request, err := http.NewRequestWithContext(ctx, method, p.base+path, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%w: --url: %w", errUsage, err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if p.token != "" {
		request.Header.Set("Authorization", "Bearer "+p.token)
	}
	status, response, err := send(p.env, request)
	if err != nil {
		return err
	}
	if !p.quiet {
		if err := write(p.env.out, "%s\n  %d %s\n", strings.TrimSpace(method+" "+path+" "+string(text)), status, oneLineOf(response)); err != nil {
			return err
		}
	}
	if status/100 != 2 {
		return refusal(status, response)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(response, result); err != nil {
		return fmt.Errorf("reading the response to %s %s: %w", method, path, err)
	}
	return nil
}

// refusal is an error with the API's own message.
func refusal(status int, response []byte) error {
	var problem struct{ Code, Detail string }
	if err := json.Unmarshal(response, &problem); err != nil || problem.Detail == "" {
		return fmt.Errorf("%w: the server responded with %d", errRefused, status)
	}
	return &checkout.Error{Code: checkout.Code(problem.Code), Detail: problem.Detail}
}

// shownBytes limits a response on the terminal.
const shownBytes = 600

// oneLineOf returns a response without its line ends.
func oneLineOf(response []byte) string {
	text := &bytes.Buffer{}
	if err := json.Compact(text, response); err != nil {
		return fmt.Sprintf("%.*q", shownBytes, response)
	}
	if text.Len() > shownBytes {
		return strings.ToValidUTF8(text.String()[:shownBytes], "") + "…"
	}
	return text.String()
}
