package lambdaserver_test

import (
	"net/http"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"flashsale/pkg/checkout"
	"flashsale/pkg/lambdaserver"
)

const (
	issuer   = "https://id.example.com/"
	audience = "flashsale"
)

// signInOf is the result of SignIn in the handler of an event with this authorizer.
func signInOf(t *testing.T, authorizer *events.APIGatewayV2HTTPRequestContextAuthorizerDescription) (shopper checkout.Shopper, err error) {
	t.Helper()
	signIn := lambdaserver.SignIn(issuer, audience)
	f, _ := serve(func(_ http.ResponseWriter, r *http.Request) { shopper, err = signIn(r) })
	event := mustEvent(t, "not-modified.json")
	event.Headers["authorization"] = "Bearer token" // which only the gateway reads
	event.RequestContext.Authorizer = authorizer
	invoke(t, f, event)
	return shopper, err
}

func jwtOf(claims map[string]string) *events.APIGatewayV2HTTPRequestContextAuthorizerDescription {
	return &events.APIGatewayV2HTTPRequestContextAuthorizerDescription{JWT: &events.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription{Claims: claims}}
}

func TestSignInTakesTheGatewaysClaims(t *testing.T) {
	t.Parallel()
	want := checkout.ShopperOf(issuer, "ada")
	for _, claims := range []map[string]string{
		{"iss": issuer, "aud": audience, "sub": "ada"},
		{"iss": issuer, "aud": "[" + audience + "]", "sub": "ada"},
		{"iss": issuer, "aud": "[another " + audience + "]", "sub": "ada"},
		{"iss": issuer, "client_id": audience, "sub": "ada"}, // Amazon Cognito's access tokens
	} {
		if got, err := signInOf(t, jwtOf(claims)); got != want || err != nil {
			t.Errorf("%v: got %s and %v, expected ada", claims, got, err)
		}
	}
}

func TestSignInFailsClosed(t *testing.T) {
	t.Parallel()
	for what, authorizer := range map[string]*events.APIGatewayV2HTTPRequestContextAuthorizerDescription{
		"no authorizer, as in sam local": nil,
		"an authorizer without claims":   {},
		"a JWT authorizer's nothing":     jwtOf(nil),
		"no claims":                      jwtOf(map[string]string{}),
		"a Lambda authorizer":            {Lambda: map[string]any{"iss": issuer, "aud": audience, "sub": "ada"}},
		"an IAM authorizer":              {IAM: &events.APIGatewayV2HTTPRequestContextAuthorizerIAMDescription{UserID: "ada", UserARN: "arn:aws:iam::123456789012:user/ada"}},
		"another issuer":                 jwtOf(map[string]string{"iss": "https://id.example.com", "aud": audience, "sub": "ada"}),
		"no issuer":                      jwtOf(map[string]string{"aud": audience, "sub": "ada"}),
		"another audience":               jwtOf(map[string]string{"iss": issuer, "aud": "another", "sub": "ada"}),
		"part of an audience":            jwtOf(map[string]string{"iss": issuer, "aud": "[flashsale-2 another]", "sub": "ada"}),
		"an empty audience":              jwtOf(map[string]string{"iss": issuer, "aud": "", "client_id": audience, "sub": "ada"}),
		"no audience":                    jwtOf(map[string]string{"iss": issuer, "sub": "ada"}),
		"no subject":                     jwtOf(map[string]string{"iss": issuer, "aud": audience}),
		"an empty subject":               jwtOf(map[string]string{"iss": issuer, "aud": audience, "sub": ""}),
	} {
		if got, err := signInOf(t, authorizer); !got.Anonymous() || checkout.CodeOf(err) != checkout.CodeUnauthenticated {
			t.Errorf("%s: got %s and %v, expected unauthenticated", what, got, err)
		}
	}
}

func TestSignInNeedsAnEvent(t *testing.T) {
	t.Parallel()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/holds", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := lambdaserver.SignIn(issuer, audience)(r); !got.Anonymous() || checkout.CodeOf(err) != checkout.CodeUnauthenticated {
		t.Errorf("a request without an event: got %s and %v, expected unauthenticated", got, err)
	}
}
