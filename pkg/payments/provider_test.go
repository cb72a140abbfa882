package payments_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"flashsale/pkg/checkout"
	"flashsale/pkg/payments"
)

const (
	// standardSecret is the secret of the test vectors of Standard Webhooks.
	standardSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	otherStandard  = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	stripeSecret   = "whsec_0123456789abcdef0123456789abcdef"
	otherStripe    = "whsec_fedcba9876543210fedcba9876543210"
)

// provider is the common interface of both providers, for the tests that both must pass.
type provider struct {
	name          string
	secret, other string
	body          string // of an event that is accepted
	signature     string // the header that carries it
	event         func(http.Header, []byte) (checkout.PaymentEvent, error)
	sign          func(time.Time, []byte) http.Header
	make          func(tb testing.TB, secrets ...string) provider
	tryMake       func(secrets []string) error
	withTimestamp func(h http.Header, seconds string)
	brokenHeaders []func(http.Header)
}

func mustStandard(tb testing.TB, secrets ...string) *payments.Standard {
	tb.Helper()
	s, err := payments.NewStandard(secrets)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func mustStripe(tb testing.TB, secrets ...string) *payments.Stripe {
	tb.Helper()
	s, err := payments.NewStripe(secrets, payments.StripeOnly{})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func standardProvider(tb testing.TB, secrets ...string) provider {
	s := mustStandard(tb, secrets...)
	set := func(name, value string) func(http.Header) {
		return func(h http.Header) { h.Set(name, value) }
	}
	return provider{
		name: checkout.ProviderStandard, secret: standardSecret, other: otherStandard,
		body: `{"type":"ping"}`, signature: "webhook-signature",
		event:   s.Event,
		sign:    func(at time.Time, body []byte) http.Header { return s.Sign("msg_1", at, body) },
		make:    standardProvider,
		tryMake: func(secrets []string) error { _, err := payments.NewStandard(secrets); return err },
		withTimestamp: func(h http.Header, seconds string) {
			h.Set("webhook-timestamp", seconds)
		},
		brokenHeaders: []func(http.Header){
			func(h http.Header) { h.Del("webhook-id") },
			func(h http.Header) { h.Del("webhook-timestamp") },
			func(h http.Header) { h.Del("webhook-signature") },
			set("webhook-id", "msg_2"), // signed, too
			set("webhook-timestamp", "yesterday"),
			set("webhook-timestamp", "1614265330.5"),
			set("webhook-timestamp", "99999999999999999999"),
			set("webhook-signature", "v1"),
			set("webhook-signature", "v1,"),
			set("webhook-signature", ", ,, ,"),
			func(h http.Header) {
				h.Set("webhook-signature", strings.Replace(h.Get("webhook-signature"), "v1,", "v2,", 1))
			},
			func(h http.Header) {
				h.Set("webhook-signature", strings.TrimPrefix(h.Get("webhook-signature"), "v1,"))
			},
		},
	}
}

func stripeProvider(tb testing.TB, secrets ...string) provider {
	s := mustStripe(tb, secrets...)
	edit := func(from, to string) func(http.Header) {
		return func(h http.Header) {
			h.Set("Stripe-Signature", strings.Replace(h.Get("Stripe-Signature"), from, to, 1))
		}
	}
	return provider{
		name: checkout.ProviderStripe, secret: stripeSecret, other: otherStripe,
		body: `{"id":"evt_1","type":"customer.created"}`, signature: "Stripe-Signature",
		event: s.Event, sign: s.Sign,
		make:    stripeProvider,
		tryMake: func(secrets []string) error { _, err := payments.NewStripe(secrets, payments.StripeOnly{}); return err },
		withTimestamp: func(h http.Header, seconds string) {
			_, rest, _ := strings.Cut(h.Get("Stripe-Signature"), ",")
			h.Set("Stripe-Signature", "t="+seconds+","+rest)
		},
		brokenHeaders: []func(http.Header){
			func(h http.Header) { h.Del("Stripe-Signature") },
			edit("t=", "T="),
			edit("t=", "t=x"),
			edit("t=", "t=1,t="), // two timestamps
			edit("t=", "t=="), edit("v1=", "v0="), edit("v1=", "v1=zz"), edit("v1=", "v1"),
			func(h http.Header) { h.Set("Stripe-Signature", "t=1492774577") }, // as a splitting adapter leaves it
			func(h http.Header) { h.Set("Stripe-Signature", ",,=,t=,v1=") },
		},
	}
}

func providers(tb testing.TB) []provider {
	return []provider{standardProvider(tb, standardSecret), stripeProvider(tb, stripeSecret)}
}

func wantCode(tb testing.TB, err error, want checkout.Code) {
	tb.Helper()
	if got := checkout.CodeOf(err); got != want {
		tb.Errorf("code %q, want %q (error: %v)", got, want, err)
	}
}
