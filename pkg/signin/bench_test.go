package signin_test

import (
	"io"
	"log/slog"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"flashsale/pkg/signin"
)

// BenchmarkSignIn measures what a token adds to a request: when it is new, and when it was verified before.
func BenchmarkSignIn(b *testing.B) {
	for name, c := range map[string]token{
		"ES256": {},
		"RS256": {method: jwt.SigningMethodRS256, key: rsaKey(), header: jwt.MapClaims{"kid": "rsa"}},
	} {
		text := "Bearer " + c.sign()
		p := newProvider()
		run := func(name string, next func() (*signin.Verifier, string)) {
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					v, text := next()
					if _, err := send(b, v, text); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		v := p.verifier(io.Discard)
		run(name+"/repeated", func() (*signin.Verifier, string) { return v, text })
		keys := signin.NewKeys(signin.Locate(issuer, "", p), slog.New(slog.DiscardHandler))
		run(name+"/new", func() (*signin.Verifier, string) { return signin.NewVerifier(issuer, audience, keys, true), text })
	}
}
