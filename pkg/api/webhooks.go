package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"flashsale/pkg/checkout"
)

// Verifier verifies and reads the webhooks of one provider; pkg/payments implements it. body has the bytes that the
// signature covers. Codes: signature_invalid, timestamp_out_of_tolerance, malformed_request and
// invalid_request (both in a checkout.UnreadableError), not_found (no secret is configured), busy (the secrets cannot be read).
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
		codeBodyTooLarge, checkout.CodeInvalidRequest, checkout.CodeEventIDReused,
	}
	unmatched := func() map[string]*huma.Response {
		return map[string]*huma.Response{"202": {Description: "The event is stored: its order or payment is not known yet (`unmatched`), or applying it failed and is tried again (`stored`)"}}
	}
	huma.Register(api, refuses(huma.Operation{
		OperationID: "receive-payment-event", Method: http.MethodPost, Path: "/payments/webhook", Tags: []string{string(Webhooks)}, SkipValidateBody: true,
		Summary:     "Receive a payment event (Standard Webhooks)",
		Description: "The signature follows https://www.standardwebhooks.com, and `webhook-id` is the idempotency key. Events may arrive twice, late, in any order, and before their order exists. The Content-Type and the parameters of the URL are ignored. An event with a valid signature that cannot be read is kept for an operator and refused with 422. Returns 404 if no secret is configured.",
		Responses:   unmatched(),
	}, codes...), w.receiveStandard)
	documentEvent(api, "/payments/webhook", standardEvent())
	huma.Register(api, refuses(huma.Operation{
		OperationID: "receive-stripe-event", Method: http.MethodPost, Path: "/payments/webhook/stripe", Tags: []string{string(Webhooks)}, SkipValidateBody: true,
		Summary:     "Receive a payment event (Stripe)",
		Description: "The Content-Type and the parameters of the URL are ignored. Accepts Stripe's own events: payment_intent.succeeded, checkout.session.completed, checkout.session.async_payment_succeeded, refund.created, refund.updated, refund.failed, charge.refunded, charge.dispute.created and charge.dispute.closed. Others are recorded and ignored. The order of a success is `metadata.order_id` or `metadata.hold_id`; the others name its payment. Returns 404 if no Stripe secret is configured.",
		Responses:   unmatched(),
	}, codes...), w.receiveStripe)
	documentEvent(api, "/payments/webhook/stripe", &huma.Schema{Type: huma.TypeObject, Description: "A Stripe event."})
}

// documentEvent documents the body of an event, and the body of both successes. huma documents the raw body as bytes.
func documentEvent(api huma.API, path string, body *huma.Schema) {
	api.OpenAPI().Paths[path].Post.RequestBody.Content["application/json"].Schema = body
	sameBody(api, path, http.StatusOK, http.StatusAccepted)
}

// standardEvent describes the body of a Standard Webhooks event. huma does not validate it (SkipValidateBody), because
// the signature has to be verified before the body is parsed.
func standardEvent() *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, Required: []string{"type", "data"},
		Properties: map[string]*huma.Schema{
			"type":      {Type: huma.TypeString, Description: "payment.succeeded, payment.failed, payment.refunded, payment.refund_failed, payment.disputed or payment.dispute_closed. Other types are recorded and ignored."},
			"timestamp": {Type: huma.TypeString, Format: "date-time"},
			"data": {Type: huma.TypeObject, Properties: map[string]*huma.Schema{
				"payment_id": {Type: huma.TypeString, Description: "The provider's id of the payment. Without it a success is a payment of its own, and a refund is of the order's only payment that holds money. Required by the dispute types."},
				"order_id":   {Type: huma.TypeString, Description: "Required by payment.succeeded and payment.failed, unless hold_id is given."},
				"hold_id":    {Type: huma.TypeString},
				"refund_id":  {Type: huma.TypeString, Description: "The provider's id of the refund. Required by payment.refund_failed."},
				"dispute_id": {Type: huma.TypeString, Description: "The provider's id of the dispute, if a payment can have several."},
				"outcome":    {Type: huma.TypeString, Enum: []any{"won", "lost"}, Description: "Required by payment.dispute_closed."},
				"amount":     {Type: huma.TypeInteger, Description: "In minor units of ISO 4217. Required by payment.succeeded. A refund without it is of all that is left."},
				"currency":   {Type: huma.TypeString, Examples: []any{"USD"}, Description: "ISO 4217. Required by payment.succeeded."},
			}},
		},
	}
}

// EventResult is the effect of one delivery.
type EventResult struct {
	Result      string `json:"result" enum:"applied,duplicate,ignored,unmatched,stored"`
	OrderID     string `json:"order_id,omitempty"`
	OrderStatus string `json:"order_status,omitempty" enum:"pending_payment,paid,cancelled,refund_due,refunded"`
}

type eventResponse struct {
	Status int
	Body   EventResult
}

func (w webhooks) receiveStandard(ctx context.Context, in *struct {
	ID        string `header:"webhook-id" doc:"The event's id, the same in every delivery."`
	Timestamp string `header:"webhook-timestamp" doc:"Seconds since 1970, at most 5 minutes from the current time."`
	Signature string `header:"webhook-signature" doc:"One v1,… per secret, separated by spaces."`
	RawBody   []byte `contentType:"application/json"`
},
) (*eventResponse, error) {
	header := http.Header{}
	header.Set("webhook-id", in.ID)
	header.Set("webhook-timestamp", in.Timestamp)
	header.Set("webhook-signature", in.Signature)
	return w.receive(ctx, checkout.ProviderStandard, w.standard, header, in.RawBody)
}

func (w webhooks) receiveStripe(ctx context.Context, in *struct {
	Signature string `header:"Stripe-Signature"`
	RawBody   []byte `contentType:"application/json"`
},
) (*eventResponse, error) {
	return w.receive(ctx, checkout.ProviderStripe, w.stripe, http.Header{"Stripe-Signature": {in.Signature}}, in.RawBody)
}

func (w webhooks) receive(ctx context.Context, provider string, verifier Verifier, header http.Header, body []byte) (*eventResponse, error) {
	event, err := verifier.Event(ctx, header, body)
	var unreadable *checkout.UnreadableError
	switch {
	case errors.As(err, &unreadable):
		if err := w.service.RejectEvent(ctx, unreadable.Event); err != nil {
			return nil, err // the provider sends it again
		}
		w.service.Recorder.Record(checkout.WebhookEvents, 1, provider, "unreadable")
		return nil, unreadable.Refusal
	case err != nil:
		w.service.Recorder.Record(checkout.WebhookEvents, 1, provider, "refused")
		return nil, err
	}
	receipt, err := w.service.ApplyEvent(ctx, event)
	if err != nil {
		if checkout.CodeOf(err) == checkout.CodeEventIDReused {
			w.service.Recorder.Record(checkout.WebhookEvents, 1, provider, "reused")
		}
		return nil, err
	}
	infoOf(ctx).err = receipt.Cause // for the log
	out := &eventResponse{Status: http.StatusOK}
	if receipt.Result == checkout.PaymentUnmatched || receipt.Result == checkout.PaymentStored {
		out.Status = http.StatusAccepted
	}
	out.Body.Result = string(receipt.Result)
	if receipt.Order != nil {
		out.Body.OrderID, out.Body.OrderStatus = receipt.Order.ID.OrderID(), string(receipt.Order.Status)
	}
	return out, nil
}
