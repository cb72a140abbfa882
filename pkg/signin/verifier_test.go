package signin_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"flashsale/pkg/checkout"
	"flashsale/pkg/signin"
)

func TestAcceptsTokensOfTheIssuer(t *testing.T) {
	t.Parallel()
	v := newProvider().verifier(io.Discard)
	now := time.Now()
	for what, c := range map[string]token{
		"ES256":                      {},
		"ES384":                      {method: jwt.SigningMethodES384, key: ec384(), header: jwt.MapClaims{"kid": "ec384"}},
		"ES512":                      {method: jwt.SigningMethodES512, key: ec521(), header: jwt.MapClaims{"kid": "ec521"}},
		"RS256":                      {method: jwt.SigningMethodRS256, key: rsaKey(), header: jwt.MapClaims{"kid": "rsa"}},
		"RS384":                      {method: jwt.SigningMethodRS384, key: rsaKey(), header: jwt.MapClaims{"kid": "rsa"}},
		"RS512":                      {method: jwt.SigningMethodRS512, key: rsaKey(), header: jwt.MapClaims{"kid": "rsa"}},
		"several audiences":          {claims: jwt.MapClaims{"aud": []string{"another", audience}}},
		"Cognito's client_id":        {claims: jwt.MapClaims{"aud": nil, "client_id": audience}},
		"no iat":                     {claims: jwt.MapClaims{"iat": nil}},
		"valid since a second":       {claims: jwt.MapClaims{"nbf": now.Add(-time.Second).Unix()}},
		"the issuer's clock is fast": {claims: jwt.MapClaims{"iat": now.Add(3 * time.Second).Unix(), "nbf": now.Add(3 * time.Second).Unix()}},
		"other claims":               {claims: jwt.MapClaims{"scope": "openid", "events": map[string]any{"a": 1}}},
	} {
		wantAda(t, v, what, c.sign())
	}
	// RFC 9110, section 11.1: the scheme is compared without case.
	for _, scheme := range []string{"bearer ", "BEARER ", "Bearer  "} {
		if got, err := send(t, v, scheme+token{}.sign()); got != ada || err != nil {
			t.Errorf("the scheme %q: got %s and %v, expected ada", scheme, got, err)
		}
	}
}

func TestRefusesEveryOtherToken(t *testing.T) {
	t.Parallel()
	v := newProvider().verifier(io.Discard)
	now := time.Now()
	publicDER := must(x509.MarshalPKIXPublicKey(rsaKey().Public()))
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER})
	good := token{}.sign()
	header, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	for what, text := range map[string]string{
		"expired":                       token{claims: jwt.MapClaims{"exp": now.Add(-time.Minute).Unix()}}.sign(),
		"not yet valid":                 token{claims: jwt.MapClaims{"nbf": now.Add(time.Minute).Unix()}}.sign(),
		"issued in the future":          token{claims: jwt.MapClaims{"iat": now.Add(time.Minute).Unix()}}.sign(),
		"wrong audience":                token{claims: jwt.MapClaims{"aud": "another"}}.sign(),
		"part of the audience":          token{claims: jwt.MapClaims{"aud": audience[:5]}}.sign(),
		"no audience":                   token{claims: jwt.MapClaims{"aud": nil}}.sign(),
		"an empty list of audiences":    token{claims: jwt.MapClaims{"aud": []string{}}}.sign(),
		"another client":                token{claims: jwt.MapClaims{"aud": nil, "client_id": "another"}}.sign(),
		"another audience, this client": token{claims: jwt.MapClaims{"aud": "another", "client_id": audience}}.sign(),
		"wrong issuer":                  token{claims: jwt.MapClaims{"iss": "https://id.example.com/other/"}}.sign(),
		"an issuer without its slash":   token{claims: jwt.MapClaims{"iss": strings.TrimSuffix(issuer, "/")}}.sign(),
		"no issuer":                     token{claims: jwt.MapClaims{"iss": nil}}.sign(),
		"no exp":                        token{claims: jwt.MapClaims{"exp": nil}}.sign(),
		"exp as text":                   token{claims: jwt.MapClaims{"exp": "tomorrow"}}.sign(),
		"no sub":                        token{claims: jwt.MapClaims{"sub": nil}}.sign(),
		"an empty sub":                  token{claims: jwt.MapClaims{"sub": ""}}.sign(),
		"a number as sub":               token{claims: jwt.MapClaims{"sub": 17}}.sign(),
		"alg none":                      token{method: jwt.SigningMethodNone, key: jwt.UnsafeAllowNoneSignatureType}.sign(),
		"HS256 with the public key":     token{method: jwt.SigningMethodHS256, key: publicPEM, header: jwt.MapClaims{"kid": "rsa"}}.sign(),
		"HS256 with the key's DER":      token{method: jwt.SigningMethodHS256, key: publicDER, header: jwt.MapClaims{"kid": "rsa"}}.sign(),
		"HS256 with a published secret": token{method: jwt.SigningMethodHS256, key: []byte("secret"), header: jwt.MapClaims{"kid": "secret"}}.sign(),
		"PS256":                         token{method: jwt.SigningMethodPS256, key: rsaKey(), header: jwt.MapClaims{"kid": "rsa"}}.sign(),
		"another key with a known kid":  token{key: ecOther()}.sign(),
		"the kid of an RSA key":         token{header: jwt.MapClaims{"kid": "rsa"}}.sign(),
		"an unknown kid":                token{header: jwt.MapClaims{"kid": "unknown"}}.sign(),
		"no kid":                        token{header: jwt.MapClaims{"kid": nil}}.sign(),
		"a number as kid":               token{header: jwt.MapClaims{"kid": 1}}.sign(),
		"a critical extension":          token{header: jwt.MapClaims{"crit": []string{"b64"}, "b64": false}}.sign(),
		"a changed payload":             header + "." + payload[:10] + "A" + payload[11:] + "." + signature,
		"no signature":                  header + "." + payload + ".",
		"garbage":                       "garbage",
		"three times garbage":           "a.b.c",
		"two tokens":                    good + " " + good,
		"a token and a comma":           good + ",",
	} {
		wantRefused(t, v, what, "Bearer "+text)
	}
}

func TestRefusesMalformedHeaders(t *testing.T) {
	t.Parallel()
	v := newProvider().verifier(io.Discard)
	good := token{}.sign()
	wantRefused(t, v, "no header")
	wantRefused(t, v, "an empty header", "")
	wantRefused(t, v, "no token", "Bearer")
	wantRefused(t, v, "a space in place of a token", "Bearer ")
	wantRefused(t, v, "Basic", "Basic YWRhOnNlY3JldA==")
	wantRefused(t, v, "a token with another scheme", "Token "+good)
	wantRefused(t, v, "a token without a scheme", good)
	wantRefused(t, v, "two headers", "Bearer "+good, "Bearer "+good)
	wantRefused(t, v, "a second header that is empty", "Bearer "+good, "")
}

func TestAnonymousOnlyWithoutAHeader(t *testing.T) {
	t.Parallel()
	p := newProvider()
	v := signin.NewVerifier(issuer, audience, signin.NewKeys(signin.Locate(issuer, "", p), slog.New(slog.DiscardHandler)), false)
	if got, err := send(t, v); !got.Anonymous() || err != nil {
		t.Errorf("no header: got %s and %v, expected an anonymous shopper", got, err)
	}
	wantAda(t, v, "a token", token{}.sign())
	wantRefused(t, v, "an empty header", "")
	wantRefused(t, v, "garbage", "Bearer garbage")
	wantRefused(t, v, "an expired token", "Bearer "+token{claims: jwt.MapClaims{"exp": 1}}.sign())
	wantRefused(t, v, "Basic", "Basic YWRhOnNlY3JldA==")
}

// The log gets the cause, but neither the token nor kilobytes of what its sender chose.
func TestCausesAreShort(t *testing.T) {
	t.Parallel()
	v := newProvider().verifier(io.Discard)
	text := token{header: jwt.MapClaims{"kid": strings.Repeat("k", 8000)}}.sign()
	_, err := send(t, v, "Bearer "+text)
	if cause := errors.Unwrap(err); cause == nil || len(cause.Error()) > 250 || !strings.Contains(cause.Error(), "kid") {
		t.Errorf("the cause is %v, expected the unknown key id in at most 250 bytes", cause)
	}
	_, err = send(t, v, "Bearer "+token{claims: jwt.MapClaims{"exp": 1}}.sign())
	if cause := errors.Unwrap(err); !errors.Is(cause, jwt.ErrTokenExpired) {
		t.Errorf("the cause is %v, expected that the token has expired", cause)
	}
}

// A second request with a token costs no signature check. The test counts allocations, so it does not run beside others.
func TestVerifiedTokenIsRemembered(t *testing.T) {
	v := newProvider().verifier(io.Discard)
	text := "Bearer " + token{}.sign()
	wantAda(t, v, "the first request", strings.TrimPrefix(text, "Bearer "))
	if n := testing.AllocsPerRun(10, func() { _, _ = send(t, v, text) }); n > 20 {
		t.Errorf("the second request makes %v allocations, expected those of no verification", n)
	}
}

// A token that was verified before is refused once it has expired.
func TestVerifiedTokenExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := newProvider().verifier(io.Discard)
		text := token{claims: jwt.MapClaims{"exp": time.Now().Add(time.Minute).Unix()}}.sign()
		for range 2 {
			wantAda(t, v, "the token", text)
		}
		time.Sleep(time.Minute + 6*time.Second)
		wantRefused(t, v, "the token after it expired", "Bearer "+text)
	})
}

// Two verifiers may share keys. A token that one accepted must not pass the other.
func TestVerifiersOfDifferentAudiencesShareKeys(t *testing.T) {
	t.Parallel()
	keys := signin.NewKeys(signin.Locate(issuer, "", newProvider()), slog.New(slog.DiscardHandler))
	text := token{}.sign()
	wantAda(t, signin.NewVerifier(issuer, audience, keys, true), "the token", text)
	wantRefused(t, signin.NewVerifier(issuer, "another", keys, true), "the token for another audience", "Bearer "+text)
}

func TestDevelopmentIssuer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		made := must(signin.NewDevelopment())
		read := must(signin.ParseDevelopment(must(made.PEM())))
		v := signin.NewVerifier(signin.DevelopmentIssuer, signin.DevelopmentAudience, signin.NewKeys(read.Keys, slog.New(slog.DiscardHandler)), false)
		text := must(made.Token("ada", time.Hour))
		want := checkout.ShopperOf(signin.DevelopmentIssuer, "ada")
		if got, err := send(t, v, "Bearer "+text); got != want || err != nil {
			t.Errorf("got %s and %v, expected ada of the development issuer", got, err)
		}
		wantRefused(t, v, "a token of another directory", "Bearer "+must(must(signin.NewDevelopment()).Token("ada", time.Hour)))
		public := must(made.Keys(t.Context()))
		if bytes.Contains(public, []byte(`"d"`)) {
			t.Errorf("the key set is %s, expected no private key", public)
		}
		time.Sleep(time.Hour + time.Minute)
		wantRefused(t, v, "the token an hour later", "Bearer "+text)
		for _, bad := range []string{"", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
			if _, err := signin.ParseDevelopment([]byte(bad)); err == nil {
				t.Errorf("the key %q was read, expected an error", bad)
			}
		}
	})
}
