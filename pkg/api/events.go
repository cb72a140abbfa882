package api

import (
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// eventType describes the body of one type of Standard Webhooks event. pkg/payments reads it.
type eventType struct {
	schema, effect string
	required       []string // members that data needs
	oneOf          []string // members of which data needs at least one
	optional       []string
	example        map[string]any
}

var (
	theOrder          = []string{"order_id", "hold_id"}
	thePaymentOrOrder = []string{"payment_id", "order_id", "hold_id"}
)

var eventTypes = map[string]eventType{
	"payment.succeeded": {
		"PaymentSucceeded", "The money arrived. The order is paid if it is exactly the order's amount.",
		[]string{"amount", "currency"}, theOrder, []string{"payment_id"},
		map[string]any{"payment_id": examplePaymentID, "order_id": exampleOrderID, "amount": 4999, "currency": "USD"},
	},
	"payment.failed": {
		"PaymentFailed", "The payment failed for good: no other attempt follows. The order is cancelled if nothing was received for it.",
		nil, theOrder, []string{"payment_id"},
		map[string]any{"payment_id": examplePaymentID, "order_id": exampleOrderID},
	},
	"payment.processing": {
		"PaymentProcessing", "A payment is under way. The order has its whole time to pay, even if the shop limits how long units stay reserved.",
		nil, theOrder, []string{"payment_id"},
		map[string]any{"payment_id": examplePaymentID, "order_id": exampleOrderID},
	},
	"payment.refunded": {
		"PaymentRefunded", "Money went back to the shopper.",
		nil, thePaymentOrOrder, []string{"refund_id", "amount", "currency"},
		map[string]any{"payment_id": examplePaymentID, "refund_id": "re_1", "amount": 1000, "currency": "USD"},
	},
	"payment.refund_failed": {
		"PaymentRefundFailed", "A refund failed, so its money is owed again.",
		[]string{"refund_id"}, nil, []string{"payment_id", "order_id", "hold_id", "amount", "currency"},
		map[string]any{"payment_id": examplePaymentID, "refund_id": "re_1"},
	},
	"payment.disputed": {
		"PaymentDisputed", "The shopper disputes the payment. Operators see it while it is open.",
		[]string{"payment_id"}, nil, []string{"dispute_id", "amount", "currency"},
		map[string]any{"payment_id": examplePaymentID, "dispute_id": "dp_1", "amount": 4999, "currency": "USD"},
	},
	"payment.dispute_closed": {
		"PaymentDisputeClosed", "A dispute ended. If it is lost, its money has gone back.",
		[]string{"payment_id", "outcome"}, nil, []string{"dispute_id", "amount", "currency"},
		map[string]any{"payment_id": examplePaymentID, "dispute_id": "dp_1", "outcome": "lost", "amount": 4999, "currency": "USD"},
	},
}

// documentEvents documents the bodies of webhooks, which huma knows as bytes only, and that both successes have one body.
func documentEvents(contract *huma.OpenAPI) {
	schemas := contract.Components.Schemas.Map()
	const ref = "#/components/schemas/"
	every := &huma.Schema{
		Description:   "An event of a Standard Webhooks sender. Events of other types are recorded and ignored. null and \"\" count as missing, and members that are not listed are ignored.",
		Discriminator: &huma.Discriminator{PropertyName: "type", Mapping: map[string]string{}},
	}
	bodies := map[string]*huma.Example{}
	for _, name := range eventOrder {
		event := eventTypes[name]
		schemas[event.schema] = event.describe(name)
		every.OneOf = append(every.OneOf, &huma.Schema{Ref: ref + event.schema})
		every.Discriminator.Mapping[name] = ref + event.schema
		bodies[name] = &huma.Example{Summary: name, Description: event.effect, Value: map[string]any{"type": name, "timestamp": exampleTime(time.Minute), "data": event.example}}
	}
	schemas["PaymentEvent"], schemas["StripeEvent"] = every, stripeEvent()
	for path, body := range map[string]*huma.MediaType{
		"/payments/webhook":        {Schema: &huma.Schema{Ref: ref + "PaymentEvent"}, Examples: bodies},
		"/payments/webhook/stripe": {Schema: &huma.Schema{Ref: ref + "StripeEvent"}, Examples: stripeExamples()},
	} {
		op := contract.Paths[path].Post
		op.RequestBody.Content["application/json"] = body
		op.RequestBody.Required = true
		op.Responses["202"].Content = op.Responses["200"].Content
		for _, header := range op.Parameters {
			header.Required = true // a delivery without it is signature_invalid, not invalid_request
		}
	}
}

// eventOrder is the order of the types in the document: that of a payment's life.
var eventOrder = []string{
	"payment.processing", "payment.succeeded", "payment.failed", "payment.refunded", "payment.refund_failed", "payment.disputed", "payment.dispute_closed",
}

// describe lists the members of data in full, and says in words that it needs one of several: openapi-typescript makes
// unusable types of allOf and anyOf here.
func (e eventType) describe(name string) *huma.Schema {
	data := &huma.Schema{Type: huma.TypeObject, Required: e.required, Properties: map[string]*huma.Schema{}}
	for _, member := range slices.Concat(e.required, e.oneOf, e.optional) {
		data.Properties[member] = eventMember(member)
	}
	if e.oneOf != nil {
		data.Description = "Needs at least one of " + strings.Join(e.oneOf, ", ") + "."
	}
	return &huma.Schema{
		Type: huma.TypeObject, Description: e.effect, Required: []string{"type", "data"},
		Properties: map[string]*huma.Schema{
			"type":      {Type: huma.TypeString, Enum: []any{name}},
			"timestamp": {Type: huma.TypeString, Format: "date-time", Description: "When it happened."},
			"data":      data,
		},
	}
}

func eventMember(name string) *huma.Schema {
	text := func(description string, example any) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Description: description, Examples: []any{example}}
	}
	switch name {
	case "payment_id":
		return text("The provider's id of the payment. Without it a success is a payment of its own, and a refund is of the order's only payment that holds money.", examplePaymentID)
	case "order_id":
		return text("The order's id. An order has the id of its hold, so you may name the hold instead.", exampleOrderID)
	case "hold_id":
		return text("The hold's id.", exampleHoldID)
	case "refund_id":
		return text("The provider's id of the refund.", "re_1")
	case "dispute_id":
		return text("The provider's id of the dispute, if a payment can have several.", "dp_1")
	case "outcome":
		return &huma.Schema{Type: huma.TypeString, Enum: []any{"won", "lost"}, Description: "How the dispute ended."}
	case "currency":
		return text("ISO 4217.", "USD")
	}
	return &huma.Schema{
		Type: huma.TypeInteger, Format: "int64", Minimum: new(float64), Examples: []any{4999},
		Description: "In minor units of ISO 4217. A refund or dispute without it is of all that is left.",
	}
}

// stripeEvent describes the members of Stripe's events that are read.
func stripeEvent() *huma.Schema {
	text := &huma.Schema{Type: huma.TypeString}
	return &huma.Schema{
		Type: huma.TypeObject, Required: []string{"id", "type", "data"},
		Description: "An event exactly as Stripe sends it: https://docs.stripe.com/api/events/object. Only the members listed here are read. " +
			"Amounts are in Stripe's own minor units.",
		Properties: map[string]*huma.Schema{
			"id":       {Type: huma.TypeString, Description: "The idempotency key."},
			"type":     text,
			"created":  {Type: huma.TypeInteger, Format: "int64"},
			"livemode": {Type: huma.TypeBoolean, Description: "Events of the other mode are refused, if the server is set up for one."},
			"account":  text,
			"data": {Type: huma.TypeObject, Required: []string{"object"}, Properties: map[string]*huma.Schema{
				"object": {
					Type:        huma.TypeObject,
					Description: "The payment intent, checkout session, refund, charge or dispute. A success needs `metadata.order_id` or `metadata.hold_id`; without them it is ignored. The others need `payment_intent`.",
					Properties: map[string]*huma.Schema{"metadata": {Type: huma.TypeObject, Properties: map[string]*huma.Schema{
						"order_id": {Type: huma.TypeString, Examples: []any{exampleOrderID}}, "hold_id": {Type: huma.TypeString, Examples: []any{exampleHoldID}},
					}}},
				},
			}},
		},
	}
}

func stripeExamples() map[string]*huma.Example {
	event := func(kind string, object map[string]any) *huma.Example {
		return &huma.Example{Value: map[string]any{
			"id": "evt_1PqX", "type": kind, "created": exampleStart.Unix(), "livemode": false, "data": map[string]any{"object": object},
		}}
	}
	return map[string]*huma.Example{
		"payment_intent.succeeded": event("payment_intent.succeeded", map[string]any{
			"id": "pi_3PqX", "amount_received": 4999, "currency": "usd", "metadata": map[string]any{"order_id": exampleOrderID},
		}),
		"refund.created": event("refund.created", map[string]any{
			"id": "re_3PqX", "payment_intent": "pi_3PqX", "amount": 1000, "currency": "usd", "status": "succeeded",
		}),
	}
}
