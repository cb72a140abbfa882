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

// Objects of Stripe's events.
const (
	stripeIntent  = `{"id":"pi_1","object":"payment_intent","amount":5000,"amount_received":4999,"currency":"usd","metadata":{"order_id":"ORD","color":"red"}}`
	stripeSession = `{"id":"cs_1","object":"checkout.session","amount_total":4999,"currency":"usd","payment_intent":"pi_1","payment_status":"paid","metadata":{"hold_id":"HOLD"}}`
	stripeCharge  = `{"id":"ch_1","object":"charge","amount":4999,"amount_refunded":4999,"currency":"usd","payment_intent":"pi_1","refunded":true,"metadata":{"order_id":"ORD","hold_id":"HOLD"}}`
	stripeRefund  = `{"id":"re_1","object":"refund","amount":300,"currency":"usd","payment_intent":"pi_1","status":"pending","metadata":{}}`
	stripeDispute = `{"id":"dp_1","object":"dispute","amount":4999,"currency":"usd","payment_intent":"pi_1","status":"needs_response"}`
)

// edit replaces a part of an object.
func edit(object, from, to string) string {
	if !strings.Contains(object, from) {
		panic(from + " is not in " + object)
	}
	return strings.Replace(object, from, to, 1)
}

// stripeCase is an object of an event and what the event is read as. Provider, EventID, Digest and time are the same in all.
type stripeCase struct {
	name, eventType, object string
	want                    checkout.PaymentEvent
}

func checkStripe(t *testing.T, cases []stripeCase) {
	t.Helper()
	for _, tc := range cases {
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

// What stripeIntent and stripeSession are read as, and one attempt to pay.
var (
	stripeSuccess  = checkout.PaymentEvent{Kind: checkout.PaymentSucceeded, Subject: &subject, PaymentID: "pi_1", Amount: checkout.Money{Amount: 4999, Currency: "USD"}}
	stripeUnderWay = checkout.PaymentEvent{Kind: checkout.PaymentProcessing, Subject: &subject, PaymentID: "pi_1"}
	stripeAttempt  = checkout.PaymentEvent{Kind: checkout.PaymentOther, Subject: &subject, PaymentID: "pi_1"}
)

func TestStripePayments(t *testing.T) {
	t.Parallel()
	noIntent := stripeSuccess
	noIntent.PaymentID = "evt_1"
	free := noIntent
	free.Amount.Amount = 0
	expired := stripeAttempt
	expired.PaymentID = ""
	checkStripe(t, []stripeCase{
		{"paid", "payment_intent.succeeded", stripeIntent, stripeSuccess},
		{"declined", "payment_intent.payment_failed", stripeIntent, stripeAttempt},
		{"processing", "payment_intent.processing", stripeIntent, stripeUnderWay},
		{"the bank asks the shopper", "payment_intent.requires_action", stripeIntent, stripeUnderWay},
		{"one attempt cancelled", "payment_intent.canceled", stripeIntent, stripeAttempt},
		{"session paid", "checkout.session.completed", stripeSession, stripeSuccess},
		{"session, expanded intent", "checkout.session.completed", edit(stripeSession, `"pi_1"`, `{"id":"pi_1","metadata":{"order_id":"ORD2"}}`), stripeSuccess},
		{"session, no intent", "checkout.session.completed", edit(stripeSession, `"pi_1"`, `null`), noIntent},
		{"session unpaid", "checkout.session.completed", edit(stripeSession, `"paid"`, `"unpaid"`), stripeUnderWay},
		{"session of a free order", "checkout.session.completed", edit(edit(edit(stripeSession, `"paid"`, `"no_payment_required"`), `"pi_1"`, `null`), `4999`, `0`), free},
		{"session without status", "checkout.session.completed", edit(stripeSession, `"paid"`, `null`), stripeAttempt},
		{"session paid later", "checkout.session.async_payment_succeeded", stripeSession, stripeSuccess},
		{"session failed later", "checkout.session.async_payment_failed", edit(stripeSession, `"paid"`, `"unpaid"`), stripeAttempt},
		{"session expired", "checkout.session.expired", edit(stripeSession, `"payment_intent":"pi_1",`, ``), expired},
	})
}

func TestStripeRefundsAndDisputes(t *testing.T) {
	t.Parallel()
	about := func(kind checkout.PaymentKind, refundID string, amount int64) checkout.PaymentEvent {
		return checkout.PaymentEvent{Kind: kind, PaymentID: "pi_1", RefundID: refundID, Amount: checkout.Money{Amount: amount, Currency: "USD"}}
	}
	named := about(checkout.PaymentRefundedSum, "", 4999)
	named.Subject = &subject
	checkStripe(t, []stripeCase{
		{"refund", "refund.created", stripeRefund, about(checkout.PaymentRefunded, "re_1", 300)},
		{"refund went through", "refund.updated", edit(stripeRefund, `pending`, `succeeded`), about(checkout.PaymentRefunded, "re_1", 300)},
		{"refund failed", "refund.failed", edit(stripeRefund, `pending`, `failed`), about(checkout.PaymentRefundFailed, "re_1", 300)},
		{"refund failed, no status", "refund.failed", edit(stripeRefund, `"pending"`, `null`), about(checkout.PaymentRefundFailed, "re_1", 300)},
		{"refund cancelled", "charge.refund.updated", edit(stripeRefund, `pending`, `canceled`), about(checkout.PaymentRefundFailed, "re_1", 300)},
		{"refund of a charge without an intent", "refund.created", edit(stripeRefund, `"pi_1"`, `null`), checkout.PaymentEvent{Kind: checkout.PaymentOther}},
		{"sum of refunds", "charge.refunded", stripeCharge, named},
		{"sum of refunds, expanded intent", "charge.refunded", edit(stripeCharge, `"pi_1"`, `{"id":"pi_1"}`), named},
		{"sum of refunds, no metadata", "charge.refunded", edit(stripeCharge, `{"order_id":"ORD","hold_id":"HOLD"}`, `null`), about(checkout.PaymentRefundedSum, "", 4999)},
		{"disputed", "charge.dispute.created", stripeDispute, about(checkout.PaymentDisputed, "dispute:dp_1", 4999)},
		{"dispute lost", "charge.dispute.closed", edit(stripeDispute, `needs_response`, `lost`), about(checkout.PaymentDisputeLost, "dispute:dp_1", 4999)},
		{"dispute won", "charge.dispute.closed", edit(stripeDispute, `needs_response`, `won`), about(checkout.PaymentDisputeWon, "dispute:dp_1", 4999)},
		{"inquiry closed", "charge.dispute.closed", edit(stripeDispute, `needs_response`, `warning_closed`), about(checkout.PaymentDisputeWon, "dispute:dp_1", 4999)},
	})
}

// Other business of the same Stripe account has no effect, nor has a charge: its payment intent says the same.
func TestStripeEventsWithoutEffect(t *testing.T) {
	t.Parallel()
	notOurs := checkout.PaymentEvent{Kind: checkout.PaymentOther, PaymentID: "pi_1"}
	checkStripe(t, []stripeCase{
		{"charge", "charge.succeeded", stripeCharge, stripeAttempt},
		{"not ours, paid", "payment_intent.succeeded", edit(stripeIntent, `"order_id":"ORD",`, ``), notOurs},
		{"not ours, odd amount", "payment_intent.succeeded", `{"id":"pi_1","amount_received":"1","metadata":{}}`, notOurs},
		{"not ours, no object", "payment_intent.succeeded", `null`, checkout.PaymentEvent{Kind: checkout.PaymentOther}},
		{"paid, its metadata another shop's", "payment_intent.succeeded", edit(stripeIntent, `ORD`, `6735`), notOurs},
		{"other, its object no object", "v2.core.account.updated", `["x"]`, checkout.PaymentEvent{Kind: checkout.PaymentOther}},
	})
}

// Stripe's decimals become those of ISO 4217.
func TestStripeAmountsBecomeMinorUnits(t *testing.T) {
	t.Parallel()
	in := func(amount int64, currency string) checkout.PaymentEvent {
		e := stripeSuccess
		e.Amount = checkout.Money{Amount: amount, Currency: currency}
		return e
	}
	paid := func(amount, currency string) string {
		return edit(edit(stripeIntent, `"amount_received":4999`, `"amount_received":`+amount), `"usd"`, `"`+currency+`"`)
	}
	checkStripe(t, []stripeCase{
		{"krona, in hundredths at Stripe", "payment_intent.succeeded", paid("500000", "isk"), in(5000, "ISK")},
		{"shilling, in hundredths at Stripe", "payment_intent.succeeded", paid("500000", "ugx"), in(5000, "UGX")},
		{"ariary, without decimals at Stripe", "payment_intent.succeeded", paid("5000", "mga"), in(500000, "MGA")},
		{"yen", "payment_intent.succeeded", paid("5000", "jpy"), in(5000, "JPY")},
		{"rupiah", "payment_intent.succeeded", paid("15000000", "idr"), in(15000000, "IDR")},
		{"dinar, in thousandths", "payment_intent.succeeded", paid("5120", "kwd"), in(5120, "KWD")},
	})
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
		{stripeEvent("payment_intent.succeeded", `{"metadata":{"order_id":"ORD"}}`), []string{"data.object.amount_received", "data.object.currency"}},
		{stripeEvent("checkout.session.completed", `{"payment_status":"paid","amount_total":null,"currency":null,"metadata":{"order_id":"ORD"}}`), []string{"data.object.amount_total", "data.object.currency"}},
		{stripeEvent("payment_intent.succeeded", `{"metadata":{"order_id":" ORD"},"amount_received":1,"currency":"usd"}`), []string{meta + ".order_id"}},
		{stripeEvent("payment_intent.succeeded", `{"metadata":{"order_id":"ORD_01H455VB4PEX5VSKNK084SN02Q"},"amount_received":1,"currency":"usd"}`), []string{meta + ".order_id"}},
		{stripeEvent("payment_intent.succeeded", `{"metadata":{"order_id":"ORD"},"amount_received":50,"currency":"isk"}`), []string{"data.object.amount_received"}},
		{stripeEvent("payment_intent.succeeded", `{"metadata":{"order_id":"ORD"},"amount_received":1,"currency":"abc"}`), []string{"data.object.currency"}},
		{stripeEvent("payment_intent.succeeded", `{"metadata":{"order_id":"ORD"},"amount_received":999999999999999999,"currency":"mga"}`), []string{"data.object.amount_received"}},
		{stripeEvent("refund.created", `{"id":"re_1","payment_intent":"pi_1","amount":0,"currency":"usd"}`), []string{"data.object.amount"}},
		{stripeEvent("charge.dispute.closed", `{"id":"dp_1","payment_intent":"pi_1","amount":1,"currency":"usd","status":"needs_response"}`), []string{"data.object.status"}},
		{stripeEvent("checkout.session.completed", `{"payment_status":"paid","payment_status":"unpaid","metadata":{"order_id":"ORD"}}`), []string{"body"}},
		{stripeEvent("refund.failed", `{"id":"re_1","payment_intent":"pi_1","payment_intent":null,"amount":1,"currency":"usd"}`), []string{"body"}},
		{stripeEvent("refund.failed", `{"payment_intent":"pi_1"}`), []string{"data.object.id", "data.object.amount", "data.object.currency"}},
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
		"metadata with a member twice": stripeEvent("payment_intent.succeeded", `{"metadata":{"order_id":"ORD","order_id":"ORD2"}}`),
		"data with a member twice":     stripeEvent("payment_intent.succeeded", `{"metadata":{"order_id":"ORD"}},"object":{}`),
	}
	for name, body := range malformedBodies {
		bodies[name] = body
	}
	for name, body := range bodies {
		raw := []byte(body)
		if _, err := s.Event(s.Sign(time.Now(), raw), raw); checkout.CodeOf(err) != malformedCode(name) {
			t.Errorf("%s: got %v, expected %s", name, err, malformedCode(name))
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

// A live endpoint can refuse test events, and events of other accounts.
func TestStripeModeAndAccount(t *testing.T) {
	t.Parallel()
	live, test := true, false
	for _, c := range []struct {
		only   payments.StripeOnly
		extra  string
		fields []string
	}{
		{payments.StripeOnly{}, `"livemode":false,"account":"acct_2"`, nil},
		{payments.StripeOnly{Livemode: &live}, `"livemode":true`, nil},
		{payments.StripeOnly{Livemode: &live}, `"livemode":false`, []string{"livemode"}},
		{payments.StripeOnly{Livemode: &live}, `"x":1`, []string{"livemode"}},
		{payments.StripeOnly{Livemode: &test}, `"livemode":true`, []string{"livemode"}},
		{payments.StripeOnly{Account: "acct_1"}, `"account":"acct_1"`, nil},
		{payments.StripeOnly{Account: "acct_1"}, `"x":1`, nil}, // the endpoint's own account is not named
		{payments.StripeOnly{Account: "acct_1"}, `"account":"acct_2"`, []string{"account"}},
	} {
		s, err := payments.NewStripe([]string{stripeSecret}, c.only)
		if err != nil {
			t.Fatal(err)
		}
		body := []byte(`{"id":"evt_1","type":"invoice.paid",` + c.extra + `}`)
		_, err = s.Event(s.Sign(time.Now(), body), body)
		if diff := cmp.Diff(c.fields, fieldsOf(err)); diff != "" {
			t.Errorf("%s: got %v; fields differ (-expected +got):\n%s", c.extra, err, diff)
		}
	}
}

// An operator sees which event could not be read and why, but no part of its body.
func TestUnreadableEventsAreDescribed(t *testing.T) {
	t.Parallel()
	standard, stripe := mustStandard(t, standardSecret), mustStripe(t, stripeSecret)
	for _, c := range []struct{ body, stripeID, eventType, detail string }{
		{`{"id":"evt_1","type":"payment.succeeded","data":{"order_id":"` + subject.OrderID() + `","amount":"1000","currency":"USD"}}`, "", "payment.succeeded", "data.amount: expected an integer from 0 to 10^18, in minor units"},
		{`{"id":"evt_1","type":"payment.succeeded","data":{"order_id":"` + subject.OrderID() + `","amount":1000,"currency":"ZZZ"}}`, "", "payment.succeeded", "data.currency: expected a currency of ISO 4217, such as USD"},
		{`{"id":"evt_1","id":"evt_2"}`, "evt_2", "", "body: expected no object with the same member twice"},
		{`secret`, "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b", "", "The body is not one JSON value."},
	} {
		body := []byte(c.body)
		if c.stripeID != "" {
			checkUnreadable(t, c.body, func() error { _, err := stripe.Event(stripe.Sign(time.Now(), body), body); return err },
				checkout.RejectedEvent{Provider: "stripe", EventID: c.stripeID, Type: c.eventType, Detail: c.detail, Digest: sha256.Sum256(body)})
		}
		checkUnreadable(t, c.body, func() error { _, err := standard.Event(standard.Sign("msg_1", time.Now(), body), body); return err },
			checkout.RejectedEvent{Provider: "standard", EventID: "msg_1", Type: c.eventType, Detail: c.detail, Digest: sha256.Sum256(body)})
	}
}

func checkUnreadable(t *testing.T, body string, read func() error, want checkout.RejectedEvent) {
	t.Helper()
	var unreadable *checkout.UnreadableError
	if err := read(); !errors.As(err, &unreadable) {
		t.Errorf("%s: got %v, expected an unreadable event", body, err)
		return
	}
	if diff := cmp.Diff(want, unreadable.Event); diff != "" {
		t.Errorf("%s (-expected +got):\n%s", body, diff)
	}
}
