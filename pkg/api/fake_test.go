package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"flashsale/pkg/api"
	"flashsale/pkg/checkout"
)

// fake replaces the ledger, the stock view and both webhook verifiers. It records each call and returns the values that
// the test has set. It decides nothing.
type fake struct {
	calls   []string
	callers []checkout.Caller // of each call about a hold or an order

	err     error            // returned by every method of the ledger and the view
	product checkout.Product // returned by the view
	hold    checkout.Hold
	order   checkout.Order
	list    []checkout.Product
	repeat  bool // Receipt.Repeated
	key     *checkout.IdempotencyKey
	result  checkout.PaymentResult
	noOrder bool

	event     checkout.PaymentEvent // returned by the verifiers
	cause     error                 // why an event was stored and not applied
	refused   error
	delivered []byte
	header    http.Header

	before func(ctx context.Context) // runs at the start of every method
}

var (
	_ checkout.Ledger    = (*fake)(nil)
	_ checkout.StockView = (*fake)(nil)
	_ api.Verifier       = (*fake)(nil)
)

func (f *fake) called(ctx context.Context, format string, args ...any) {
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	if f.before != nil {
		f.before(ctx)
	}
}

func (f *fake) Lookup(ctx context.Context, id string, key *checkout.IdempotencyKey) (checkout.Lookup, error) {
	f.called(ctx, "look up %s", id)
	f.key = key
	return checkout.Lookup{Product: f.product}, f.err
}

func (f *fake) Put(context.Context, checkout.Product, *checkout.IdempotencyKey) {}

func (f *fake) PlaceHold(ctx context.Context, r checkout.HoldRequest) (checkout.Receipt, error) {
	f.called(ctx, "place %d of %s for %s", r.Qty, r.ProductID, r.TTL)
	f.key, f.callers = r.Key, append(f.callers, checkout.Caller{Shopper: r.Shopper})
	return checkout.Receipt{Hold: &f.hold, Repeated: f.repeat}, f.err
}

func (f *fake) ReleaseHold(ctx context.Context, by checkout.Caller, id checkout.ID) (checkout.Receipt, error) {
	f.callers = append(f.callers, by)
	f.called(ctx, "release %s", id.HoldID())
	return checkout.Receipt{Hold: &f.hold}, f.err
}

func (f *fake) CreateOrder(ctx context.Context, by checkout.Caller, id checkout.ID, terms checkout.OrderTerms) (checkout.Receipt, error) {
	f.callers = append(f.callers, by)
	f.called(ctx, "order %s for %s", id.HoldID(), terms.Window)
	f.order.Reference = terms.Reference
	return checkout.Receipt{Order: &f.order, Repeated: f.repeat}, f.err
}

func (f *fake) CancelOrder(ctx context.Context, by checkout.Caller, id checkout.ID) (checkout.Receipt, error) {
	f.callers = append(f.callers, by)
	f.called(ctx, "cancel %s", id.OrderID())
	return checkout.Receipt{Order: &f.order}, f.err
}

func (f *fake) ApplyEvent(ctx context.Context, e checkout.PaymentEvent, _ time.Duration) (checkout.PaymentReceipt, error) {
	f.called(ctx, "apply %s", e.EventID)
	receipt := checkout.PaymentReceipt{Result: f.result, Cause: f.cause}
	if !f.noOrder {
		receipt.Order = &f.order
	}
	return receipt, f.err
}

func (f *fake) RejectEvent(ctx context.Context, e checkout.RejectedEvent) error {
	f.called(ctx, "reject %s", e.EventID)
	return f.err
}

func (f *fake) Hold(ctx context.Context, by checkout.Caller, id checkout.ID) (checkout.Hold, error) {
	f.callers = append(f.callers, by)
	f.called(ctx, "read %s", id.HoldID())
	return f.hold, f.err
}

func (f *fake) Order(ctx context.Context, by checkout.Caller, id checkout.ID) (checkout.Order, error) {
	f.callers = append(f.callers, by)
	f.called(ctx, "read %s", id.OrderID())
	return f.order, f.err
}

func (f *fake) HoldsOf(ctx context.Context, shopper checkout.Shopper, before checkout.ID, limit int) ([]checkout.Hold, error) {
	f.called(ctx, "list %d holds of %s before %s", limit, shopper, before.HoldID())
	return []checkout.Hold{f.hold}, f.err
}

func (f *fake) OrdersOf(ctx context.Context, shopper checkout.Shopper, before checkout.ID, limit int) ([]checkout.Order, *checkout.ID, error) {
	f.called(ctx, "list %d orders of %s before %s", limit, shopper, before.HoldID())
	return []checkout.Order{f.order}, nil, f.err
}

func (f *fake) Products(ctx context.Context, after string, limit int) ([]checkout.Product, error) {
	f.called(ctx, "list %d after %q", limit, after)
	return f.list, f.err
}

func (f *fake) KeyUsed(ctx context.Context, _ checkout.IdempotencyKey) (bool, error) {
	f.called(ctx, "key used")
	return false, f.err
}

func (f *fake) Event(_ context.Context, header http.Header, body []byte) (checkout.PaymentEvent, error) {
	f.header, f.delivered = header, bytes.Clone(body) // huma reuses these bytes for the next request
	return f.event, f.refused
}

// Methods that only the sweep and /healthz call.
func (*fake) ExpireDue(context.Context, string, checkout.DueBatch) (checkout.SweepReceipt, error) {
	panic("the edge sweeps nothing")
}
func (*fake) DueProducts(context.Context, int) ([]string, error) { panic("the edge sweeps nothing") }
func (*fake) WaitingEvents(context.Context, int) ([]checkout.EventRef, error) {
	panic("the edge sweeps nothing")
}
func (*fake) RetryEvent(context.Context, checkout.EventRef, time.Duration) (checkout.PaymentReceipt, error) {
	panic("no event waits for this one")
}
func (*fake) EventsWaitingFor(context.Context, checkout.ID) ([]checkout.EventRef, error) {
	panic("no event waits for this one")
}
func (*fake) Check(context.Context) error        { panic("the edge checks nothing") }
func (*fake) ForgetKeys(context.Context, string) { panic("the edge forgets nothing") }

func (*fake) AskAgain(context.Context, string) bool { return false }

func (*fake) Ping(context.Context) error { panic("the edge pings nothing") }

var (
	at       = time.Date(2026, 11, 27, 9, 0, 0, 123_456_000, time.UTC)
	id       = checkout.ID{0x01, 0x93, 0x6a, 0x7b, 0x8c, 0x9d, 0x70, 0x01, 0x80, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08}
	holdBody = `{"product_id":"demo","qty":2}`
	goodKey  = "sixteen-chars-or-more"
)

// newFake has a product with stock, a hold of it, and its order.
func newFake() *fake {
	return &fake{
		product: checkout.Product{
			ID: "demo", Name: "Demo", Price: checkout.Money{Amount: 4999, Currency: "USD"}, Stock: 10, ReservedStock: 3, SoldStock: 2,
			Version: 7, MaxQtyPerHold: 100, AsOf: at,
		},
		hold: checkout.Hold{ID: id, ProductID: "demo", Qty: 2, Status: checkout.HoldActive, CreatedAt: at, ExpiresAt: at.Add(2 * time.Minute)},
		order: checkout.Order{
			ID: id, ProductID: "demo", Qty: 2, Amount: checkout.Money{Amount: 9998, Currency: "USD"}, Status: checkout.OrderPendingPayment,
			PayBy: at.Add(15 * time.Minute), CreatedAt: at, UpdatedAt: at,
		},
		event:  checkout.PaymentEvent{Provider: "standard", EventID: "evt_1"},
		result: checkout.PaymentApplied,
	}
}

// edge is the handler on a fake, and what it logs.
type edge struct {
	*fake
	handler http.Handler
	log     *bytes.Buffer
}

func newEdge(f *fake) *edge {
	log := &bytes.Buffer{}
	service := &checkout.Service{
		Ledger: f, View: f, Recorder: checkout.NoRecorder{}, NewID: func() (checkout.ID, error) { return id, nil },
		HoldTTL: 2 * time.Minute, PaymentWindow: 15 * time.Minute,
	}
	return &edge{f, api.New(api.Options{Service: service, Standard: f, Stripe: f, Logger: slog.New(slog.NewJSONHandler(log, nil))}), log}
}

// send sends a request. A body gets the Content-Type application/json unless header has another one.
func (e *edge) send(t *testing.T, method, path, body string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, values := range header {
		if values == nil {
			r.Header.Del(name)
			continue
		}
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	e.handler.ServeHTTP(w, r)
	return w
}

// inside matches words of the database, the machine and the source, which no response may show.
var inside = regexp.MustCompile(`(?i)select|insert|mysql|127\.0\.0\.1|\.go:|goroutine|flashsale/pkg|json: |whsec|hunter2`)

// problem is the body of an error.
type problem struct {
	Type, Title, Detail, Code string
	Status                    int
	RequestID                 string                           `json:"request_id"`
	Errors                    []struct{ Field, Detail string } `json:"errors"`
	AvailableStock            *int64                           `json:"available_stock"`
	ReservedStock             *int64                           `json:"reserved_stock"`
	MaxPerShopper             *int64                           `json:"max_per_shopper"`
	Yours                     *int64                           `json:"yours"`
	SaleStartsAt              string                           `json:"sale_starts_at"`
}

// wantProblem checks that the response is a complete problem with this status and code, and returns it.
func wantProblem(t *testing.T, w *httptest.ResponseRecorder, status int, code string) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("got %d %q, expected a problem with status %d and code %s", w.Code, w.Body, status, code)
	}
	if w.Code != status || p.Status != status || p.Code != code || p.Type != "urn:flashsale:problem:"+code || p.Title == "" || p.Detail == "" {
		t.Errorf("got %d %s, expected a complete problem with status %d and code %s", w.Code, w.Body, status, code)
	}
	wantHeader(t, w, "Content-Type", "application/problem+json")
	wantHeader(t, w, "Cache-Control", "no-store")
	wantHeader(t, w, "X-Content-Type-Options", "nosniff")
	wantHeader(t, w, "Referrer-Policy", "no-referrer")
	if p.RequestID == "" || w.Header().Get("X-Request-Id") != p.RequestID {
		t.Errorf("request_id is %q and X-Request-Id %q, expected the same id", p.RequestID, w.Header().Get("X-Request-Id"))
	}
	if found := inside.FindString(w.Body.String()); found != "" {
		t.Errorf("the response reveals %q: %s", found, w.Body)
	}
	return p
}

func wantHeader(t *testing.T, w *httptest.ResponseRecorder, name, want string) {
	t.Helper()
	if got := w.Header().Get(name); got != want {
		t.Errorf("%s is %q, expected %q", name, got, want)
	}
}

func wantCalls(t *testing.T, e *edge, want ...string) {
	t.Helper()
	if fmt.Sprint(e.calls) != fmt.Sprint(want) {
		t.Errorf("the ledger and the view got the calls %q, expected %q", e.calls, want)
	}
}
