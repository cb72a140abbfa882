package payments

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"flashsale/pkg/checkout"
)

// The types of events that move an order. Every other type is recorded without effect.
const (
	StandardSucceeded = "payment.succeeded"
	StandardFailed    = "payment.failed"
	StandardRefunded  = "payment.refunded"
)

var standardKinds = map[string]checkout.PaymentKind{
	StandardSucceeded: checkout.PaymentSucceeded,
	StandardFailed:    checkout.PaymentFailed,
	StandardRefunded:  checkout.PaymentRefunded,
}

// minStandardKey refuses a key that anybody could guess, in bytes. The specification asks the sender for 24 to 64; the
// library would take an empty one, with which everybody can sign.
const minStandardKey = 8

// Standard reads and signs events by Standard Webhooks.
type Standard struct{ secrets []*standardwebhooks.Webhook }

// NewStandard takes the secrets that are valid now, each "whsec_" and the key in base64. The first one
// signs, all of them verify.
func NewStandard(secrets []string) (*Standard, error) {
	parsed, err := parseSecrets(secrets, func(encoded string) (*standardwebhooks.Webhook, error) {
		key, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return nil, errors.New("what follows whsec_ is not base64")
		}
		if len(key) < minStandardKey {
			return nil, fmt.Errorf("the key has %d bytes, expected at least %d", len(key), minStandardKey)
		}
		return standardwebhooks.NewWebhookRaw(key)
	})
	if err != nil {
		return nil, err
	}
	return &Standard{secrets: parsed}, nil
}

// Event verifies a delivery and reads it. header has canonical keys, as net/http makes them; body is what the
// signature covers, before any parsing or re-encoding. Codes: signature_invalid, timestamp_out_of_tolerance,
// malformed_request, invalid_request.
func (s *Standard) Event(header http.Header, body []byte) (checkout.PaymentEvent, error) {
	if err := s.verify(header, body); err != nil {
		return checkout.PaymentEvent{}, err
	}
	return readStandard(header.Get(standardwebhooks.HeaderWebhookID), body)
}

// Sign returns the headers of a delivery of body, signed with the first secret.
func (s *Standard) Sign(id string, at time.Time, body []byte) http.Header {
	signature, _ := s.secrets[0].Sign(id, at, body) // always nil: an HMAC cannot fail
	header := http.Header{}
	header.Set(standardwebhooks.HeaderWebhookID, id)
	header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return header
}

func (s *Standard) verify(header http.Header, body []byte) error {
	signedAt, err := strconv.ParseInt(header.Get(standardwebhooks.HeaderWebhookTimestamp), 10, 64)
	if err != nil { // not passed on: it quotes the header
		return checkout.SignatureInvalid(errors.New("webhook-timestamp is missing or not a number"))
	}
	for _, secret := range s.secrets {
		if err = secret.VerifyIgnoringTimestamp(body, header); err == nil {
			return inTolerance(time.Unix(signedAt, 0))
		}
	}
	return checkout.SignatureInvalid(err)
}

// readStandard reads a body whose signature, and so its id, has been verified.
func readStandard(id string, body []byte) (checkout.PaymentEvent, error) {
	top, err := parseBody(body)
	if err != nil {
		return checkout.PaymentEvent{}, err
	}
	envelope, details := &reader{}, &reader{}
	// The signature covers "id.timestamp.body" as one string. The body begins with "{", so as long as the id has
	// none there is one way only to cut the string in three, and no delivery can be passed off as another one.
	if !printable(id) || strings.Contains(id, "{") {
		envelope.expect(object{}, standardwebhooks.HeaderWebhookID, "1 to 255 printable ASCII characters other than {")
	}
	event := checkout.PaymentEvent{
		Provider:   ProviderStandard,
		EventID:    id,
		Type:       envelope.text(top, "type"),
		Kind:       checkout.PaymentOther,
		Digest:     sha256.Sum256(body),
		OccurredAt: top.rfc3339("timestamp"),
	}
	envelope.require(top, "type")
	if kind, known := standardKinds[event.Type]; known {
		event.Kind = kind
	}

	data := details.object(top, "data")
	subject, named := details.subject(data)
	if !named {
		details.expect(data, "order_id", "an order_id or a hold_id")
	}
	if event.Kind == checkout.PaymentSucceeded { // without both nobody can tell whether the right amount was paid
		details.require(data, "amount", "currency")
	}
	event.Subject = subject
	event.PaymentID = details.text(data, "payment_id")
	event.Amount = details.money(data, "amount")
	if event.Kind != checkout.PaymentOther {
		envelope.adopt(details)
	}
	return envelope.result(event)
}

// StandardData is what an event that we send says of its payment. Empty members are left out.
type StandardData struct {
	PaymentID string `json:"payment_id,omitempty"`
	OrderID   string `json:"order_id,omitempty"` // this or HoldID
	HoldID    string `json:"hold_id,omitempty"`
	Amount    *int64 `json:"amount,omitempty"` // in minor units
	Currency  string `json:"currency,omitempty"`
}

// StandardBody returns the body of an event that happened at the given time, to be signed with [Standard.Sign].
func StandardBody(eventType string, at time.Time, data StandardData) []byte {
	body, _ := json.Marshal(struct { // always nil: strings and numbers only
		Type      string       `json:"type"`
		Timestamp string       `json:"timestamp"`
		Data      StandardData `json:"data"`
	}{eventType, at.UTC().Format("2006-01-02T15:04:05.000Z"), data})
	return body
}
