package payments

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v85/webhook"

	"flashsale/pkg/checkout"
)

const stripeSignature = "Stripe-Signature"

// Stripe verifies, reads and signs the events of one Stripe account.
type Stripe struct{ secrets []string }

// NewStripe takes the valid signing secrets of the endpoint, "whsec_…" as Stripe shows them. Unlike those of Standard
// Webhooks they are not base64. All of them verify, and the first one signs.
//
// Use the secrets of an account endpoint. A live Connect endpoint also receives the test payments of connected accounts
// (https://docs.stripe.com/connect/webhooks), which must not pay an order.
func NewStripe(secrets []string) (*Stripe, error) {
	parsed, err := parseSecrets(secrets, func(rest string) (string, error) {
		if strings.Contains(rest, " ") || !printable(rest) { // with an empty key anyone could sign
			return "", errors.New("expected letters and digits after whsec_")
		}
		return secretPrefix + rest, nil
	})
	if err != nil {
		return nil, err
	}
	return &Stripe{secrets: parsed}, nil
}

// Event verifies a delivery and reads it. header has canonical keys, as in net/http. body has the received bytes, which
// the signature covers. Codes: signature_invalid, timestamp_out_of_tolerance, malformed_request, invalid_request.
//
// The metadata of the event's object names the order. Stripe copies the metadata of a payment intent to its charge, but
// does not copy that of a checkout session. So a session needs it in payment_intent_data.metadata as well, or its refund
// names no order.
func (s *Stripe) Event(header http.Header, body []byte) (checkout.PaymentEvent, error) {
	if err := s.verify(header.Get(stripeSignature), body); err != nil {
		return checkout.PaymentEvent{}, err
	}
	return readStripe(body)
}

// Sign returns the header of a delivery of body, signed with the first secret.
func (s *Stripe) Sign(at time.Time, body []byte) http.Header {
	signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: s.secrets[0], Timestamp: at})
	return http.Header{stripeSignature: {signed.Header}}
}

// verify checks the timestamp with checkTolerance, because the library accepts any time in the future.
func (s *Stripe) verify(signature string, body []byte) error {
	signedAt, ok := stripeTimestamp(signature)
	if !ok {
		return checkout.SignatureInvalid(webhook.ErrInvalidHeader)
	}
	var err error
	for _, secret := range s.secrets {
		if err = webhook.ValidatePayloadIgnoringTolerance(body, signature, secret); err == nil {
			return checkTolerance(signedAt)
		}
	}
	return checkout.SignatureInvalid(err)
}

// stripeTimestamp reads the t of "t=1492774577,v1=…". It refuses several, because the library could verify another one
// than is checked here.
func stripeTimestamp(signature string) (at time.Time, ok bool) {
	for pair := range strings.SplitSeq(signature, ",") {
		value, found := strings.CutPrefix(pair, "t=")
		if !found {
			continue
		}
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || ok {
			return time.Time{}, false
		}
		at, ok = time.Unix(seconds, 0), true
	}
	return at, ok
}

// readStripe reads a body whose signature was verified. It reads only the members it needs, because stripe.Event accepts
// a single API version.
func readStripe(body []byte) (checkout.PaymentEvent, error) {
	top, err := parseBody(body)
	if err != nil {
		return checkout.PaymentEvent{}, err
	}
	envelope, details := &reader{}, &reader{}
	event := checkout.PaymentEvent{
		Provider:   checkout.ProviderStripe,
		EventID:    envelope.text(top, "id"),
		Type:       envelope.text(top, "type"),
		Digest:     sha256.Sum256(body),
		OccurredAt: top.unix("created"),
	}
	envelope.require(top, "id", "type")

	data := details.object(details.object(top, "data"), "object")
	event.Kind = envelope.stripeKind(event.Type, data)
	metadata := details.object(data, "metadata")
	if metadata.namesOurs("order_id") || metadata.namesOurs("hold_id") {
		event.Subject, _ = details.subject(metadata)
	} else if details.ok() {
		// The event belongs to other business of the same Stripe account, such as a subscription. After a refusal Stripe
		// would retry it for three days.
		event.Kind = checkout.PaymentOther
	}
	event.PaymentID = details.stripePaymentID(event.Type, data)
	amount := stripeAmount(event.Type)
	if event.Kind == checkout.PaymentSucceeded { // without both, the amount paid is unknown
		details.require(data, amount, "currency")
	}
	event.Amount = details.money(data, amount)
	if event.Kind != checkout.PaymentOther {
		envelope.adopt(details)
	}
	return envelope.result(event)
}

// stripeKind returns what an event means to an order. A declined attempt (payment_intent.payment_failed) is other: the
// shopper may try again with another card.
func (r *reader) stripeKind(eventType string, data object) checkout.PaymentKind {
	switch eventType {
	case "payment_intent.succeeded", "checkout.session.async_payment_succeeded":
		return checkout.PaymentSucceeded
	case "payment_intent.canceled", "checkout.session.expired", "checkout.session.async_payment_failed":
		return checkout.PaymentFailed
	case "checkout.session.completed": // unpaid: a slow method such as bank debit, whose success is a separate event
		if r.text(data, "payment_status") == "paid" {
			return checkout.PaymentSucceeded
		}
	case "charge.refunded": // also sent for a partial refund; refunded is true for a full one
		if r.boolean(data, "refunded") {
			return checkout.PaymentRefunded
		}
	}
	return checkout.PaymentOther
}

// stripePaymentID returns the id of the payment intent, which all events of one payment share. Other objects refer to it
// by its id or, depending on the account's settings, contain the whole object.
func (r *reader) stripePaymentID(eventType string, data object) string {
	if strings.HasPrefix(eventType, "payment_intent.") {
		return r.text(data, "id")
	}
	if raw, _ := data.get("payment_intent"); len(raw) > 0 && raw[0] == '{' {
		return r.text(r.object(data, "payment_intent"), "id")
	}
	return r.text(data, "payment_intent")
}

// stripeAmount returns the member with the amount paid or, in a charge, refunded, in minor units.
func stripeAmount(eventType string) string {
	switch {
	case strings.HasPrefix(eventType, "payment_intent."):
		return "amount_received"
	case strings.HasPrefix(eventType, "checkout.session."):
		return "amount_total"
	}
	return "amount_refunded"
}
