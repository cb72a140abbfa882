package payments_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"flashsale/pkg/checkout"
	"flashsale/pkg/payments"
)

// The fuzz targets make two deliveries of each input. The first has the input's headers, and is accepted only if an
// independent HMAC agrees. The second is correctly signed, so that the fuzzer reaches the reader behind the signature.

func FuzzStandard(f *testing.F) {
	s := mustStandard(f, standardSecret, otherStandard)
	now := time.Now()
	amount := int64(4999)
	bodies := [][]byte{
		payments.StandardBody(payments.StandardSucceeded, now, payments.StandardData{PaymentID: "pay_1", OrderID: subject.OrderID(), Amount: &amount, Currency: "usd"}),
		payments.StandardBody(payments.StandardRefunded, now, payments.StandardData{HoldID: subject.HoldID()}),
		payments.StandardBody(payments.StandardRefundFailed, now, payments.StandardData{PaymentID: "pay_1", RefundID: "re_1"}),
		payments.StandardBody(payments.StandardDisputeClosed, now, payments.StandardData{PaymentID: "pay_1", Outcome: "lost"}),
		[]byte(`{"type":"x","data":{"a":[1,{}],"a":null}}`), []byte(`{"type":"payment.failed","data":[]}`),
	}
	for _, body := range malformedBodies {
		bodies = append(bodies, []byte(body)[:min(len(body), 100)])
	}
	for _, body := range bodies {
		h := s.Sign("msg_1", now, body)
		f.Add(h.Get("webhook-id"), h.Get("webhook-timestamp"), h.Get("webhook-signature"), body)
	}
	f.Add("", "+1", "v1,x v1a,y v1", []byte("{}"))
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		header := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signature}}
		event, err := s.Event(header, body)
		checkResult(t, event, err, body)
		if code := checkout.CodeOf(err); code != checkout.CodeSignatureInvalid && !standardSigned(id, timestamp, signature, body) {
			t.Fatalf("code %q without a valid signature", code)
		}

		event, err = s.Event(s.Sign(id, time.Now(), body), body)
		checkResult(t, event, err, body)
		if code := checkout.CodeOf(err); code == checkout.CodeTimestampTolerance || (code == checkout.CodeSignatureInvalid) != (id == "") {
			t.Fatalf("a correctly signed delivery returned %v", err)
		}
		if err == nil && (event.EventID != id || event.Provider != "standard") {
			t.Fatalf("the event's identity is %s %q, expected standard %q", event.Provider, event.EventID, id)
		}
	})
}

func standardSigned(id, timestamp, signature string, body []byte) bool {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return false
	}
	for _, secret := range []string{standardSecret, otherStandard} {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil {
			return false
		}
		mac := hmac.New(sha256.New, key)
		_, _ = fmt.Fprintf(mac, "%s.%d.%s", id, seconds, body)
		if strings.Contains(signature, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))) {
			return true
		}
	}
	return false
}

func FuzzStripe(f *testing.F) {
	s := mustStripe(f, stripeSecret, otherStripe)
	bodies := []string{
		stripeEvent("payment_intent.succeeded", `{"id":"pi_1","amount_received":4999,"currency":"usd","metadata":{"order_id":"ORD"}}`),
		stripeEvent("checkout.session.completed", `{"payment_intent":{"id":"pi_1"},"payment_status":"paid","amount_total":1,"currency":"usd","metadata":{"hold_id":"HOLD"}}`),
		stripeEvent("charge.refunded", `{"payment_intent":"pi_1","refunded":true,"amount_refunded":1,"currency":"usd","metadata":{"order_id":"ORD"}}`),
		stripeEvent("refund.failed", `{"id":"re_1","payment_intent":"pi_1","amount":1,"currency":"isk","status":"failed"}`),
		stripeEvent("charge.dispute.closed", `{"id":"dp_1","payment_intent":"pi_1","amount":1,"currency":"usd","status":"lost"}`),
		stripeEvent("payment_intent.canceled", `{"metadata":{"order_id":"6735"}}`),
	}
	for _, body := range malformedBodies {
		bodies = append(bodies, body[:min(len(body), 100)])
	}
	for _, body := range bodies {
		f.Add(s.Sign(time.Now(), []byte(body)).Get("Stripe-Signature"), []byte(body))
	}
	f.Add("t=1,t=2,v1=00,v1=zz,=,", []byte("{}"))
	f.Fuzz(func(t *testing.T, signature string, body []byte) {
		event, err := s.Event(http.Header{"Stripe-Signature": {signature}}, body)
		checkResult(t, event, err, body)
		if code := checkout.CodeOf(err); code != checkout.CodeSignatureInvalid && !stripeSigned(signature, body) {
			t.Fatalf("code %q without a valid signature", code)
		}

		event, err = s.Event(s.Sign(time.Now(), body), body)
		checkResult(t, event, err, body)
		if code := checkout.CodeOf(err); code == checkout.CodeTimestampTolerance || code == checkout.CodeSignatureInvalid {
			t.Fatalf("a correctly signed delivery returned %v", err)
		}
		if err == nil && event.Provider != "stripe" {
			t.Fatalf("the provider is %q, expected stripe", event.Provider)
		}
	})
}

func stripeSigned(signature string, body []byte) bool {
	for _, part := range strings.Split(signature, ",") {
		seconds, err := strconv.ParseInt(strings.TrimPrefix(part, "t="), 10, 64)
		if err != nil {
			continue
		}
		for _, secret := range []string{stripeSecret, otherStripe} {
			mac := hmac.New(sha256.New, []byte(secret))
			_, _ = fmt.Fprintf(mac, "%d.%s", seconds, body)
			if strings.Contains(strings.ToLower(signature), "v1="+hex.EncodeToString(mac.Sum(nil))) {
				return true
			}
		}
	}
	return false
}

// checkResult checks the invariants of every event and every refusal.
func checkResult(t *testing.T, event checkout.PaymentEvent, err error, body []byte) {
	t.Helper()
	if err != nil {
		codes := []checkout.Code{checkout.CodeSignatureInvalid, checkout.CodeTimestampTolerance, checkout.CodeMalformedRequest, checkout.CodeInvalidRequest}
		code := checkout.CodeOf(err)
		if !slices.Contains(codes, code) || event != (checkout.PaymentEvent{}) || (code == checkout.CodeInvalidRequest) != (len(fieldsOf(err)) > 0) {
			t.Fatalf("got %v with the fields %v and the event %+v, expected a refusal by its own rules", err, fieldsOf(err), event)
		}
		return
	}
	pays := event.Kind == checkout.PaymentSucceeded || event.Kind == checkout.PaymentFailed
	returns := !pays && event.Kind != checkout.PaymentOther
	switch {
	case event.Digest != sha256.Sum256(body), event.Kind == "",
		event.EventID == "" || len(event.EventID) > 255, event.Type == "" || len(event.Type) > 255, len(event.PaymentID) > 255, len(event.RefundID) > 255,
		event.Amount.Amount < 0, event.Amount.Currency == "" && event.Amount.Amount != 0 && !returns,
		event.Amount.Currency != "" && (len(event.Amount.Currency) != 3 || event.Amount.Currency != strings.ToUpper(event.Amount.Currency)),
		pays && event.Subject == nil, returns && event.Subject == nil && event.PaymentID == "" && event.RefundID == "",
		event.Kind == checkout.PaymentSucceeded && event.PaymentID == "",
		event.Kind == checkout.PaymentSucceeded && event.Amount.Currency == "":
		t.Fatalf("the event %+v of the body %q breaks an invariant", event, body)
	}
}
