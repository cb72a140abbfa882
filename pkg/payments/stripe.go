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
	"flashsale/pkg/money"
)

const stripeSignature = "Stripe-Signature"

// Stripe verifies, reads and signs the events of one Stripe account.
type Stripe struct {
	secrets []string
	only    StripeOnly
}

// StripeOnly limits the events that are read. Its zero value reads all.
type StripeOnly struct {
	Livemode *bool  // refuses events of the other mode
	Account  string // refuses events that name another account
}

// NewStripe takes the valid signing secrets of the endpoint, "whsec_…" as Stripe shows them. Unlike those of Standard
// Webhooks they are not base64. All of them verify, and the first one signs.
//
// Use the secrets of an account endpoint. A live Connect endpoint also receives the test payments of connected accounts
// (https://docs.stripe.com/connect/webhooks), which must not pay an order.
func NewStripe(secrets []string, only StripeOnly) (*Stripe, error) {
	parsed, err := parseSecrets(secrets, func(rest string) (string, error) {
		if strings.Contains(rest, " ") || !printable(rest) { // with an empty key anyone could sign
			return "", errors.New("expected letters and digits after whsec_")
		}
		return secretPrefix + rest, nil
	})
	if err != nil {
		return nil, err
	}
	return &Stripe{parsed, only}, nil
}

// Event verifies a delivery and reads it. header has canonical keys, as in net/http. body has the received bytes, which
// the signature covers. Codes: signature_invalid, timestamp_out_of_tolerance, malformed_request, invalid_request.
//
// The metadata of the event's object names the order of a success. Refunds and disputes have none: they name the payment.
func (s *Stripe) Event(header http.Header, body []byte) (checkout.PaymentEvent, error) {
	if err := s.verify(header.Get(stripeSignature), body); err != nil {
		return checkout.PaymentEvent{}, err
	}
	top, err := parseBody(body)
	event := checkout.PaymentEvent{}
	if err == nil {
		event, err = s.read(top, body)
	}
	if err != nil {
		return checkout.PaymentEvent{}, unreadable(checkout.ProviderStripe, top.plain("id"), top.plain("type"), body, err)
	}
	return event, nil
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

// read reads a body whose signature was verified. It reads only the members it needs, because stripe.Event accepts a
// single API version.
func (s *Stripe) read(top object, body []byte) (checkout.PaymentEvent, error) {
	envelope, details := &reader{}, &reader{}
	event := checkout.PaymentEvent{
		Provider:   checkout.ProviderStripe,
		EventID:    envelope.text(top, "id"),
		Type:       envelope.text(top, "type"),
		Kind:       checkout.PaymentOther,
		Digest:     sha256.Sum256(body),
		OccurredAt: top.unix("created"),
	}
	envelope.require(top, "id", "type")
	if want := s.only.Livemode; want != nil && envelope.boolean(top, "livemode") != *want {
		envelope.expect(top, "livemode", strconv.FormatBool(*want)+": this endpoint takes events of one mode only")
	}
	if account := top.plain("account"); s.only.Account != "" && account != "" && account != s.only.Account {
		envelope.expect(top, "account", "the account that this endpoint is set up for")
	}
	details.stripe(&event, details.object(details.object(top, "data"), "object"))
	if event.Kind != checkout.PaymentOther || (stripeTypes[event.Type] && details.twice) {
		envelope.adopt(details) // with a member twice nobody knows what it says
	}
	return envelope.result(event)
}

// stripeTypes are the types that can be about money of ours.
var stripeTypes = map[string]bool{
	"payment_intent.succeeded": true, "checkout.session.completed": true, "checkout.session.async_payment_succeeded": true,
	"refund.created": true, "refund.updated": true, "charge.refund.updated": true, "refund.failed": true, "charge.refunded": true,
	"charge.dispute.created": true, "charge.dispute.closed": true,
}

// stripe reads what the event says about its payment. The end of one attempt (payment_intent.canceled,
// checkout.session.expired, …payment_failed) says nothing of the next one: it has no effect.
func (r *reader) stripe(event *checkout.PaymentEvent, data object) {
	metadata := r.object(data, "metadata")
	ours := metadata.namesOurs("order_id") || metadata.namesOurs("hold_id")
	if ours {
		event.Subject, _ = r.subject(metadata)
	}
	event.PaymentID = r.stripePaymentID(event.Type, data)
	switch event.Type {
	case "payment_intent.succeeded":
		r.stripeSuccess(event, data, "amount_received", ours)
	case "checkout.session.async_payment_succeeded":
		r.stripeSuccess(event, data, "amount_total", ours)
	case "checkout.session.completed": // unpaid: a slow method such as bank debit, whose success is a separate event
		if status := r.text(data, "payment_status"); status == "paid" || status == "no_payment_required" {
			r.stripeSuccess(event, data, "amount_total", ours)
		} else if ours && status == "unpaid" {
			event.Kind = checkout.PaymentProcessing
		}
	case "payment_intent.processing", "payment_intent.requires_action": // the bank has the payment, or asks the shopper
		if ours {
			event.Kind = checkout.PaymentProcessing
		}
	case "refund.created", "refund.updated", "charge.refund.updated", "refund.failed":
		event.Kind, event.RefundID = checkout.PaymentRefunded, r.text(data, "id")
		if status := r.text(data, "status"); event.Type == "refund.failed" || status == "failed" || status == "canceled" {
			event.Kind = checkout.PaymentRefundFailed
		}
		r.stripeReturn(event, data, "amount", "id")
	case "charge.refunded":
		event.Kind = checkout.PaymentRefundedSum
		r.stripeReturn(event, data, "amount_refunded")
	case "charge.dispute.created":
		event.Kind, event.RefundID = checkout.PaymentDisputed, r.dispute(data, "id", "")
		r.stripeReturn(event, data, "amount", "id")
	case "charge.dispute.closed": // also warning_closed: an inquiry that did not become a dispute
		event.Kind, event.RefundID = checkout.PaymentDisputeWon, r.dispute(data, "id", "")
		switch r.text(data, "status") {
		case "lost":
			event.Kind = checkout.PaymentDisputeLost
		case "won", "warning_closed":
		default:
			r.expect(data, "status", "won, lost or warning_closed")
		}
		r.stripeReturn(event, data, "amount", "id")
	}
}

// stripeSuccess reads a success. Without our metadata it belongs to other business of the same Stripe account, such as a
// subscription: after a refusal Stripe would retry it for three days.
func (r *reader) stripeSuccess(event *checkout.PaymentEvent, data object, amount string, ours bool) {
	if !ours {
		return
	}
	event.Kind = checkout.PaymentSucceeded
	r.require(data, amount, "currency") // without both, the amount paid is unknown
	event.Amount = r.stripeMoney(data, amount)
	if event.PaymentID == "" {
		event.PaymentID = event.EventID
	}
}

// stripeReturn reads money that goes back. Without a payment intent it is other business: a charge without one is none
// of this checkout's.
func (r *reader) stripeReturn(event *checkout.PaymentEvent, data object, amount string, required ...string) {
	if _, has := data.get("payment_intent"); !has {
		event.Kind, event.RefundID = checkout.PaymentOther, ""
		return
	}
	r.require(data, append(required, amount, "currency")...)
	event.Amount = r.stripeMoney(data, amount)
	if event.Amount.Amount == 0 && r.ok() {
		r.expect(data, amount, "more than 0")
	}
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

// stripeDecimals are the currencies whose amounts Stripe writes with other decimals than ISO 4217.
// https://docs.stripe.com/currencies (special cases, zero-decimal currencies)
var stripeDecimals = map[string]int{"ISK": 2, "UGX": 2, "MGA": 0}

// stripeMoney reads an amount as Stripe writes it, and returns it in the minor units of ISO 4217.
func (r *reader) stripeMoney(data object, amount string) checkout.Money {
	m := r.money(data, amount)
	if m.Currency == "" {
		return m
	}
	decimals, _ := money.Decimals(m.Currency)
	if written, special := stripeDecimals[m.Currency]; special {
		for ; written < decimals; written++ {
			if m.Amount > checkout.MaxAmount/10 {
				r.expect(data, amount, "a smaller amount")
				return checkout.Money{}
			}
			m.Amount *= 10
		}
		for ; written > decimals; written-- {
			if m.Amount%10 != 0 {
				r.expect(data, amount, "a whole number of "+m.Currency)
				return checkout.Money{}
			}
			m.Amount /= 10
		}
	}
	return m
}
