package signin

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"

	"flashsale/pkg/checkout"
)

// leeway is how far the clocks of the issuer and of this machine may differ.
const leeway = 5 * time.Second

// algorithms excludes "none" and HMAC. With HMAC, anyone could sign with the text of a public key.
var algorithms = []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512"}

// Verifier finds the shopper that sent a request, by its bearer token. Its method SignIn is an api.SignIn.
type Verifier struct {
	issuer, audience string
	keys             *Keys
	required         bool
	parser           *jwt.Parser
	results          *lru.Cache[[sha256.Size]byte, verified] // by the digest of the token
}

// NewVerifier returns a verifier of the issuer's tokens. A request without a token is refused if required is set; otherwise its
// shopper is anonymous.
func NewVerifier(issuer, audience string, keys *Keys, required bool) *Verifier {
	parser := jwt.NewParser(
		jwt.WithValidMethods(algorithms), jwt.WithIssuer(issuer), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway),
	)
	results, _ := lru.New[[sha256.Size]byte, verified](remembered) // fails for a size below 1
	return &Verifier{issuer, audience, keys, required, parser, results}
}

// The refusals, as sentences for the caller.
const (
	needed    = "Sign in to reserve and order: this request has no bearer token."
	malformed = "The Authorization header is not one bearer token."
	invalid   = "The bearer token is not valid, or has expired."
)

// SignIn returns the shopper of the request's token. It fails with unauthenticated if the token or its header is invalid, or
// missing where it is required, and with busy if no key could be read yet.
func (v *Verifier) SignIn(r *http.Request) (checkout.Shopper, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 && !v.required {
		return checkout.Shopper{}, nil
	}
	if len(headers) == 0 {
		return checkout.Shopper{}, checkout.Unauthenticated(needed, nil)
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	token = strings.TrimLeft(token, " ")
	if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return checkout.Shopper{}, checkout.Unauthenticated(malformed, errors.New("expected one Authorization header: Bearer and a token"))
	}
	subject, err := v.Verify(r.Context(), token)
	if err != nil {
		return checkout.Shopper{}, err
	}
	return checkout.ShopperOf(v.issuer, subject), nil
}

// claims are those of a token that matter here. Access tokens of Amazon Cognito have client_id in place of aud.
type claims struct {
	jwt.RegisteredClaims
	ClientID string `json:"client_id,omitempty"`
}

// verified is the result of a verification. It is valid until it expires, and only while the keys that verified it are in use.
type verified struct {
	subject string
	expires time.Time
	by      *keySet
}

// remembered limits the results that are kept. A result saves a repeated token most of the cost of a refused hold: see
// docs/decisions.md, "A verified token is remembered".
const remembered = 10_000

// Verify returns the subject of a valid token. Its errors are those of SignIn.
func (v *Verifier) Verify(ctx context.Context, token string) (subject string, err error) {
	digest := sha256.Sum256([]byte(token))
	known, hit := v.results.Get(digest)
	if hit && known.by == v.keys.inUse(ctx) && time.Now().Before(known.expires) {
		return known.subject, nil
	}
	c, by, err := v.parse(ctx, token)
	switch {
	case checkout.CodeOf(err) == checkout.CodeBusy:
		return "", checkout.Busy(err)
	case err != nil:
		return "", checkout.Unauthenticated(invalid, shortened(err))
	}
	v.results.Add(digest, verified{c.Subject, c.ExpiresAt.Add(leeway), by})
	return c.Subject, nil
}

// parse returns the claims of a valid token, and the keys that verified it.
func (v *Verifier) parse(ctx context.Context, token string) (c claims, by *keySet, err error) {
	_, err = v.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (key any, err error) {
		if _, critical := t.Header["crit"]; critical {
			return nil, errors.New("the token has a critical extension") // RFC 7515, section 4.1.11: refuse the unknown
		}
		key, by, err = v.keys.find(ctx, t)
		return key, err
	})
	switch {
	case err != nil:
	case !slices.Contains(c.Audience, v.audience) && (len(c.Audience) > 0 || c.ClientID != v.audience):
		err = jwt.ErrTokenInvalidAudience
	case c.Subject == "":
		err = errors.New("the token has no subject")
	}
	return c, by, err
}

// maxCause limits what the log shows of a refused token's header, such as a key id of several kilobytes.
const maxCause = 200

func shortened(err error) error {
	if text := err.Error(); len(text) > maxCause {
		return errors.New(strings.ToValidUTF8(text[:maxCause], "") + "…")
	}
	return err
}
