package signin_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"flashsale/pkg/checkout"
	"flashsale/pkg/signin"
)

const (
	issuer   = "https://id.example.com/shop/"
	audience = "flashsale"
)

// The keys of the tests: made once, because an RSA key takes a while.
var (
	rsaKey  = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey   = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	ecOther = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	ec384   = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	ec521   = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// provider is an identity provider, as the transport of an HTTP client.
type provider struct {
	mu        sync.Mutex
	keys      map[string]crypto.PublicKey // by id
	documents map[string]string           // by address; a key set of keys unless it is here
	down      bool
	reads     int // of the key set
}

const (
	discoveryAt = "https://id.example.com/shop/.well-known/openid-configuration"
	keysAt      = "https://keys.example.com/jwks"
)

func newProvider() *provider {
	return &provider{
		keys:      map[string]crypto.PublicKey{"rsa": rsaKey().Public(), "ec": ecKey().Public(), "ec384": ec384().Public(), "ec521": ec521().Public()},
		documents: map[string]string{discoveryAt: `{"issuer":"` + issuer + `","jwks_uri":"` + keysAt + `"}`},
	}
}

// change changes the provider while tests use it.
func (p *provider) change(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
}

func (p *provider) readCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reads
}

func (p *provider) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	address := r.URL.String()
	text, found := p.documents[address]
	if address == keysAt {
		p.reads++
		if !found {
			text, found = keySet(p.keys), true
		}
	}
	if p.down {
		return nil, errors.New("the provider is down")
	}
	status := http.StatusOK
	if !found {
		status = http.StatusNotFound
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
}

// keySet is the JSON Web Key Set of public keys, beside keys that no verifier can use.
func keySet(keys map[string]crypto.PublicKey) string {
	set := []any{
		map[string]any{"kty": "unknown", "kid": "unknown"},
		map[string]any{"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
	}
	for id, key := range keys {
		set = append(set, must(jwkset.NewJWKFromKey(key, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: id, USE: jwkset.UseSig}})).Marshal())
	}
	return string(must(json.Marshal(map[string]any{"keys": set})))
}

// verifier requires tokens of the provider.
func (p *provider) verifier(log io.Writer) *signin.Verifier {
	keys := signin.NewKeys(signin.Locate(issuer, "", p), slog.New(slog.NewJSONHandler(log, nil)))
	return signin.NewVerifier(issuer, audience, keys, true)
}

// token is a token to sign. Its claims and its header are those of a good one, with changes; a nil value removes a claim.
type token struct {
	method jwt.SigningMethod // nil: ES256
	key    any               // nil: the key of the method ES256
	header jwt.MapClaims
	claims jwt.MapClaims
}

func (c token) sign() string {
	if c.method == nil {
		c.method = jwt.SigningMethodES256
	}
	if c.key == nil {
		c.key = ecKey()
	}
	claims := jwt.MapClaims{
		"iss": issuer, "aud": audience, "sub": "ada", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	apply(claims, c.claims)
	t := jwt.NewWithClaims(c.method, claims)
	t.Header["kid"] = "ec"
	apply(t.Header, c.header)
	return must(t.SignedString(c.key))
}

func apply(to, changes map[string]any) {
	maps.Copy(to, changes)
	maps.DeleteFunc(to, func(_ string, v any) bool { return v == nil })
}

// send sends a request with Authorization headers.
func send(t testing.TB, v *signin.Verifier, authorization ...string) (checkout.Shopper, error) {
	t.Helper()
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/holds", nil))
	if len(authorization) > 0 {
		r.Header["Authorization"] = authorization
	}
	return v.SignIn(r)
}

var ada = checkout.ShopperOf(issuer, "ada")

func wantAda(t testing.TB, v *signin.Verifier, what, token string) {
	t.Helper()
	if got, err := send(t, v, "Bearer "+token); got != ada || err != nil {
		t.Errorf("%s: got %s and %v, expected ada", what, got, err)
	}
}

func wantRefused(t testing.TB, v *signin.Verifier, what string, authorization ...string) {
	t.Helper()
	got, err := send(t, v, authorization...)
	if !got.Anonymous() || checkout.CodeOf(err) != checkout.CodeUnauthenticated {
		t.Errorf("%s: got %s and %v, expected unauthenticated", what, got, err)
	}
}
