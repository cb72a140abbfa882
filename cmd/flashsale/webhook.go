package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"flashsale/pkg/payments"
)

type webhookCmd struct {
	Send   webhookSendCmd   `cmd:"" help:"Sign one payment event (Standard Webhooks) and send it. Uses the first of WEBHOOK_SECRETS, or else this directory's development secret; with --stack, the stack's secret. If EDGE_SECRET is set, the request has its first secret, as one through the edge."`
	Listen webhookListenCmd `cmd:"" help:"Forward the payment events that the checkout receives to your own back end, from now until Ctrl-C. Each delivery follows Standard Webhooks, has the event's id, and is signed with the secret that the command prints. Stripe's events come in this format, too. A failed delivery is retried up to four times."`
}

type webhookSendCmd struct {
	Type      string        `required:"" help:"Event type: ${event_types}." placeholder:"TYPE"`
	AnyType   bool          `help:"Send any type. The server records a type that it does not know, without effect."`
	Order     string        `xor:"subject" help:"The order of the payment. payment.succeeded, payment.failed and payment.processing need it or --hold." placeholder:"ord_…"`
	Hold      string        `xor:"subject" help:"The hold of the payment, instead of --order." placeholder:"hold_…"`
	Amount    *int64        `help:"Amount in minor units (default for a success: the order's; for a refund: all that is left)." placeholder:"4999"`
	Currency  string        `help:"ISO 4217 currency (default for a success: the order's)." placeholder:"USD"`
	PaymentID string        `help:"The provider's id of the payment (default for a success and a failure: pay_ and the event's id)." placeholder:"ID"`
	RefundID  string        `help:"The provider's id of the refund." placeholder:"ID"`
	DisputeID string        `help:"The provider's id of the dispute." placeholder:"ID"`
	Outcome   string        `help:"Outcome of a dispute." enum:",won,lost" default:"" placeholder:"won|lost"`
	ID        string        `help:"The event's id (default: a new one). Repeat an id to deliver the same event again." placeholder:"ID"`
	Age       time.Duration `help:"Age of the signature; negative is in the future." placeholder:"DURATION"`
	URL       string        `help:"The server (default: http:// and ADDR, or the API of --stack)." placeholder:"URL"`
	jsonFlag
}

const (
	webhookTimeout = 15 * time.Second
	webhookPath    = "/v1/payments/webhook"
)

func (c webhookSendCmd) Run(env environment) error {
	if err := c.checkType(); err != nil {
		return err
	}
	pays := c.Type == payments.StandardSucceeded || c.Type == payments.StandardFailed
	if (pays || c.Type == payments.StandardProcessing) && c.Order+c.Hold == "" {
		return fmt.Errorf("%w: %s needs --order or --hold", errUsage, c.Type)
	}
	ctx, cancel := context.WithTimeout(env.ctx, webhookTimeout)
	defer cancel()
	ours := c.URL == "" || env.stack != "" // the ledger is that of the server
	signer, err := c.signer(ctx, env)
	if err != nil {
		return err
	}
	base, endpoint := c.endpoint(env)
	if c.ID == "" {
		c.ID = "evt_" + uuid.NewString()
	}
	if pays && c.PaymentID == "" {
		c.PaymentID = "pay_" + c.ID
	}
	if c.Type == payments.StandardSucceeded && (c.Amount == nil || c.Currency == "") {
		if err := c.findAmount(ctx, env, base, ours); err != nil {
			return err
		}
	}
	at := time.Now().Add(-c.Age)
	body := payments.StandardBody(c.Type, at, payments.StandardData{
		PaymentID: c.PaymentID, OrderID: c.Order, HoldID: c.Hold, RefundID: c.RefundID, DisputeID: c.DisputeID, Outcome: c.Outcome,
		Amount: c.Amount, Currency: c.Currency,
	})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(string(body)))
	if err != nil {
		return fmt.Errorf("%w: --url: %w", errUsage, err)
	}
	request.Header = signer.Sign(c.ID, at, body)
	request.Header.Set("Content-Type", "application/json")
	status, response, err := send(env, request)
	if err != nil {
		return err
	}
	if err := c.print(env, sent{c.ID, status, asJSON(response)}, "%s: %d %s\n", c.ID, status, strings.TrimSpace(string(response))); err != nil {
		return err
	}
	if status == http.StatusUnauthorized {
		return fmt.Errorf("%w: the server responded with %d; %s", errRefused, status, signedWith(env))
	}
	if status/100 != 2 {
		return fmt.Errorf("%w: the server responded with %d", errRefused, status)
	}
	return nil
}

// sent is an event and the server's response, in the JSON of the command.
type sent struct {
	EventID  string          `json:"event_id"`
	Status   int             `json:"status"`
	Response json.RawMessage `json:"response"` // a string if it is not JSON
}

// asJSON returns a response as it is, or as a string if it is not JSON.
func asJSON(response []byte) json.RawMessage {
	if json.Valid(response) {
		return response
	}
	text, _ := json.Marshal(strings.TrimSpace(string(response))) // a string cannot fail
	return text
}

// checkType refuses a type that would have no effect, which is most likely misspelt.
func (c webhookSendCmd) checkType() error {
	types := payments.StandardTypes()
	if c.AnyType || slices.Contains(types, c.Type) {
		return nil
	}
	hint := "expected " + strings.Join(types, ", ") + ", or any type with --any-type"
	if near := nearest(c.Type, types); near != "" {
		hint = "did you mean " + near + "? It " + strings.Replace(hint, "expected", "can be", 1)
	}
	return fmt.Errorf("%w: --type is %q, %s", errUsage, c.Type, hint)
}

// signedWith says where the secret of a refused event came from.
func signedWith(env environment) string {
	switch {
	case env.stack != "":
		return "the event was signed with the secret of the stack " + env.stack
	case len(env.config.WebhookSecrets) > 0:
		return "the event was signed with the first of WEBHOOK_SECRETS: give the server the same, or unset it to use the directory's secret"
	}
	path, err := filepath.Abs(secretFile)
	if err != nil {
		path = secretFile
	}
	return "the event was signed with the secret in " + path + ": run this command in the directory of the server, or give both the same WEBHOOK_SECRETS"
}

// signer returns the signer that the receiver accepts. With --stack it also sets the URL.
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

// endpoint returns the base URL of the API and the URL of the webhook. --url may be either.
func (c webhookSendCmd) endpoint(env environment) (base, endpoint string) {
	base = strings.TrimSuffix(c.URL, "/")
	if base == "" {
		base = "http://" + env.config.Addr
	}
	base = strings.TrimSuffix(base, webhookPath)
	return base, base + webhookPath
}
