package test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/app"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
	"flashsale/pkg/localserver"
	"flashsale/pkg/payments"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		for _, dir := range []string{builtDir, functionsDir} {
			if dir != "" {
				_ = os.RemoveAll(dir)
			}
		}
		os.Exit(code)
	}))
}

// shop is a running checkout and a client of it.
type shop struct {
	*ledgertest.Env
	url     string
	product string
	app     *app.App
	metrics *localserver.Metrics
	client  *http.Client
	signer  *payments.Standard
	stripe  *payments.Stripe
	old     *payments.Standard // signs with a secret that is still accepted
	retired *payments.Standard // signs with one that is not any more
	cloud   *cloud             // nil: the local server
	stop    func()
}

// options change what open starts.
type options struct {
	holdTTL   time.Duration
	window    time.Duration
	dsn       string // of a server; empty: the test server
	cacheAddr string // empty: the test server
	log       io.Writer
	functions bool // the Lambda functions behind a gateway, instead of the local server
}

func secret(text string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(text+"-0123456789abcdef"))
}

// open starts a checkout with one product that has the given stock.
func open(t *testing.T, stock int64, o options) *shop {
	t.Helper()
	o = withDefaults(t, o)
	s := newShop(t, stock, o)
	if o.functions {
		s.cloud = deploy(t, s, o)
		s.url = s.cloud.gateway.URL
		s.stop = sync.OnceFunc(func() {
			s.client.CloseIdleConnections()
			s.cloud.stop()
		})
	} else {
		s.serve(t, o)
	}
	t.Cleanup(s.stop)
	return s
}

// newShop makes a shop with nothing that serves it. The options have their defaults.
func newShop(t *testing.T, stock int64, o options) *shop {
	t.Helper()
	s := &shop{
		Env: ledgertest.On(t, o.dsn), product: "p-" + uuid.NewString(), metrics: localserver.NewMetrics(),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 512}, Timeout: 30 * time.Second},
	}
	s.MustPut(t, s.product, stock)
	s.signer = must(payments.NewStandard([]string{secret("new")}))(t)
	s.old = must(payments.NewStandard([]string{secret("old")}))(t)
	s.retired = must(payments.NewStandard([]string{secret("retired")}))(t)
	s.stripe = must(payments.NewStripe([]string{"whsec_stripe_secret"}))(t)
	return s
}

// withDefaults says what options leave open.
func withDefaults(t *testing.T, o options) options {
	t.Helper()
	if o.dsn == "" {
		o.dsn = ledgertest.ServerDSN(t)
	}
	if o.cacheAddr == "" {
		if o.cacheAddr = os.Getenv("CACHE_ADDR"); o.cacheAddr == "" {
			o.cacheAddr = ledgertest.Servers(t).CacheAddr()
		}
	}
	if o.log == nil {
		o.log = io.Discard
	}
	if o.holdTTL == 0 {
		o.holdTTL = 2 * time.Minute
	}
	if o.window == 0 {
		o.window = 15 * time.Minute
	}
	return o
}

// serve starts the local server.
func (s *shop) serve(t *testing.T, o options) {
	t.Helper()
	config := app.Config{
		HoldTTL: o.holdTTL, PaymentWindow: o.window,
		WebhookSecrets: []string{secret("new"), secret("old")}, StripeWebhookSecrets: []string{"whsec_stripe_secret"},
	}
	s.app = app.New(config, app.Deps{
		Ledger:    must(ledger.Open(must(ledger.AccountsOf(s.AdminDSN))(t).AppDSN, s.metrics))(t),
		CacheAddr: o.cacheAddr, Recorder: s.metrics,
		Logger: slog.New(slog.NewJSONHandler(o.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	s.url = "http://" + listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	logger := slog.New(slog.NewJSONHandler(o.log, nil))
	go func() { served <- localserver.Serve(ctx, s.app, s.metrics, listener, logger) }()
	s.stop = sync.OnceFunc(func() {
		s.client.CloseIdleConnections()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serving: %v", err)
		}
		_ = s.app.Close()
	})
}

// answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   string
}

// code is the problem's code.
func (a answer) code() string { return a.text("code") }

// text is a member of the body.
func (a answer) text(name string) string {
	var body map[string]any
	_ = json.Unmarshal([]byte(a.body), &body)
	text, _ := body[name].(string)
	return text
}

func (s *shop) do(t testing.TB, method, path, body string, header http.Header) answer {
	t.Helper()
	a, err := s.try(method, path, body, header)
	if err != nil {
		t.Error(err)
	}
	return a
}

func (s *shop) try(method, path, body string, header http.Header) (answer, error) {
	request, err := http.NewRequest(method, s.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := s.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, strings.TrimSpace(string(read))}, err
}

func (s *shop) hold(t testing.TB, qty int, key string) answer {
	t.Helper()
	return s.do(t, http.MethodPost, "/v1/holds", s.holdBody(qty), keyHeader(key))
}

func (s *shop) holdBody(qty int) string {
	return string(must(json.Marshal(map[string]any{"product_id": s.product, "qty": qty}))(nil))
}

func keyHeader(key string) http.Header {
	if key == "" {
		return nil
	}
	return http.Header{"Idempotency-Key": {key}}
}

func (s *shop) mustHold(t testing.TB, qty int) checkout.ID {
	t.Helper()
	a := s.hold(t, qty, "")
	id, ok := checkout.ParseHoldID(a.text("id"))
	if a.status != http.StatusCreated || !ok {
		t.Fatalf("placing a hold: %+v", a)
	}
	return id
}

func (s *shop) order(t testing.TB, id checkout.ID) answer {
	t.Helper()
	return s.do(t, http.MethodPost, "/v1/orders", `{"hold_id":"`+id.HoldID()+`"}`, nil)
}

func (s *shop) mustOrder(t testing.TB, qty int) checkout.ID {
	t.Helper()
	id := s.mustHold(t, qty)
	if a := s.order(t, id); a.status != http.StatusCreated {
		t.Fatalf("ordering: %+v", a)
	}
	return id
}

// event is the body of a payment event for qty units, now.
func (s *shop) event(kind string, id checkout.ID, qty int) []byte {
	return s.eventAt(time.Now(), kind, id, qty)
}

func (s *shop) eventAt(at time.Time, kind string, id checkout.ID, qty int) []byte {
	amount := int64(qty) * 4999
	return payments.StandardBody(kind, at, payments.StandardData{PaymentID: "pay_1", OrderID: id.OrderID(), Amount: &amount, Currency: "USD"})
}

func (s *shop) deliver(t testing.TB, eventID string, body []byte) answer {
	t.Helper()
	return s.do(t, http.MethodPost, "/v1/payments/webhook", string(body), s.signer.Sign(eventID, time.Now(), body))
}

// stock reads the counters from the ledger, not from the cache.
func (s *shop) stock(t testing.TB) checkout.Product {
	t.Helper()
	return must(s.RefreshProduct(context.Background(), s.product))(t)
}

// together starts n calls at the same instant and returns their answers.
func together(n int, call func(i int) answer) []answer {
	gate := make(chan struct{})
	answers := make([]answer, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-gate
			answers[i] = call(i)
		})
	}
	close(gate)
	wg.Wait()
	return answers
}

// tally counts answers by status and code, such as "201" and "409 sold_out".
func tally(answers []answer) map[string]int {
	counts := map[string]int{}
	for _, a := range answers {
		key := http.StatusText(a.status)
		if code := a.code(); code != "" {
			key = code
		}
		counts[key]++
	}
	return counts
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		if err != nil {
			if t == nil {
				panic(err)
			}
			t.Helper()
			t.Fatal(err)
		}
		return v
	}
}
