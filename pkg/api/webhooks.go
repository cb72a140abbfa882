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
	huma.Register(api, refuses(huma.Operation{
		OperationID: "receive-stripe-event", Method: http.MethodPost, Path: "/payments/webhook/stripe", Tags: []string{string(Webhooks)}, SkipValidateBody: true,
		Summary:     "Receive a payment event (Stripe)",
		Description: "The Content-Type and the parameters of the URL are ignored. Accepts Stripe's own events: payment_intent.succeeded, checkout.session.completed, checkout.session.async_payment_succeeded, refund.created, refund.updated, refund.failed, charge.refunded, charge.dispute.created and charge.dispute.closed. Others are recorded and ignored. The order of a success is `metadata.order_id` or `metadata.hold_id`; the others name its payment. Returns 404 if no Stripe secret is configured.",
		Responses:   unmatched(),
	}, codes...), w.receiveStripe)
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
	ID        string `header:"webhook-id" doc:"The event's id, the same in every delivery: 1 to 255 printable ASCII characters other than {." example:"evt_2f6c1b"`
	Timestamp string `header:"webhook-timestamp" doc:"When this delivery was signed, in seconds since 1970: at most 5 minutes from the current time." example:"1795770000"`
	Signature string `header:"webhook-signature" doc:"v1, and a comma and the base64 of the HMAC-SHA256 of id.timestamp.body, with the key that the secret has after whsec_ in base64. One for each secret, separated by spaces." example:"v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="`
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
	Signature string `header:"Stripe-Signature" doc:"As Stripe sends it." example:"t=1795770000,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd"`
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
