package payments_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"flashsale/pkg/checkout"
)

// stripeEvent returns the fields of a Stripe event that the reader uses.
func stripeEvent(eventType, object string) string {
	return fill.Replace(fmt.Sprintf(`{"id":"evt_1","object":"event","api_version":"2019-02-11","created":1777629600,"livemode":true,`+
		`"pending_webhooks":1,"request":{"id":null,"idempotency_key":null},"type":%q,"data":{"object":%s}}`, eventType, object))
}

// The signature was made by: printf '1492774577.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_0123…cdef
func TestStripeKnownSignature(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		at := time.Unix(1492774577, 0)
		time.Sleep(time.Until(at))
		s, body := mustStripe(t, stripeSecret), []byte(`{"id":"evt_1"}`)
		header := s.Sign(at, body)
		const want = "t=1492774577,v1=f21fcf24339bbc325023e83d25c5bc952603cbf360d9ebca7b380364111cb1a6"
		if got := header.Get("Stripe-Signature"); got != want {
			t.Errorf("signature %s, want %s", got, want)
		}
		// v0 is not a signature: Stripe makes it with a fake key for test events.
		header.Set("Stripe-Signature", want+",v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39")
		_, err := s.Event(header, body)
		wantCode(t, err, checkout.CodeInvalidRequest)
		if diff := cmp.Diff([]string{"type"}, fieldsOf(err)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestStripeEvents(t *testing.T) {
	t.Parallel()
	const (
		intent  = `{"id":"pi_1","object":"payment_intent","amount":5000,"amount_received":4999,"currency":"usd","metadata":{"order_id":"ORD","color":"red"}}`
		session = `{"id":"cs_1","object":"checkout.session","amount_total":4999,"currency":"usd","payment_intent":"pi_1","payment_status":"paid","metadata":{"hold_id":"HOLD"}}`
		charge  = `{"id":"ch_1","object":"charge","amount":4999,"amount_refunded":4999,"currency":"usd","payment_intent":"pi_1","refunded":true,"metadata":{"order_id":"ORD","hold_id":"HOLD"}}`
	)
	edit := func(object, from, to string) string {
		if !strings.Contains(object, from) {
			t.Fatalf("%s is not in %s", from, object)
		}
		return strings.Replace(object, from, to, 1)
	}
	usd := checkout.Money{Amount: 4999, Currency: "USD"}
	ours := func(kind checkout.PaymentKind) checkout.PaymentEvent {
		return checkout.PaymentEvent{Kind: kind, Subject: &subject, PaymentID: "pi_1", Amount: usd}
	}
	succeeded, failed, refunded, other := ours(checkout.PaymentSucceeded), ours(checkout.PaymentFailed), ours(checkout.PaymentRefunded), ours(checkout.PaymentOther)
	notOurs := checkout.PaymentEvent{Kind: checkout.PaymentOther, PaymentID: "pi_1", Amount: usd}
	noPaymentID := succeeded
	noPaymentID.PaymentID = ""
	expired := failed
	expired.PaymentID = ""
	unpaidIntent := failed
	unpaidIntent.Amount.Amount = 0

	for _, tc := range []struct {
		name, eventType, object string
		want                    checkout.PaymentEvent
	}{
		{"paid", "payment_intent.succeeded", intent, succeeded},
		{"declined", "payment_intent.payment_failed", intent, other},
		{"processing", "payment_intent.processing", intent, other},
		{"cancelled", "payment_intent.canceled", edit(intent, `"amount_received":4999`, `"amount_received":0`), unpaidIntent},
		{"cancelled, no amount", "payment_intent.canceled", edit(intent, `"amount_received":4999,`, ``), checkout.PaymentEvent{Kind: checkout.PaymentFailed, Subject: &subject, PaymentID: "pi_1"}},
		{"session paid", "checkout.session.completed", session, succeeded},
		{"session, expanded intent", "checkout.session.completed", edit(session, `"pi_1"`, `{"id":"pi_1","metadata":{"order_id":"ORD2"}}`), succeeded},
		{"session, no intent", "checkout.session.completed", edit(session, `"pi_1"`, `null`), noPaymentID},
		{"session unpaid", "checkout.session.completed", edit(session, `"paid"`, `"unpaid"`), other},
		{"session of a set-up", "checkout.session.completed", edit(session, `"paid"`, `"no_payment_required"`), other},
		{"session without status", "checkout.session.completed", edit(session, `"paid"`, `null`), other},
		{"session paid later", "checkout.session.async_payment_succeeded", session, succeeded},
		{"session failed later", "checkout.session.async_payment_failed", edit(session, `"paid"`, `"unpaid"`), failed},
		{"session expired", "checkout.session.expired", edit(session, `"payment_intent":"pi_1",`, ``), expired},
		{"refunded", "charge.refunded", charge, refunded},
		{"refunded, expanded intent", "charge.refunded", edit(charge, `"pi_1"`, `{"id":"pi_1"}`), refunded},
		{"refunded in part", "charge.refunded", edit(charge, `true`, `false`), other},
		{"refunded, not said how far", "charge.refunded", edit(charge, `"refunded":true,`, ``), other},
		{"charge", "charge.succeeded", charge, other},
		{"not ours, paid", "payment_intent.succeeded", edit(intent, `"order_id":"ORD",`, ``), notOurs},
		{"not ours, null metadata", "charge.refunded", edit(charge, `{"order_id":"ORD","hold_id":"HOLD"}`, `null`), notOurs},
		{"not ours, odd amount", "payment_intent.succeeded", `{"id":"pi_1","amount_received":"1","metadata":{}}`, checkout.PaymentEvent{Kind: checkout.PaymentOther, PaymentID: "pi_1"}},
		{"not ours, no object", "payment_intent.succeeded", `null`, checkout.PaymentEvent{Kind: checkout.PaymentOther}},
		{"paid, its metadata another shop's", "payment_intent.succeeded", edit(intent, `ORD`, `6735`), notOurs},
		{"other, its metadata another shop's", "payment_intent.created", edit(intent, `ORD`, `6735`), checkout.PaymentEvent{Kind: checkout.PaymentOther, PaymentID: "pi_1", Amount: usd}},
		{"unpaid, its metadata another shop's", "checkout.session.completed", `{"payment_status":"unpaid","metadata":{"order_id":"6735"}}`, checkout.PaymentEvent{Kind: checkout.PaymentOther}},
		{"other, its object no object", "v2.core.account.updated", `["x"]`, checkout.PaymentEvent{Kind: checkout.PaymentOther}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, body := mustStripe(t, stripeSecret), []byte(stripeEvent(tc.eventType, tc.object))
			got, err := s.Event(s.Sign(time.Now(), body), body)
			if err != nil {
				t.Fatalf("a valid event was refused: %v %v", err, fieldsOf(err))
			}
			at := time.Unix(1777629600, 0).UTC()
			want := tc.want
			want.Provider, want.EventID, want.Type, want.Digest, want.OccurredAt = "stripe", "evt_1", tc.eventType, sha256.Sum256(body), &at
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStripeInvalidFieldsAreNamed(t *testing.T) {
	t.Parallel()
	const meta = "data.object.metadata"
	for _, tc := range []struct {
		body string
		want []string
	}{
		{`{}`, []string{"id", "type"}},
		{`{"id":"","type":null}`, []string{"id", "type"}},
		{`{"id":7,"type":["x"]}`, []string{"id", "type"}},
		{fill.Replace(`{"id":"A256","type":"A256"}`), []string{"id", "type"}},
		{`{"id":"evt_1","type":"payment_intent.succeeded","data":5}`, []string{"data", "data.object.amount_received", "data.object.currency"}},
		{stripeEvent("payment_intent.succeeded", `"pi_1"`), []string{"data.object", "data.object.amount_received", "data.object.currency"}},
		{stripeEvent("payment_intent.succeeded", `{"metadata":"ORD"}`), []string{meta, "data.object.amount_received", "data.object.currency"}},
		{stripeEvent("payment_intent.succeeded", `{"metadata":{"order_id":"ORD"}}`), []string{"data.object.amount_received", "data.object.currency"}},
		{stripeEvent("checkout.session.completed", `{"payment_status":"paid","amount_total":null,"currency":null,"metadata":{"order_id":"ORD"}}`), []string{"data.object.amount_total", "data.object.currency"}},
		{stripeEvent("checkout.session.completed", `{"payment_status":1,"metadata":{"order_id":"ORD"}}`), []string{"data.object.payment_status"}},
		{stripeEvent("charge.refunded", `{"refunded":"yes","metadata":{"order_id":"ORD"}}`), []string{"data.object.refunded"}},
		{stripeEvent("charge.refunded", `{"refunded":true,"payment_intent":5,"metadata":{"order_id":"ORD"}}`), []string{"data.object.payment_intent"}},
		{stripeEvent("charge.refunded", `{"refunded":true,"payment_intent":{"id":[]},"metadata":{"order_id":"ORD"}}`), []string{"data.object.payment_intent.id"}},
		{stripeEvent("charge.refunded", `{"refunded":true,"amount_refunded":1.5,"currency":"dollar","metadata":{"order_id":"ORD"}}`), []string{"data.object.amount_refunded", "data.object.currency"}},
		{stripeEvent("payment_intent.canceled", `{"id":{},"metadata":{"order_id":"ord_6735"}}`), []string{meta + ".order_id", "data.object.id"}},
		{stripeEvent("payment_intent.canceled", `{"metadata":{"hold_id":"ORD"}}`), []string{meta + ".hold_id"}},
		{stripeEvent("payment_intent.canceled", `{"metadata":{"order_id":"ORD","hold_id":"HOLD2"}}`), []string{meta + ".hold_id"}},
	} {
		t.Run(tc.body, func(t *testing.T) {
			t.Parallel()
			s := mustStripe(t, stripeSecret)
			event, err := s.Event(s.Sign(time.Now(), []byte(tc.body)), []byte(tc.body))
			wantCode(t, err, checkout.CodeInvalidRequest)
			if diff := cmp.Diff(tc.want, fieldsOf(err)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(checkout.PaymentEvent{}, event); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStripeMalformedBodies(t *testing.T) {
	t.Parallel()
	s := mustStripe(t, stripeSecret)
	bodies := map[string]string{
		"metadata with a member twice": stripeEvent("payment_intent.canceled", `{"metadata":{"order_id":"ORD","order_id":"ORD2"}}`),
		"data with a member twice":     stripeEvent("payment_intent.canceled", `{"metadata":{"order_id":"ORD"}},"object":{}`),
	}
	for name, body := range malformedBodies {
		bodies[name] = body
	}
	for name, body := range bodies {
		raw := []byte(body)
		if _, err := s.Event(s.Sign(time.Now(), raw), raw); checkout.CodeOf(err) != checkout.CodeMalformedRequest {
			t.Errorf("%s: got %v, expected malformed_request", name, err)
		}
		header := s.Sign(time.Now(), []byte("something else"))
		if _, err := s.Event(header, raw); checkout.CodeOf(err) != checkout.CodeSignatureInvalid {
			t.Errorf("%s, with a wrong signature: got %v, expected signature_invalid", name, err)
		}
	}
}

func TestStripeInvalidTimesAreDropped(t *testing.T) {
	t.Parallel()
	s := mustStripe(t, stripeSecret)
	for _, created := range []string{`null`, `"2026-05-01"`, `-1`, `1.5`, `253402300800`, `9223372036854775807`, `{}`} {
		body := []byte(`{"id":"evt_1","type":"x","created":` + created + `}`)
		event, err := s.Event(s.Sign(time.Now(), body), body)
		if err != nil || event.OccurredAt != nil {
			t.Errorf("created %s was read as %v (%v), expected no time", created, event.OccurredAt, err)
		}
	}
}
