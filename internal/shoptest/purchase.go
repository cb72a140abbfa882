package shoptest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"flashsale/pkg/checkout"
)

// Purchase looks at the product, places a hold, orders it and pays, each step twice. At least three units must be
// available.
func (s *Shop) Purchase(t testing.TB) {
	t.Helper()
	page := s.Do(t, http.MethodGet, "/v1/products/"+s.ProductID, "", nil)
	if page.Status != http.StatusOK || page.Text("id") != s.ProductID {
		t.Fatalf("the product: got %+v, expected 200 and %s", page, s.ProductID)
	}
	etag := http.Header{"If-None-Match": {`"another", ` + page.Header.Get("ETag")}}
	if r := s.Do(t, http.MethodGet, "/v1/products/"+s.ProductID, "", etag); r.Status != http.StatusNotModified {
		t.Errorf("the unchanged product: got %+v, expected 304", r)
	}
	key := "key-" + uuid.NewString()
	hold := s.PostHold(t, 2, key)
	if hold.Status != http.StatusCreated {
		t.Fatalf("the hold: got %+v, expected 201", hold)
	}
	again := s.PostHold(t, 2, key)
	if again.Status != http.StatusOK || again.Text("id") != hold.Text("id") || again.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the hold with the same key: got %+v, expected 200, the same hold and Idempotent-Replayed", again)
	}
	CheckProblem(t, s.PostHold(t, 3, key), http.StatusUnprocessableEntity, "idempotency_key_reused")
	id, _ := checkout.ParseHoldID(hold.Text("id"))
	for _, want := range []int{http.StatusCreated, http.StatusOK} {
		if r := s.PostOrder(t, id); r.Status != want || r.Text("status") != "pending_payment" {
			t.Errorf("the order: got %+v, expected %d and pending_payment", r, want)
		}
	}
	body := s.Event("payment.succeeded", id, 2)
	event := "evt_" + uuid.NewString()
	for _, want := range []string{"applied", "duplicate"} {
		if r := s.Deliver(t, event, body); r.Status != http.StatusOK || r.Text("result") != want || r.Text("order_status") != "paid" {
			t.Errorf("the payment: got %+v, expected 200, %s and paid", r, want)
		}
	}
	forged := s.RetiredSigner.Sign(event, time.Now(), body)
	CheckProblem(t, s.Do(t, http.MethodPost, "/v1/payments/webhook", string(body), forged), http.StatusUnauthorized, "signature_invalid")
	if r := s.Do(t, http.MethodGet, "/v1/orders/"+id.OrderID(), "", nil); r.Text("status") != "paid" {
		t.Errorf("the paid order: got %+v, expected paid", r)
	}
	if p := s.Stock(t); p.SoldStock != 2 || p.ReservedStock != 0 {
		t.Errorf("the stock is %+v, expected 2 sold and none reserved", p)
	}
}

// DeliverStripeEvents orders a unit and sends its payment and refund as Stripe would.
func (s *Shop) DeliverStripeEvents(t testing.TB) {
	t.Helper()
	event := func(kind, object string) string {
		return fmt.Sprintf(`{"id":"evt_%s","object":"event","type":%q,"data":{"object":%s}}`, uuid.NewString(), kind, object)
	}
	order := s.MustOrder(t, 1).OrderID()
	meta := `"metadata":{"order_id":"` + order + `"}`
	unique := strings.NewReplacer("pi_1", "pi_"+order, "re_1", "re_"+order) // a payment belongs to one order
	for _, c := range []struct{ event, result, status string }{
		{event("payment_intent.payment_failed", `{"id":"pi_1",`+meta+`}`), "ignored", ""},
		{event("checkout.session.completed", `{"id":"cs_1","payment_intent":"pi_1","payment_status":"paid","amount_total":4999,"currency":"usd",`+meta+`}`), "applied", "paid"},
		{event("payment_intent.succeeded", `{"id":"pi_1","amount_received":4999,"currency":"usd",`+meta+`}`), "ignored", "paid"},
		{event("payment_intent.canceled", `{"id":"pi_0",`+meta+`}`), "ignored", ""},
		{event("charge.refunded", `{"id":"ch_1","payment_intent":"pi_1","refunded":false,"amount_refunded":1,"currency":"usd",`+meta+`}`), "applied", "paid"},
		{event("refund.created", `{"id":"re_1","payment_intent":"pi_1","amount":4999,"currency":"usd","status":"pending","metadata":{}}`), "applied", "refunded"},
		{event("refund.failed", `{"id":"re_1","payment_intent":"pi_1","amount":4999,"currency":"usd","status":"failed","metadata":{}}`), "applied", "refund_due"},
		{event("charge.refunded", `{"id":"ch_1","payment_intent":"pi_1","refunded":true,"amount_refunded":9998,"currency":"usd",`+meta+`}`), "applied", "refunded"},
	} {
		c.event = unique.Replace(c.event)
		r := s.Do(t, http.MethodPost, "/v1/payments/webhook/stripe", c.event, s.Stripe.Sign(time.Now(), []byte(c.event)))
		if r.Status != http.StatusOK || r.Text("result") != c.result || (c.status != "" && r.Text("order_status") != c.status) {
			t.Errorf("%s: got %+v, expected 200, %s %s", c.event, r, c.result, c.status)
		}
	}
	forged := http.Header{"Stripe-Signature": {"t=1,v1=00"}}
	CheckProblem(t, s.Do(t, http.MethodPost, "/v1/payments/webhook/stripe", "{}", forged), http.StatusUnauthorized, "signature_invalid")
}
