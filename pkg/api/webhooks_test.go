package api_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"flashsale/pkg/checkout"
)

const (
	standardPath = "/v1/payments/webhook"
	stripePath   = "/v1/payments/webhook/stripe"
)

func TestWebhookResults(t *testing.T) {
	t.Parallel()
	for result, status := range map[checkout.PaymentResult]int{
		checkout.PaymentApplied: 200, checkout.PaymentDuplicate: 200, checkout.PaymentIgnored: 200, checkout.PaymentUnmatched: 202, checkout.PaymentStored: 202,
	} {
		for _, path := range []string{standardPath, stripePath} {
			f := newFake()
			f.result, f.noOrder = result, result == checkout.PaymentUnmatched
			f.order.Status = checkout.OrderPaid
			w := newEdge(f).send(t, http.MethodPost, path, "{}", nil)
			want := `{"result":"` + string(result) + `","order_id":"` + id.OrderID() + `","order_status":"paid"}`
			if f.noOrder {
				want = `{"result":"unmatched"}`
			}
			if w.Code != status || strings.TrimSpace(w.Body.String()) != want {
				t.Errorf("%s, %s: got %d %s, expected %d %s", path, result, w.Code, w.Body, status, want)
			}
		}
	}
}

// The verifier gets the body's bytes and the provider's headers unchanged.
func TestVerifierGetsBodyUnchanged(t *testing.T) {
	t.Parallel()
	body := "{ \"b\":1,\n\"a\":\"\xff\" } "
	e := newEdge(newFake())
	e.send(t, http.MethodPost, standardPath, body, http.Header{
		"Webhook-Id": {"evt_1"}, "Webhook-Timestamp": {"1"}, "Webhook-Signature": {"v1,a v1,b"},
	})
	if string(e.delivered) != body || e.header.Get("webhook-id") != "evt_1" || e.header.Get("webhook-timestamp") != "1" || e.header.Get("webhook-signature") != "v1,a v1,b" {
		t.Errorf("the verifier got %q %v, expected the request's own", e.delivered, e.header)
	}
	e.send(t, http.MethodPost, stripePath, body, http.Header{"Stripe-Signature": {"t=1,v1=a,v1=b"}})
	if string(e.delivered) != body || e.header.Get("Stripe-Signature") != "t=1,v1=a,v1=b" {
		t.Errorf("the verifier got %q %v, expected the request's own", e.delivered, e.header)
	}
}

// A delivery that the verifier refuses never reaches the ledger, and only the log has the reason.
func TestRefusedWebhooks(t *testing.T) {
	t.Parallel()
	for code, c := range map[string]struct {
		err    error
		status int
	}{
		"signature_invalid":          {checkout.SignatureInvalid(errors.New("whsec_hunter2")), 401},
		"timestamp_out_of_tolerance": {checkout.TimestampOutOfTolerance(nil), 401},
		"not_found":                  {checkout.ErrWebhookNotSetUp, 404},
		"busy":                       {checkout.Busy(errors.New("whsec_hunter2")), 503},
		"internal":                   {errors.New("whsec_hunter2"), 500},
	} {
		for _, path := range []string{standardPath, stripePath} {
			f := newFake()
			f.refused = c.err
			e := newEdge(f)
			wantProblem(t, e.send(t, http.MethodPost, path, "{}", nil), c.status, code)
			wantCalls(t, e)
			if isError := strings.Contains(e.log.String(), `"level":"ERROR"`); isError != (c.status >= 500) {
				t.Errorf("%s: the log is %s, expected an ERROR line only for what the server did wrong", code, e.log)
			}
		}
	}
}

func TestWebhookBodyLimit(t *testing.T) {
	t.Parallel()
	for _, path := range []string{standardPath, stripePath} {
		e := newEdge(newFake())
		if w := e.send(t, http.MethodPost, path, strings.Repeat(" ", 256<<10), nil); w.Code != http.StatusOK || len(e.delivered) != 256<<10 {
			t.Errorf("%s: a body of 256 KiB: got %d %s, expected 200", path, w.Code, w.Body)
		}
		e = newEdge(newFake())
		wantProblem(t, e.send(t, http.MethodPost, path, strings.Repeat(" ", 256<<10+1), nil), 413, "body_too_large")
		if e.delivered != nil {
			t.Errorf("%s: the verifier got a body that is too large", path)
		}
	}
}

// A verified event that cannot be read is kept before it is refused. If it cannot be kept, the provider has to send it
// again.
func TestUnreadableEventsAreKept(t *testing.T) {
	t.Parallel()
	for _, path := range []string{standardPath, stripePath} {
		f := newFake()
		f.refused = &checkout.UnreadableError{
			Event: checkout.RejectedEvent{EventID: "evt_bad"}, Refusal: checkout.Invalid("data.amount", "expected an integer"),
		}
		e := newEdge(f)
		wantProblem(t, e.send(t, http.MethodPost, path, "{}", nil), 422, "invalid_request")
		wantCalls(t, e, "reject evt_bad")
		f.err = checkout.Busy(errors.New("down"))
		wantProblem(t, newEdge(f).send(t, http.MethodPost, path, "{}", nil), 503, "busy")
	}
}

// An event that is stored and not applied is acknowledged. The log has the cause.
func TestStoredEventsLogTheirCause(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.result, f.cause = checkout.PaymentStored, errors.New("the counters are corrupt")
	e := newEdge(f)
	if w := e.send(t, http.MethodPost, standardPath, "{}", nil); w.Code != http.StatusAccepted {
		t.Errorf("got %d %s, expected 202", w.Code, w.Body)
	}
	if log := e.log.String(); !strings.Contains(log, "the counters are corrupt") || !strings.Contains(log, `"level":"ERROR"`) {
		t.Errorf("the log is %s, expected an ERROR line with the cause", log)
	}
}
