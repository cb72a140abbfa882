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

// The event types that say something about a payment. Other types are recorded without effect.
const (
	StandardSucceeded     = "payment.succeeded"
	StandardFailed        = "payment.failed"
	StandardProcessing    = "payment.processing"
	StandardRefunded      = "payment.refunded"
	StandardRefundFailed  = "payment.refund_failed"
	StandardDisputed      = "payment.disputed"
	StandardDisputeClosed = "payment.dispute_closed"
)

// StandardTypes lists them.
func StandardTypes() []string {
	return []string{
		StandardSucceeded, StandardFailed, StandardProcessing, StandardRefunded, StandardRefundFailed, StandardDisputed, StandardDisputeClosed,
	}
}

// minStandardKey is the minimum size of a key in bytes, so that it cannot be guessed. The specification asks for 24 to 64
// bytes, but the library would accept an empty key.
const minStandardKey = 8

// Standard verifies, reads and signs events by Standard Webhooks.
type Standard struct{ secrets []*standardwebhooks.Webhook }

// NewStandard takes the valid secrets, each "whsec_" and the key in base64. All of them verify, and the first one signs.
func NewStandard(secrets []string) (*Standard, error) {
	parsed, err := parseSecrets(secrets, func(encoded string) (*standardwebhooks.Webhook, error) {
		key, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return nil, errors.New("the part after whsec_ is not base64")
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

// Event verifies a delivery and reads it. header has canonical keys, as in net/http. body has the received bytes, which
// the signature covers. Codes: signature_invalid, timestamp_out_of_tolerance, malformed_request, invalid_request.
func (s *Standard) Event(header http.Header, body []byte) (checkout.PaymentEvent, error) {
	if err := s.verify(header, body); err != nil {
		return checkout.PaymentEvent{}, err
	}
	id := header.Get(standardwebhooks.HeaderWebhookID)
	top, err := parseBody(body)
	event := checkout.PaymentEvent{}
	if err == nil {
		event, err = readStandard(id, top, body)
	}
	if err != nil {
		if strings.Contains(id, "{") {
			id = "" // it could be presented as another delivery's
		}
		return checkout.PaymentEvent{}, unreadable(checkout.ProviderStandard, id, top.plain("type"), body, err)
	}
	return event, nil
}

// Sign returns the headers of a delivery of body, signed with the first secret.
func (s *Standard) Sign(id string, at time.Time, body []byte) http.Header {
	signature, _ := s.secrets[0].Sign(id, at, body) // an HMAC cannot fail
	header := http.Header{}
	header.Set(standardwebhooks.HeaderWebhookID, id)
	header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return header
}

func (s *Standard) verify(header http.Header, body []byte) error {
	signedAt, err := strconv.ParseInt(header.Get(standardwebhooks.HeaderWebhookTimestamp), 10, 64)
	if err != nil { // err quotes the header, so it is dropped
		return checkout.SignatureInvalid(errors.New("webhook-timestamp is missing or not a number"))
	}
	for _, secret := range s.secrets {
		if err = secret.VerifyIgnoringTimestamp(body, header); err == nil {
			return checkTolerance(time.Unix(signedAt, 0))
		}
	}
	return checkout.SignatureInvalid(err)
}

// readStandard reads a body whose signature was verified. The signature covers the id, too.
func readStandard(id string, top object, body []byte) (checkout.PaymentEvent, error) {
	envelope, details := &reader{}, &reader{}
	// The signature covers "id.timestamp.body" as one string. The body starts with "{", so if the id has no "{", the
	// string can be split in only one way. No delivery can then be presented as another one.
	if !printable(id) || strings.Contains(id, "{") {
		envelope.expect(object{}, standardwebhooks.HeaderWebhookID, "1 to 255 printable ASCII characters other than {")
	}
	event := checkout.PaymentEvent{
		Provider:   checkout.ProviderStandard,
		EventID:    id,
		Type:       envelope.text(top, "type"),
		Kind:       checkout.PaymentOther,
		Digest:     sha256.Sum256(body),
		OccurredAt: top.rfc3339("timestamp"),
	}
	envelope.require(top, "type")

	data := details.object(top, "data")
	event.PaymentID = details.text(data, "payment_id")
	var named bool
	event.Subject, named = details.subject(data)
	details.standard(&event, data, named)
	if event.Kind != checkout.PaymentOther {
		envelope.adopt(details)
	}
	return envelope.result(event)
}

// standard reads what the event says about its payment. named tells whether it names an order or hold.
func (r *reader) standard(event *checkout.PaymentEvent, data object, named bool) {
	switch event.Type {
	case StandardSucceeded, StandardFailed:
		if !named {
			r.expect(data, "order_id", "an order_id or a hold_id")
		}
		if event.Kind = checkout.PaymentFailed; event.Type == StandardSucceeded {
			event.Kind = checkout.PaymentSucceeded
			r.require(data, "amount", "currency") // without both, the amount paid is unknown
			if event.PaymentID == "" {
				event.PaymentID = event.EventID
			}
		}
		event.Amount = r.money(data, "amount")
	case StandardProcessing:
		if !named {
			r.expect(data, "order_id", "an order_id or a hold_id")
		}
		event.Kind = checkout.PaymentProcessing
		event.Amount = r.money(data, "amount")
	case StandardRefunded, StandardRefundFailed:
		event.Kind, event.RefundID = checkout.PaymentRefunded, r.text(data, "refund_id")
		if event.Type == StandardRefundFailed {
			event.Kind = checkout.PaymentRefundFailed
			r.require(data, "refund_id")
		} else if event.RefundID == "" {
			event.RefundID = event.EventID
		}
		if !named && event.PaymentID == "" && event.Kind == checkout.PaymentRefunded {
			r.expect(data, "payment_id", "a payment_id, an order_id or a hold_id")
		}
		event.Amount = r.refund(data)
	case StandardDisputed, StandardDisputeClosed:
		r.require(data, "payment_id")
		event.Kind = checkout.PaymentDisputed
		event.RefundID = r.dispute(data, "dispute_id", event.PaymentID)
		if event.Type == StandardDisputeClosed {
			switch r.text(data, "outcome") {
			case "won":
				event.Kind = checkout.PaymentDisputeWon
			case "lost":
				event.Kind = checkout.PaymentDisputeLost
			default:
				r.expect(data, "outcome", "won or lost")
			}
		}
		event.Amount = r.refund(data)
	default:
		event.Amount = r.money(data, "amount")
	}
}

// DisputePrefix begins [checkout.PaymentEvent].RefundID if it is a dispute's, which keeps it apart from the ids of refunds.
const DisputePrefix = "dispute:"

// dispute reads the id of a dispute.
func (r *reader) dispute(data object, name, missing string) string {
	id := r.text(data, name)
	if id == "" {
		id = missing
	}
	if len(id) > maxText-len(DisputePrefix) {
		r.expect(data, name, fmt.Sprintf("at most %d characters", maxText-len(DisputePrefix)))
		return ""
	}
	return DisputePrefix + id
}

// StandardData is the payment in an event to be sent. Empty members are omitted.
type StandardData struct {
	PaymentID string `json:"payment_id,omitempty"`
	OrderID   string `json:"order_id,omitempty"` // or HoldID: required by a success and a failure
	HoldID    string `json:"hold_id,omitempty"`
	RefundID  string `json:"refund_id,omitempty"`
	DisputeID string `json:"dispute_id,omitempty"`
	Outcome   string `json:"outcome,omitempty"` // of a dispute: won or lost
	Amount    *int64 `json:"amount,omitempty"`  // in minor units
	Currency  string `json:"currency,omitempty"`
}

// StandardBody returns the body of an event that happened at the given time, for [Standard.Sign].
func StandardBody(eventType string, at time.Time, data StandardData) []byte {
	body, _ := json.Marshal(struct { // strings and numbers cannot fail
		Type      string       `json:"type"`
		Timestamp string       `json:"timestamp"`
		Data      StandardData `json:"data"`
	}{eventType, at.UTC().Format("2006-01-02T15:04:05.000Z"), data})
	return body
}
