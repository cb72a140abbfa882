package contract

import (
	"bytes"
	"context"
	"net/http"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
	"flashsale/pkg/checkout"
)

func TestWebhooks(t *testing.T) {
	t.Parallel()
	shoptest.ServerAndFunctions(t, func(t *testing.T, open shoptest.Opener) {
		s := open(t, 20, shoptest.Options{})
		now := time.Now()
		body := func(id checkout.ID) []byte { return s.EventAt(now, "payment.succeeded", id, 1) } // the same bytes each time
		post := func(h http.Header, b []byte) shoptest.Response {
			return s.Do(t, http.MethodPost, "/v1/payments/webhook", string(b), h)
		}
		id := s.MustOrder(t, 1)
		tampered := bytes.Replace(body(id), []byte("4999"), []byte("4998"), 1)
		shoptest.CheckProblem(t, post(nil, body(id)), 401, "signature_invalid")
		shoptest.CheckProblem(t, post(s.Signer.Sign("e1", now, body(id)), tampered), 401, "signature_invalid")
		shoptest.CheckProblem(t, post(s.RetiredSigner.Sign("e1", now, body(id)), body(id)), 401, "signature_invalid")
		shoptest.CheckProblem(t, post(s.Signer.Sign("e1", now.Add(-6*time.Minute), body(id)), body(id)), 401, "timestamp_out_of_tolerance")
		shoptest.CheckProblem(t, post(s.Signer.Sign("e1", now.Add(6*time.Minute), body(id)), body(id)), 401, "timestamp_out_of_tolerance")
		shoptest.CheckProblem(t, post(s.Signer.Sign("e1", now, nil), nil), 400, "malformed_request")
		shoptest.CheckProblem(t, post(s.Signer.Sign("e1", now, []byte("{")), []byte("{")), 400, "malformed_request")
		noOrder := []byte(`{"type":"payment.succeeded","data":{"amount":1,"currency":"USD"}}`)
		shoptest.CheckProblem(t, post(s.Signer.Sign("e1", now, noOrder), noOrder), 422, "invalid_request")
		big := bytes.Repeat([]byte(" "), 256<<10+1)
		shoptest.CheckProblem(t, post(s.Signer.Sign("e1", now, big), big), 413, "body_too_large")
		if o := shoptest.Must(s.Order(context.Background(), checkout.Caller{}, id))(t); o.Status != checkout.OrderPendingPayment {
			t.Fatalf("a refused webhook made it %s", o.Status)
		}

		if a := post(s.OldSigner.Sign("e1", now, body(id)), body(id)); a.Status != 200 || a.Text("result") != "applied" || a.Text("order_id") != id.OrderID() || a.Text("order_status") != "paid" {
			t.Errorf("the first delivery got %+v, expected applied and paid", a)
		}
		if a := post(s.Signer.Sign("e1", now.Add(time.Second), body(id)), body(id)); a.Status != 200 || a.Text("result") != "duplicate" {
			t.Errorf("the second delivery got %+v, expected duplicate", a)
		}
		unknown := ledgertest.NewID()
		for range 2 {
			if a := post(s.Signer.Sign("e2", now, body(unknown)), body(unknown)); a.Status != 202 || a.Text("result") != "unmatched" || a.Text("order_id") != "" {
				t.Errorf("an event of an unknown hold got %+v, expected 202 unmatched", a)
			}
		}
		odd := []byte(`{"type":"customer.created","data":{"anything":[1]}}`)
		untyped := s.Signer.Sign("e3", now, odd)
		untyped["Content-Type"] = nil // the signature decides
		if a := post(untyped, odd); a.Status != 200 || a.Text("result") != "ignored" {
			t.Errorf("an event of another type got %+v, expected ignored", a)
		}
		// The payment arrives before the order, and creates it.
		early := s.MustHold(t, 1)
		if a := post(s.Signer.Sign("e4", now, body(early)), body(early)); a.Text("result") != "applied" || a.Text("order_status") != "paid" {
			t.Errorf("a payment before its order got %+v, expected applied and paid", a)
		}
		if a := s.PostOrder(t, early); a.Status != 200 || a.Text("status") != "paid" {
			t.Errorf("the order of the paid hold is %+v, expected 200 and paid", a)
		}
		s.DeliverStripeEvents(t)
		s.MustAudit(t)
	})
}
