package shoptest

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"flashsale/pkg/checkout"
	"flashsale/pkg/signin"
)

// requireSignIn makes an issuer for the Shop.
func (s *Shop) requireSignIn(t testing.TB) {
	t.Helper()
	s.issuer = Must(signin.NewDevelopment())(t)
	keys := signin.NewKeys(s.issuer.Keys, slog.New(slog.DiscardHandler))
	s.verifier = signin.NewVerifier(signin.DevelopmentIssuer, signin.DevelopmentAudience, keys, true)
}

// Token returns a token of the shopper with this name. The Shop needs Options.SignIn.
func (s *Shop) Token(t testing.TB, name string) string {
	t.Helper()
	return Must(s.issuer.Token(name, time.Hour))(t)
}

// As returns the Shop with a client that is signed in as the shopper with this name.
func (s *Shop) As(t testing.TB, name string) *Shop {
	t.Helper()
	as := *s
	as.token = s.Token(t, name)
	return &as
}

// Shopper is the shopper with this name.
func Shopper(name string) checkout.Shopper { return checkout.ShopperOf(signin.DevelopmentIssuer, name) }

// authorize stands in for API Gateway's JWT authorizer.
func (s *Shop) authorize(r *http.Request) (claims map[string]string, ok bool) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	subject, err := s.verifier.Verify(r.Context(), token)
	return map[string]string{"iss": signin.DevelopmentIssuer, "aud": signin.DevelopmentAudience, "sub": subject}, err == nil
}
