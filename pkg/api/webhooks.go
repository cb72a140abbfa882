package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"flashsale/pkg/checkout"
)

// Verifier tells who sent a webhook and what it means: pkg/payments has one for each provider. It sees the bytes as
// they came, before anything is parsed. Codes: signature_invalid, timestamp_out_of_tolerance, malformed_request,
// invalid_request, not_found (nobody has set a secret up), busy (the secrets cannot be read just now).
type Verifier interface {
	Event(ctx context.Context, header http.Header, body []byte) (checkout.PaymentEvent, error)
}

type webhooks struct {
	service          *checkout.Service
	standard, stripe Verifier
}

func (w webhooks) register(api huma.API) {
	codes := []checkout.Code{
		checkout.CodeMalformedRequest, checkout.CodeSignatureInvalid, checkout.CodeTimestampTolerance, checkout.CodeNotFound,
		codeBodyTooLarge, checkout.CodeInvalidRequest,
	}
	unmatched := func() map[string]*huma.Response {
		return map[string]*huma.Response{"202": {Description: "Stored; there is no such hold or order yet"}}
	}
	huma.Register(api, refuses(huma.Operation{
		OperationID: "receive-payment-event", Method: http.MethodPost, Path: "/payments/webhook", Tags: []string{string(Webhooks)}, MaxBodyBytes: maxWebhookBody + 1, SkipValidateBody: true,
		Summary:     "Take a payment event (Standard Webhooks)",
		Description: "Signed as https://www.standardwebhooks.com says; `webhook-id` is the idempotency key. Events may come twice, late, in any order, and before the order. Answers 404 where no secret is configured.",
		RequestBody: eventBody(), Responses: unmatched(),
	}, codes...), w.receiveStandard)
	sameBody(api, "/payments/webhook", http.StatusOK, http.StatusAccepted)
	huma.Register(api, refuses(huma.Operation{
		OperationID: "receive-stripe-event", Method: http.MethodPost, Path: "/payments/webhook/stripe", Tags: []string{string(Webhooks)}, MaxBodyBytes: maxWebhookBody + 1, SkipValidateBody: true,
		Summary:     "Take a payment event (Stripe)",
		Description: "Stripe's own events; the order is `metadata.order_id` (or `metadata.hold_id`). Answers 404 where no Stripe secret is configured.",
		RequestBody: &huma.RequestBody{Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Type: huma.TypeObject, Description: "A Stripe event."}}}},
		Responses:   unmatched(),
	}, codes...), w.receiveStripe)
	sameBody(api, "/payments/webhook/stripe", http.StatusOK, http.StatusAccepted)
}

// eventBody describes what the Standard Webhooks route takes. It is documentation only (SkipValidateBody): the signature
// covers the bytes, so they are verified before they are read.
func eventBody() *huma.RequestBody {
	return &huma.RequestBody{Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{
		Type: huma.TypeObject, Required: []string{"type", "data"},
		Properties: map[string]*huma.Schema{
			"type":      {Type: huma.TypeString, Description: "payment.succeeded, payment.failed or payment.refunded; others are recorded and ignored."},
			"timestamp": {Type: huma.TypeString, Format: "date-time"},
			"data": {Type: huma.TypeObject, Properties: map[string]*huma.Schema{
				"payment_id": {Type: huma.TypeString},
				"order_id":   {Type: huma.TypeString, Description: "This or hold_id."},
				"hold_id":    {Type: huma.TypeString},
				"amount":     {Type: huma.TypeInteger, Description: "In minor units."},
				"currency":   {Type: huma.TypeString, Examples: []any{"USD"}},
			}},
		},
	}}}}
}

// EventResult is what became of a delivery.
type EventResult struct {
	Result      string `json:"result" enum:"applied,duplicate,ignored,unmatched"`
	OrderID     string `json:"order_id,omitempty"`
	OrderStatus string `json:"order_status,omitempty" enum:"pending_payment,paid,cancelled,refund_due,refunded"`
}

type eventAnswer struct {
	Status int
	Body   EventResult
}

func (w webhooks) receiveStandard(ctx context.Context, in *struct {
	ID        string `header:"webhook-id" doc:"The event's id, the same in every delivery."`
	Timestamp string `header:"webhook-timestamp" doc:"Seconds since 1970, at most 5 minutes off."`
	Signature string `header:"webhook-signature" doc:"v1,… for each secret, separated by spaces."`
	RawBody   []byte `contentType:"application/json"`
},
) (*eventAnswer, error) {
	header := http.Header{}
	header.Set("webhook-id", in.ID)
	header.Set("webhook-timestamp", in.Timestamp)
	header.Set("webhook-signature", in.Signature)
	return w.receive(ctx, "standard", w.standard, header, in.RawBody)
}

func (w webhooks) receiveStripe(ctx context.Context, in *struct {
	Signature string `header:"Stripe-Signature"`
	RawBody   []byte `contentType:"application/json"`
},
) (*eventAnswer, error) {
	return w.receive(ctx, "stripe", w.stripe, http.Header{"Stripe-Signature": {in.Signature}}, in.RawBody)
}

func (w webhooks) receive(ctx context.Context, provider string, verifier Verifier, header http.Header, body []byte) (*eventAnswer, error) {
	event, err := verifier.Event(ctx, header, body)
	if err != nil {
		w.service.Recorder.Record(checkout.WebhookEvents, 1, provider, "refused")
		return nil, err
	}
	outcome, err := w.service.ApplyPayment(ctx, event)
	if err != nil {
		return nil, err
	}
	out := &eventAnswer{Status: http.StatusOK}
	if outcome.Result == checkout.PaymentUnmatched {
		out.Status = http.StatusAccepted
	}
	out.Body.Result = string(outcome.Result)
	if outcome.Order != nil {
		out.Body.OrderID, out.Body.OrderStatus = outcome.Order.ID.OrderID(), string(outcome.Order.Status)
	}
	return out, nil
}
