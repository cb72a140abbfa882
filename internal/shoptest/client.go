package shoptest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"flashsale/pkg/checkout"
	"flashsale/pkg/payments"
)

// Response is a response whose body has been read.
type Response struct {
	Status int
	Header http.Header
	Body   string

	// Retried is set by AtOnce: an earlier response was busy, so that request may have taken effect.
	Retried bool
}

// Code returns the code of a problem, or "" if the body is not a problem.
func (r Response) Code() string { return r.Text("code") }

// Text returns a string member of the body.
func (r Response) Text(name string) string {
	var body map[string]any
	_ = json.Unmarshal([]byte(r.Body), &body)
	text, _ := body[name].(string)
	return text
}

// Do sends a request. One that gets no response, or a response that the OpenAPI document does not have, fails the test.
func (s *Shop) Do(t testing.TB, method, path, body string, header http.Header) Response {
	t.Helper()
	r, err := s.Try(method, path, body, header)
	if err != nil {
		t.Errorf("%s %s got no response: %v", method, path, err)
		return r
	}
	checkDocumented(t, method, path, r)
	return r
}

// Try sends a request that may get no response.
func (s *Shop) Try(method, path, body string, header http.Header) (Response, error) {
	request, err := http.NewRequestWithContext(context.Background(), method, s.URL+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return Response{}, err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if s.token != "" {
		request.Header.Set("Authorization", "Bearer "+s.token)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := s.Client.Do(request)
	if err != nil {
		return Response{}, err
	}
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(response.Body)
	return Response{Status: response.StatusCode, Header: response.Header, Body: strings.TrimSpace(string(read))}, err
}

// PostHold asks for a hold, with an Idempotency-Key unless it is empty.
func (s *Shop) PostHold(t testing.TB, qty int, key string) Response {
	t.Helper()
	return s.Do(t, http.MethodPost, "/v1/holds", s.HoldBody(qty), KeyHeader(key))
}

// HoldBody is the body of POST /v1/holds.
func (s *Shop) HoldBody(qty int) string {
	body, err := json.Marshal(map[string]any{"product_id": s.ProductID, "qty": qty})
	if err != nil {
		panic(err) // a string and a number
	}
	return string(body)
}

// KeyHeader is the header with an Idempotency-Key; nil if the key is empty.
func KeyHeader(key string) http.Header {
	if key == "" {
		return nil
	}
	return http.Header{"Idempotency-Key": {key}}
}

// MustHold places a hold.
func (s *Shop) MustHold(t testing.TB, qty int) checkout.ID {
	t.Helper()
	r := s.PostHold(t, qty, "")
	id, ok := checkout.ParseHoldID(r.Text("id"))
	if r.Status != http.StatusCreated || !ok {
		t.Fatalf("a hold of %d units: got %+v, expected 201", qty, r)
	}
	return id
}

// PostOrder orders a hold.
func (s *Shop) PostOrder(t testing.TB, hold checkout.ID) Response {
	t.Helper()
	return s.Do(t, http.MethodPost, "/v1/orders", `{"hold_id":"`+hold.HoldID()+`"}`, nil)
}

// MustOrder places a hold and orders it.
func (s *Shop) MustOrder(t testing.TB, qty int) checkout.ID {
	t.Helper()
	id := s.MustHold(t, qty)
	if r := s.PostOrder(t, id); r.Status != http.StatusCreated {
		t.Fatalf("an order of %d units: got %+v, expected 201", qty, r)
	}
	return id
}

// Event is the body of a payment event for qty units, now.
func (s *Shop) Event(kind string, order checkout.ID, qty int) []byte {
	return s.EventAt(time.Now(), kind, order, qty)
}

// EventAt is the body of a payment event for qty units.
func (s *Shop) EventAt(at time.Time, kind string, order checkout.ID, qty int) []byte {
	amount := int64(qty) * 4999
	return payments.StandardBody(kind, at, payments.StandardData{PaymentID: "pay_" + order.OrderID(), OrderID: order.OrderID(), Amount: &amount, Currency: "USD"})
}

// Deliver sends a signed payment event.
func (s *Shop) Deliver(t testing.TB, eventID string, body []byte) Response {
	t.Helper()
	return s.Do(t, http.MethodPost, "/v1/payments/webhook", string(body), s.Signer.Sign(eventID, time.Now(), body))
}

// AtOnce starts n calls at the same instant and returns their responses. It retries a call that is refused as busy, as
// Retry-After asks, so that each call has an outcome on a slow machine too. Calls must be idempotent.
func AtOnce(n int, call func(i int) Response) []Response {
	gate := make(chan struct{})
	responses := make([]Response, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-gate
			responses[i] = call(i)
			for deadline := time.Now().Add(patience); responses[i].Code() == "busy" && time.Now().Before(deadline); {
				time.Sleep(50 * time.Millisecond) // between two tries
				responses[i] = call(i)
				responses[i].Retried = true
			}
		})
	}
	close(gate)
	wg.Wait()
	return responses
}

// Tally counts responses by code, or by status text where there is no code: "Created", "sold_out".
func Tally(responses []Response) map[string]int {
	counts := map[string]int{}
	for _, r := range responses {
		key := http.StatusText(r.Status)
		if code := r.Code(); code != "" {
			key = code
		}
		counts[key]++
	}
	return counts
}

// CheckProblem checks that a response is a complete problem that reveals no internals.
func CheckProblem(t testing.TB, r Response, status int, code string) {
	t.Helper()
	var p struct {
		Type, Title, Detail, Code string
		Status                    int
		RequestID                 string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(r.Body), &p); err != nil {
		t.Fatalf("got %+v, expected a problem with status %d and code %s", r, status, code)
	}
	if r.Status != status || p.Status != status || p.Code != code || p.Type == "" || p.Title == "" || p.Detail == "" {
		t.Errorf("got %+v, expected a complete problem with status %d and code %s", r, status, code)
	}
	if got := r.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type is %q, expected application/problem+json", got)
	}
	if got := r.Header.Get("X-Content-Type-Options"); got != "nosniff" {
		t.Errorf("X-Content-Type-Options is %q, expected nosniff", got)
	}
	if p.RequestID == "" || r.Header.Get("X-Request-Id") != p.RequestID {
		t.Errorf("request_id is %q and X-Request-Id %q, expected the same id", p.RequestID, r.Header.Get("X-Request-Id"))
	}
	if found := inside.FindString(r.Body); found != "" {
		t.Errorf("the response reveals %q: %s", found, r.Body)
	}
}

// inside matches words of the database, the machine and the source code. No response may contain them.
var inside = regexp.MustCompile(`(?i)select|insert|mysql|127\.0\.0\.1|\.go:|goroutine|flashsale/pkg|json: |whsec`)
