package payments_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"flashsale/pkg/checkout"
	"flashsale/pkg/payments"
)

var (
	subject      = checkout.ID{0: 0x01, 1: 0x9a, 15: 7}
	otherSubject = checkout.ID{0: 0x01, 1: 0x9a, 15: 8}
)

// fill replaces the placeholders of ids and long texts in a body.
var fill = strings.NewReplacer(
	"ORD2", otherSubject.OrderID(), "HOLD2", otherSubject.HoldID(), "ORD", subject.OrderID(), "HOLD", subject.HoldID(),
	"A255", strings.Repeat("a", 255), "A256", strings.Repeat("a", 256),
)

// fieldsOf returns the names of the fields in a refusal.
func fieldsOf(err error) []string {
	var refusal *checkout.Error
	if !errors.As(err, &refusal) {
		return nil
	}
	var names []string
	for _, f := range refusal.Fields {
		names = append(names, f.Field)
	}
	return names
}

// The vector of the specification's own libraries: https://github.com/standard-webhooks/standard-webhooks.
func TestStandardSpecificationVector(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		at := time.Unix(1614265330, 0)
		time.Sleep(time.Until(at))
		s, body := mustStandard(t, standardSecret), []byte(`{"test": 2432232314}`)
		header := s.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, body)
		const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
		if got := header.Get("Webhook-Signature"); got != want {
			t.Errorf("signature %s, want %s", got, want)
		}
		// The signature is correct, so the refusal concerns the body, which has no type.
		_, err := s.Event(header, body)
		wantCode(t, err, checkout.CodeInvalidRequest)
		if diff := cmp.Diff([]string{"type"}, fieldsOf(err)); diff != "" {
			t.Error(diff)
		}
	})
}

// standardEvent is a body and what it is read as. Provider, EventID and Digest are the same in all.
type standardEvent struct {
	name, body string
	want       checkout.PaymentEvent
}

func checkStandard(t *testing.T, events []standardEvent) {
	t.Helper()
	for _, tc := range events {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, body := mustStandard(t, standardSecret), []byte(fill.Replace(tc.body))
			got, err := s.Event(s.Sign("msg_1", time.Now(), body), body)
			if err != nil {
				t.Fatalf("a valid event was refused: %v %v", err, fieldsOf(err))
			}
			tc.want.Provider, tc.want.EventID, tc.want.Digest = "standard", "msg_1", sha256.Sum256(body)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStandardPayments(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 1, 10, 0, 0, 123_000_000, time.UTC)
	usd := checkout.Money{Amount: 4999, Currency: "USD"}
	checkStandard(t, []standardEvent{
		{
			"succeeded", `{"type":"payment.succeeded","timestamp":"2026-05-01T12:00:00.123+02:00","data":{"payment_id":"pay_1","order_id":"ORD","amount":4999,"currency":"USD"}}`,
			checkout.PaymentEvent{Type: "payment.succeeded", Kind: checkout.PaymentSucceeded, Subject: &subject, PaymentID: "pay_1", Amount: usd, OccurredAt: &at},
		},
		{
			"succeeded, by hold, lower-case currency, unknown members, spaces", "\n{ \"type\" : \"payment.succeeded\" , \"x\":{\"a\":[1]}, \"data\" : {\"hold_id\" : \"HOLD\", \"amount\" : 4999 , \"currency\" : \"usd\", \"order\":1, \"Amount\":1}, \"TYPE\":5}\n",
			checkout.PaymentEvent{Type: "payment.succeeded", Kind: checkout.PaymentSucceeded, Subject: &subject, PaymentID: "msg_1", Amount: usd},
		},
		{
			"succeeded, both ids, nulls, the longest payment id", `{"type":"payment.succeeded","timestamp":null,"data":{"payment_id":"A255","order_id":"ORD","hold_id":"HOLD","amount":0,"currency":"JPY"}}`,
			checkout.PaymentEvent{Type: "payment.succeeded", Kind: checkout.PaymentSucceeded, Subject: &subject, PaymentID: fill.Replace("A255"), Amount: checkout.Money{Currency: "JPY"}},
		},
		{
			"the greatest amount", `{"type":"payment.succeeded","data":{"payment_id":null,"order_id":null,"hold_id":"HOLD","amount":999999999999999999,"currency":"USD"}}`,
			checkout.PaymentEvent{Type: "payment.succeeded", Kind: checkout.PaymentSucceeded, Subject: &subject, PaymentID: "msg_1", Amount: checkout.Money{Amount: 999_999_999_999_999_999, Currency: "USD"}},
		},
		{
			"succeeded, in a currency withdrawn lately", `{"type":"payment.succeeded","data":{"order_id":"ORD","amount":4999,"currency":"HRK"}}`,
			checkout.PaymentEvent{Type: "payment.succeeded", Kind: checkout.PaymentSucceeded, Subject: &subject, PaymentID: "msg_1", Amount: checkout.Money{Amount: 4999, Currency: "HRK"}},
		},
		{
			"failed, without money", `{"type":"payment.failed","data":{"payment_id":"","order_id":"ORD"}}`,
			checkout.PaymentEvent{Type: "payment.failed", Kind: checkout.PaymentFailed, Subject: &subject},
		},
		{
			"failed, half of the money", `{"type":"payment.failed","data":{"order_id":"ORD","amount":4999}}`,
			checkout.PaymentEvent{Type: "payment.failed", Kind: checkout.PaymentFailed, Subject: &subject},
		},
	})
}

func TestStandardRefundsAndDisputes(t *testing.T) {
	t.Parallel()
	usd := checkout.Money{Amount: 4999, Currency: "USD"}
	checkStandard(t, []standardEvent{
		{
			"refunded, with money", `{"type":"payment.refunded","data":{"order_id":"ORD","amount":4999,"currency":"USD"}}`,
			checkout.PaymentEvent{Type: "payment.refunded", Kind: checkout.PaymentRefunded, Subject: &subject, RefundID: "msg_1", Amount: usd},
		},
		{
			"refund of a payment, all that is left", `{"type":"payment.refunded","data":{"payment_id":"pay_1","refund_id":"re_1"}}`,
			checkout.PaymentEvent{Type: "payment.refunded", Kind: checkout.PaymentRefunded, PaymentID: "pay_1", RefundID: "re_1"},
		},
		{
			"refund, in the payment's currency", `{"type":"payment.refunded","data":{"payment_id":"pay_1","refund_id":"re_1","amount":300}}`,
			checkout.PaymentEvent{Type: "payment.refunded", Kind: checkout.PaymentRefunded, PaymentID: "pay_1", RefundID: "re_1", Amount: checkout.Money{Amount: 300}},
		},
		{
			"refund failed", `{"type":"payment.refund_failed","data":{"payment_id":"pay_1","refund_id":"re_1","amount":300,"currency":"USD"}}`,
			checkout.PaymentEvent{Type: "payment.refund_failed", Kind: checkout.PaymentRefundFailed, PaymentID: "pay_1", RefundID: "re_1", Amount: checkout.Money{Amount: 300, Currency: "USD"}},
		},
		{
			"disputed", `{"type":"payment.disputed","data":{"payment_id":"pay_1"}}`,
			checkout.PaymentEvent{Type: "payment.disputed", Kind: checkout.PaymentDisputed, PaymentID: "pay_1", RefundID: "dispute:pay_1"},
		},
		{
			"dispute won", `{"type":"payment.dispute_closed","data":{"payment_id":"pay_1","dispute_id":"dp_1","outcome":"won"}}`,
			checkout.PaymentEvent{Type: "payment.dispute_closed", Kind: checkout.PaymentDisputeWon, PaymentID: "pay_1", RefundID: "dispute:dp_1"},
		},
		{
			"dispute lost", `{"type":"payment.dispute_closed","data":{"payment_id":"pay_1","outcome":"lost","amount":4999,"currency":"USD"}}`,
			checkout.PaymentEvent{Type: "payment.dispute_closed", Kind: checkout.PaymentDisputeLost, PaymentID: "pay_1", RefundID: "dispute:pay_1", Amount: usd},
		},
	})
}

// Events that say nothing about a payment are read whatever their data, and a time that cannot be stored is left out.
func TestStandardOtherEvents(t *testing.T) {
	t.Parallel()
	checkStandard(t, []standardEvent{
		{"other, bare", `{"type":"invoice.sent"}`, checkout.PaymentEvent{Type: "invoice.sent", Kind: checkout.PaymentOther}},
		{
			"other, about an order", `{"type":"payment.authorized","data":{"order_id":"ORD"}}`,
			checkout.PaymentEvent{Type: "payment.authorized", Kind: checkout.PaymentOther, Subject: &subject},
		},
		{
			"other, its data all wrong", `{"type":"payment.reviewed","timestamp":17,"data":{"payment_id":5,"order_id":"no","hold_id":[],"amount":"1","currency":2,"currency":3}}`,
			checkout.PaymentEvent{Type: "payment.reviewed", Kind: checkout.PaymentOther},
		},
		{"other, data of another type", `{"type":"A255","data":[1]}`, checkout.PaymentEvent{Type: fill.Replace("A255"), Kind: checkout.PaymentOther}},
		{"unreadable times are left out", `{"type":"x","timestamp":"yesterday"}`, checkout.PaymentEvent{Type: "x", Kind: checkout.PaymentOther}},
		{"so are those that no column holds", `{"type":"x","timestamp":"9999-12-31T23:59:59-23:59"}`, checkout.PaymentEvent{Type: "x", Kind: checkout.PaymentOther}},
		{"and the year 0", `{"type":"x","timestamp":"0000-01-01T00:00:00Z"}`, checkout.PaymentEvent{Type: "x", Kind: checkout.PaymentOther}},
	})
}

func TestStandardInvalidFieldsAreNamed(t *testing.T) {
	t.Parallel()
	good := `"order_id":"ORD","amount":4999,"currency":"USD"`
	for body, want := range map[string][]string{
		`{}`:                        {"type"},
		`{"type":null}`:             {"type"},
		`{"type":""}`:               {"type"},
		`{"type":5}`:                {"type"},
		`{"type":"A256"}`:           {"type"},
		`{"type":"a\nb"}`:           {"type"},
		`{"type":"\ud800"}`:         {"type"},
		`{"Type":"payment.failed"}`: {"type"},
		`{"type":"payment.failed"}`: {"data.order_id"},
		`{"type":"payment.refunded","data":null}`:                                                              {"data.payment_id"},
		`{"type":"payment.refunded","data":{"order_id":"ORD","amount":0}}`:                                     {"data.amount"},
		`{"type":"payment.refunded","data":{"order_id":"ORD","amount":"300"}}`:                                 {"data.amount"},
		`{"type":"payment.refunded","data":{"order_id":"ORD","amount":""}}`:                                    {"data.amount"},
		`{"type":"payment.refunded","data":{"order_id":"ORD","currency":"dollars"}}`:                           {"data.currency"},
		`{"type":"payment.refund_failed","data":{"payment_id":"pay_1"}}`:                                       {"data.refund_id"},
		`{"type":"payment.disputed","data":{"order_id":"ORD"}}`:                                                {"data.payment_id"},
		`{"type":"payment.dispute_closed","data":{"payment_id":"pay_1","outcome":"settled"}}`:                  {"data.outcome"},
		`{"type":"payment.failed","data":"ORD"}`:                                                               {"data", "data.order_id"},
		`{"type":"payment.failed","data":[]}`:                                                                  {"data", "data.order_id"},
		`{"type":"payment.succeeded","data":{}}`:                                                               {"data.order_id", "data.amount", "data.currency"},
		`{"type":"payment.succeeded","data":{"order_id":"ORD"}}`:                                               {"data.amount", "data.currency"},
		`{"type":"payment.succeeded","data":{"order_id":"ORD","amount":null,"currency":""}}`:                   {"data.amount", "data.currency"},
		`{"type":"payment.succeeded","data":{"order_id":7,"amount":"4999","currency":840}}`:                    {"data.order_id", "data.amount", "data.currency"},
		`{"type":"payment.failed","data":{"order_id":"HOLD"}}`:                                                 {"data.order_id"},
		`{"type":"payment.failed","data":{"hold_id":"ORD"}}`:                                                   {"data.hold_id"},
		`{"type":"payment.failed","data":{"order_id":"ord_1","hold_id":"HOLD"}}`:                               {"data.order_id"},
		`{"type":"payment.failed","data":{"order_id":"ORD","hold_id":{}}}`:                                     {"data.hold_id"},
		`{"type":"payment.failed","data":{"order_id":"ORD","hold_id":"HOLD2"}}`:                                {"data.hold_id"},
		`{"type":"payment.failed","data":{"order_id":" ORD"}}`:                                                 {"data.order_id"},
		`{"type":"payment.failed","data":{"order_id":"ORD","amount":-1}}`:                                      {"data.amount"},
		`{"type":"payment.failed","data":{"order_id":"ORD","amount":49.99,"currency":"USD"}}`:                  {"data.amount"},
		`{"type":"payment.failed","data":{"order_id":"ORD","amount":4999.0,"currency":"USD"}}`:                 {"data.amount"},
		`{"type":"payment.failed","data":{"order_id":"ORD","amount":5e3,"currency":"USD"}}`:                    {"data.amount"},
		`{"type":"payment.succeeded","data":{"order_id":"ORD","amount":1000000000000000001,"currency":"USD"}}`: {"data.amount"},
		`{"type":"payment.failed","data":{"order_id":"ORD","amount":true}}`:                                    {"data.amount"},
		`{"type":"payment.failed","data":{"order_id":"ORD","currency":"US"}}`:                                  {"data.currency"},
		`{"type":"payment.failed","data":{"order_id":"ORD","currency":"U$D"}}`:                                 {"data.currency"},
		`{"type":"payment.failed","data":{"order_id":"ORD","currency":"ÜSD"}}`:                                 {"data.currency"},
		`{"type":"payment.failed","data":{"order_id":"ORD","currency":"EURO"}}`:                                {"data.currency"},
		`{"type":"payment.refunded","data":{"order_id":"ORD","currency":"ZZZ"}}`:                               {"data.currency"},
		`{"type":"payment.refunded","data":{"order_id":"ORD","amount":300,"currency":"ZZZ"}}`:                  {"data.currency"},
		`{"type":"payment.disputed","data":{"payment_id":"pay_1","amount":300,"currency":"ZZZ"}}`:              {"data.currency"},
		`{"type":"payment.succeeded","data":{"order_id":"ORD","amount":4999,"currency":"ZZZ"}}`:                {"data.currency"},
		`{"type":"payment.succeeded","data":{"order_id":"ORD","amount":4999,"currency":"XAU"}}`:                {"data.currency"},
		`{"type":"payment.succeeded","data":{"order_id":"ORD","amount":4999,"currency":"DEM"}}`:                {"data.currency"},
		`{"type":"payment.succeeded","data":{` + good + `,"payment_id":"A256"}}`:                               {"data.payment_id"},
		`{"type":"payment.succeeded","data":{` + good + `,"payment_id":12}}`:                                   {"data.payment_id"},
		`{"type":"payment.succeeded","data":{` + good + `,"payment_id":"a\u0000"}}`:                            {"data.payment_id"},
	} {
		t.Run(body, func(t *testing.T) {
			t.Parallel()
			s, raw := mustStandard(t, standardSecret), []byte(fill.Replace(body))
			event, err := s.Event(s.Sign("msg_1", time.Now(), raw), raw)
			wantCode(t, err, checkout.CodeInvalidRequest)
			if diff := cmp.Diff(want, fieldsOf(err)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(checkout.PaymentEvent{}, event); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// malformedCode is the refusal of a malformed body: JSON with a member twice is an event whose meaning is not clear.
func malformedCode(name string) checkout.Code {
	if strings.Contains(name, "twice") {
		return checkout.CodeInvalidRequest
	}
	return checkout.CodeMalformedRequest
}

// Both providers refuse malformedBodies.
var malformedBodies = map[string]string{
	"nothing":             "",
	"not JSON":            "type=payment.succeeded",
	"half":                `{"type":"payment.failed"`,
	"an array":            `[{"type":"payment.failed"}]`,
	"null":                "null",
	"a string":            `"{}"`,
	"a number":            "1",
	"trailing garbage":    `{"type":"x","id":"evt_1"}x`,
	"two values":          `{"type":"x","id":"evt_1"}{"type":"x","id":"evt_1"}`,
	"a byte order mark":   "\ufeff" + `{"type":"x","id":"evt_1"}`,
	"invalid UTF-8":       "{\"type\":\"x\",\"id\":\"evt_1\",\"y\":\"\xff\"}",
	"a member twice":      `{"type":"x","id":"evt_1","type":"x"}`,
	"twice, once escaped": `{"type":"x","id":"evt_1","t\u0079pe":"y"}`,
	"nested too deeply":   `{"type":"x","id":"evt_1","data":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`,
	"never closed":        strings.Repeat(`{"data":`, 32<<10),
}

func TestStandardMalformedBodies(t *testing.T) {
	t.Parallel()
	s := mustStandard(t, standardSecret)
	bodies := map[string]string{"data with a member twice": `{"type":"payment.failed","data":{"order_id":"ORD","order_id":"ORD2"}}`}
	for name, body := range malformedBodies {
		bodies[name] = body
	}
	for name, body := range bodies {
		raw := []byte(fill.Replace(body))
		if _, err := s.Event(s.Sign("msg_1", time.Now(), raw), raw); checkout.CodeOf(err) != malformedCode(name) {
			t.Errorf("%s: got %v, expected %s", name, err, malformedCode(name))
		}
		header := s.Sign("msg_1", time.Now(), raw)
		header.Set("webhook-signature", "v1,bm9wZQ==")
		if _, err := s.Event(header, raw); checkout.CodeOf(err) != checkout.CodeSignatureInvalid {
			t.Errorf("%s, with a wrong signature: got %v, expected signature_invalid", name, err)
		}
	}
}

func TestStandardEventIDIsPrintableASCII(t *testing.T) {
	t.Parallel()
	s, body := mustStandard(t, standardSecret), []byte(`{"type":"x"}`)
	for id, want := range map[string][]string{
		"m":                           nil,
		"msg 1.2~!":                   nil,
		strings.Repeat("a", 255):      nil,
		strings.Repeat("a", 256):      {"webhook-id"},
		"msg\x7f":                     {"webhook-id"},
		"msg\t1":                      {"webhook-id"},
		"mé":                          {"webhook-id"},
		"\xff":                        {"webhook-id"},
		`msg_1.1614265330.{"note":"x`: {"webhook-id"},
	} {
		event, err := s.Event(s.Sign(id, time.Now(), body), body)
		if diff := cmp.Diff(want, fieldsOf(err)); diff != "" {
			t.Errorf("the id %q: got %v; fields differ (-expected +got):\n%s", id, err, diff)
		}
		if want == nil && event.EventID != id {
			t.Errorf("the id %q became %q, expected it unchanged", id, event.EventID)
		}
	}
}

// id.timestamp.body is signed as one string. Splitting it in another place must not give a second valid delivery.
func TestStandardSignatureCoversOneDelivery(t *testing.T) {
	t.Parallel()
	s, now := mustStandard(t, standardSecret), time.Now()
	inner := []byte(`{"type":"payment.failed","data":{"order_id":"` + subject.OrderID() + `"}}`)
	outer := fmt.Sprintf(`{"type":"note"}.%d.%s`, now.Unix(), inner)
	header := s.Sign("msg_1", now, []byte(outer))
	header.Set("webhook-id", fmt.Sprintf(`msg_1.%d.{"type":"note"}`, now.Unix()))
	_, err := s.Event(header, inner)
	if diff := cmp.Diff([]string{"webhook-id"}, fieldsOf(err)); diff != "" {
		t.Errorf("got %v; fields differ (-expected +got):\n%s", err, diff)
	}
}

func TestStandardBodyIsReadBack(t *testing.T) {
	t.Parallel()
	s, amount := mustStandard(t, standardSecret), int64(4999)
	at := time.Date(2026, 5, 1, 12, 0, 0, 123_456_789, time.FixedZone("", 7200))
	for kind, data := range map[string]payments.StandardData{
		payments.StandardSucceeded: {PaymentID: "pay_1", OrderID: subject.OrderID(), Amount: &amount, Currency: "USD"},
		payments.StandardFailed:    {HoldID: subject.HoldID()},
		payments.StandardRefunded:  {OrderID: subject.OrderID(), HoldID: subject.HoldID()},
	} {
		body := payments.StandardBody(kind, at, data)
		event, err := s.Event(s.Sign("msg_1", time.Now(), body), body)
		if err != nil {
			t.Fatalf("the body was refused: %v %v: %s", err, fieldsOf(err), body)
		}
		if event.Type != kind || event.Kind == checkout.PaymentOther || *event.Subject != subject ||
			event.PaymentID != data.PaymentID || event.Amount.Currency != data.Currency ||
			!event.OccurredAt.Equal(at.Truncate(time.Millisecond)) {
			t.Errorf("the body %s became %+v, expected the payment that was written", body, event)
		}
	}
	const want = `{"type":"payment.failed","timestamp":"2026-05-01T10:00:00.123Z","data":{}}`
	if got := string(payments.StandardBody("payment.failed", at, payments.StandardData{})); got != want {
		t.Errorf("the body is %s, expected %s", got, want)
	}
}
