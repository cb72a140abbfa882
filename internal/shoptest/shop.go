package shoptest

import (
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/api"
	"flashsale/pkg/app"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
	"flashsale/pkg/localserver"
	"flashsale/pkg/localserver/shop"
	"flashsale/pkg/payments"
	"flashsale/pkg/signin"
)

// StripeSecret signs Stripe's events.
const StripeSecret = "whsec_stripe_secret" //nolint:gosec // G101: of tests only

// Shop is a running checkout and a client of it. The embedded ledger is connected to the Shop's own schema.
type Shop struct {
	*ledgertest.Env
	URL           string
	ProductID     string
	App           *app.App // nil where functions serve
	Cloud         *Cloud   // nil where the local server serves
	Client        *http.Client
	Signer        *payments.Standard
	OldSigner     *payments.Standard // signs with the previous secret, which is still accepted
	RetiredSigner *payments.Standard // signs with a secret that is no longer accepted
	Stripe        *payments.Stripe
	HoldTTL       time.Duration
	Stop          func()

	issuer   *signin.Development
	required bool             // Options.SignIn
	verifier *signin.Verifier // of the issuer's tokens
	token    string           // of the client's shopper; empty: none
}

// Options change what Open starts.
type Options struct {
	HoldTTL       time.Duration // 0: 2 minutes
	PaymentWindow time.Duration // 0: 15 minutes
	DSN           string        // of a database server; empty: the test server
	CacheAddr     string        // empty: the test server
	Log           io.Writer     // nil: the log is discarded
	SignIn        bool          // holds and orders need a token: see Shop.As; otherwise it is optional, and only the local server reads it
	Live          bool          // the operator's page, at /live/ of the local server
	Real          bool          // a real shop without accounts: /shop/ has neither a sandbox nor a sign-in, and no token is read; only the local server
	Functions     bool          // the Lambda functions behind a gateway, instead of the local server
	Two           bool          // two local servers, whose requests alternate
	Managed       bool          // a function's process serves several requests at once, as on Lambda Managed Instances
}

// Opener is Open, or Open with the functions.
type Opener func(t *testing.T, stock int64, o Options) *Shop

// OpenManaged is Open with functions whose processes serve several requests at once.
func OpenManaged(t *testing.T, stock int64, o Options) *Shop {
	t.Helper()
	o.Functions, o.Managed = true, true
	return Open(t, stock, o)
}

// ServerAndFunctions runs a test against the local server, and against the functions behind a gateway.
func ServerAndFunctions(t *testing.T, test func(t *testing.T, open Opener)) {
	t.Helper()
	runWith(t, "server", Open, test)
	runWith(t, "functions", func(t *testing.T, stock int64, o Options) *Shop {
		t.Helper()
		o.Functions = true
		return Open(t, stock, o)
	}, test)
}

// InProcessesThatShare runs a test where requests in one process share calls of the database and the cache: on the local
// server, and on functions whose processes serve several requests at once.
func InProcessesThatShare(t *testing.T, test func(t *testing.T, open Opener)) {
	t.Helper()
	runWith(t, "server", Open, test)
	runWith(t, "managed", OpenManaged, test)
}

// Everywhere is ServerAndFunctions, and runs the test a third time with OpenManaged.
func Everywhere(t *testing.T, test func(t *testing.T, open Opener)) {
	t.Helper()
	ServerAndFunctions(t, test)
	runWith(t, "managed", OpenManaged, test)
}

func runWith(t *testing.T, name string, open Opener, test func(t *testing.T, open Opener)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		test(t, open)
	})
}

// Secret makes a webhook secret from a text.
func Secret(text string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(text+"-0123456789abcdef"))
}

// Open starts a checkout with one product that has the given stock.
func Open(t *testing.T, stock int64, o Options) *Shop {
	t.Helper()
	o = WithDefaults(t, o)
	s := New(t, stock, o)
	switch {
	case o.Functions:
		s.deploy(t, o)
	case o.Two:
		s.serveTwice(t, o)
	default:
		s.serve(t, o)
	}
	t.Cleanup(s.Stop)
	return s
}

// New makes a Shop without a server. The options must have their defaults.
func New(t testing.TB, stock int64, o Options) *Shop {
	t.Helper()
	s := &Shop{
		Env: ledgertest.On(t, o.DSN), ProductID: "p-" + uuid.NewString(), HoldTTL: o.HoldTTL,
		Client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 512}, Timeout: 30 * time.Second},
	}
	s.MustPut(t, s.ProductID, stock)
	s.acceptTokens(t, o.SignIn)
	s.Signer = Must(payments.NewStandard([]string{Secret("new")}))(t)
	s.OldSigner = Must(payments.NewStandard([]string{Secret("old")}))(t)
	s.RetiredSigner = Must(payments.NewStandard([]string{Secret("retired")}))(t)
	s.Stripe = Must(payments.NewStripe([]string{StripeSecret}, payments.StripeOnly{}))(t)
	return s
}

// WithDefaults fills in what the options leave open.
func WithDefaults(t testing.TB, o Options) Options {
	t.Helper()
	if o.DSN == "" {
		o.DSN = ledgertest.ServerDSN(t)
	}
	if o.CacheAddr == "" {
		if o.CacheAddr = os.Getenv("CACHE_ADDR"); o.CacheAddr == "" {
			o.CacheAddr = ledgertest.Servers(t).CacheAddr()
		}
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.HoldTTL == 0 {
		o.HoldTTL = 2 * time.Minute
	}
	if o.PaymentWindow == 0 {
		o.PaymentWindow = 15 * time.Minute
	}
	return o
}

// serve starts the local server.
func (s *Shop) serve(t testing.TB, o Options) {
	t.Helper()
	config := app.Config{
		HoldTTL: o.HoldTTL, PaymentWindow: o.PaymentWindow,
		WebhookSecrets: []string{Secret("new"), Secret("old")}, StripeWebhookSecrets: []string{StripeSecret},
	}
	signIn := s.verifier.SignIn
	if o.Real {
		signIn = api.Everybody
	}
	metrics := localserver.NewMetrics()
	s.App = app.New(config, app.Deps{
		Ledger:    Must(ledger.Open(Must(ledger.AccountsOf(s.AdminDSN))(t).DSN(ledger.RoleApp), metrics))(t),
		CacheAddr: o.CacheAddr, SignIn: signIn, Recorder: metrics, Requests: metrics,
		Logger: slog.New(slog.NewJSONHandler(o.Log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	listener := Must(new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0"))(t)
	s.URL = "http://" + listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	logger := slog.New(slog.NewJSONHandler(o.Log, nil))
	options := localserver.Options{Shop: s.storefront()}
	if o.Real {
		options.Shop = shop.Options{}
	}
	if o.Live {
		options.Live = localserver.NewLive(s.App, metrics, listener.Addr().String(), false, func(context.Context) string { return "ada" }, logger)
	}
	go func() { served <- localserver.Serve(ctx, s.App, metrics, listener, options, logger) }()
	s.Stop = sync.OnceFunc(func() {
		s.Client.CloseIdleConnections()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("the local server ended with %v, expected no error", err)
		}
		_ = s.App.Close()
	})
}

// storefront has a sandbox, and signs the issuer's shoppers in by name.
func (s *Shop) storefront() shop.Options {
	return shop.Options{Issuer: s.issuer, SignInNeeded: s.required, Sandbox: s.Signer}
}

// Stock reads the counters from the ledger, not from the cache.
func (s *Shop) Stock(t testing.TB) checkout.Product {
	t.Helper()
	return Must(s.Product(context.Background(), s.ProductID))(t)
}

// Must returns a result, or fails the test with the error: Must(f())(t).
func Must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// Eventually waits for a condition that depends on another goroutine, process or server.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("this did not happen within %s: %s", patience, what)
		}
	}
}

// patience is long, so that a test fails only if a condition never holds, however busy the machine is.
const patience = time.Minute
