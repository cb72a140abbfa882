package test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
)

func TestWebhooks(t *testing.T) {
	everyWay(t, func(t *testing.T, open opener) {
		s := open(t, 20, options{})
		now := time.Now()
		body := func(id checkout.ID) []byte { return s.eventAt(now, "payment.succeeded", id, 1) } // the same bytes each time
		post := func(h http.Header, b []byte) answer {
			return s.do(t, http.MethodPost, "/v1/payments/webhook", string(b), h)
		}
		id := s.mustOrder(t, 1)
		tampered := bytes.Replace(body(id), []byte("4999"), []byte("4998"), 1)
		mustProblem(t, post(nil, body(id)), 401, "signature_invalid")
		mustProblem(t, post(s.signer.Sign("e1", now, body(id)), tampered), 401, "signature_invalid")
		mustProblem(t, post(s.retired.Sign("e1", now, body(id)), body(id)), 401, "signature_invalid")
		mustProblem(t, post(s.signer.Sign("e1", now.Add(-6*time.Minute), body(id)), body(id)), 401, "timestamp_out_of_tolerance")
		mustProblem(t, post(s.signer.Sign("e1", now.Add(6*time.Minute), body(id)), body(id)), 401, "timestamp_out_of_tolerance")
		mustProblem(t, post(s.signer.Sign("e1", now, nil), nil), 400, "malformed_request")
		mustProblem(t, post(s.signer.Sign("e1", now, []byte("{")), []byte("{")), 400, "malformed_request")
		noOrder := []byte(`{"type":"payment.succeeded","data":{"amount":1,"currency":"USD"}}`)
		mustProblem(t, post(s.signer.Sign("e1", now, noOrder), noOrder), 422, "invalid_request")
		big := bytes.Repeat([]byte(" "), 256<<10+1)
		mustProblem(t, post(s.signer.Sign("e1", now, big), big), 413, "body_too_large")
		if o := must(s.Order(context.Background(), id))(t); o.Status != checkout.OrderPendingPayment {
			t.Fatalf("a refused webhook made it %s", o.Status)
		}

		if a := post(s.old.Sign("e1", now, body(id)), body(id)); a.status != 200 || a.text("result") != "applied" || a.text("order_id") != id.OrderID() || a.text("order_status") != "paid" {
			t.Errorf("%+v", a)
		}
		if a := post(s.signer.Sign("e1", now.Add(time.Second), body(id)), body(id)); a.status != 200 || a.text("result") != "duplicate" {
			t.Errorf("%+v", a)
		}
		unknown := ledgertest.NewID()
		for range 2 {
			if a := post(s.signer.Sign("e2", now, body(unknown)), body(unknown)); a.status != 202 || a.text("result") != "unmatched" || a.text("order_id") != "" {
				t.Errorf("%+v", a)
			}
		}
		odd := []byte(`{"type":"customer.created","data":{"anything":[1]}}`)
		if a := post(s.signer.Sign("e3", now, odd), odd); a.status != 200 || a.text("result") != "ignored" {
			t.Errorf("%+v", a)
		}
		// Paid before the order: the order is made there and then.
		early := s.mustHold(t, 1)
		if a := post(s.signer.Sign("e4", now, body(early)), body(early)); a.text("result") != "applied" || a.text("order_status") != "paid" {
			t.Errorf("%+v", a)
		}
		if a := s.order(t, early); a.status != 200 || a.text("status") != "paid" {
			t.Errorf("%+v", a)
		}
		s.stripeEvents(t)
		s.MustAudit(t)
	})
}

func (s *shop) stripeEvents(t *testing.T) {
	t.Helper()
	post := func(event string) answer {
		return s.do(t, http.MethodPost, "/v1/payments/webhook/stripe", event, s.stripe.Sign(time.Now(), []byte(event)))
	}
	event := func(kind, object string) string {
		return fmt.Sprintf(`{"id":"evt_%s","object":"event","type":%q,"data":{"object":%s}}`, uuid.NewString(), kind, object)
	}
	id := s.mustOrder(t, 1)
	meta := `"metadata":{"order_id":"` + id.OrderID() + `"}`
	for _, c := range []struct{ event, result, status string }{
		{event("payment_intent.payment_failed", `{"id":"pi_1",`+meta+`}`), "ignored", ""},
		{event("checkout.session.completed", `{"id":"cs_1","payment_intent":"pi_1","payment_status":"paid","amount_total":4999,"currency":"usd",`+meta+`}`), "applied", "paid"},
		{event("payment_intent.succeeded", `{"id":"pi_1","amount_received":4999,"currency":"usd",`+meta+`}`), "ignored", "paid"},
		{event("charge.refunded", `{"id":"ch_1","payment_intent":"pi_1","refunded":false,"amount_refunded":1,"currency":"usd",`+meta+`}`), "ignored", ""},
		{event("charge.refunded", `{"id":"ch_1","payment_intent":"pi_1","refunded":true,"amount_refunded":4999,"currency":"usd",`+meta+`}`), "applied", "refunded"},
	} {
		if a := post(c.event); a.status != 200 || a.text("result") != c.result || (c.status != "" && a.text("order_status") != c.status) {
			t.Errorf("%s: %+v", c.event, a)
		}
	}
	mustProblem(t, s.do(t, http.MethodPost, "/v1/payments/webhook/stripe", "{}", http.Header{"Stripe-Signature": {"t=1,v1=00"}}), 401, "signature_invalid")
}
