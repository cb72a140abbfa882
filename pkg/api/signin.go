package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"flashsale/pkg/checkout"
)

// SignIn tells which shopper sent a request. It returns the zero Shopper for an anonymous one, where these are allowed, and
// otherwise fails with the code unauthenticated.
type SignIn func(r *http.Request) (checkout.Shopper, error)

// Everybody is a SignIn for a shop without accounts.
func Everybody(*http.Request) (checkout.Shopper, error) { return checkout.Shopper{}, nil }

// bearer is the name of the security scheme in the OpenAPI document.
const bearer = "shopper"

var securitySchemes = map[string]*huma.SecurityScheme{bearer: {
	Type: "http", Scheme: "bearer", BearerFormat: "JWT",
	Description: "A token of the shop's sign-in service. A shop without accounts needs none: then holds and orders belong to the callers who know their ids.",
}}

// mayBeShoppers and areShoppers are the security of the operations that belong to a shopper: with a token, if the shop has
// accounts; and always with a token.
var (
	mayBeShoppers = []map[string][]string{{bearer: {}}, {}}
	areShoppers   = []map[string][]string{{bearer: {}}}
)

type shopperKey struct{}

// identify is the middleware that finds the shopper of an operation that has a security. It comes first, so that a stranger
// learns nothing but that.
func identify(signIn SignIn) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		if ctx.Operation().Security == nil {
			next(ctx)
			return
		}
		r, w := humago.Unwrap(ctx)
		info := infoOf(r.Context())
		shopper, err := signIn(r)
		if err == nil && shopper.Anonymous() && len(ctx.Operation().Security) == len(areShoppers) {
			err = errSignIn
		}
		if err != nil {
			writeProblem(w, info, err)
			return
		}
		info.shopper = shopper
		next(huma.WithValue(ctx, shopperKey{}, shopper))
	}
}

var errSignIn = checkout.Unauthenticated("Sign in to list what is yours.", nil)

// shopperOf returns the shopper of an operation that has a security.
func shopperOf(ctx context.Context) checkout.Shopper {
	shopper, _ := ctx.Value(shopperKey{}).(checkout.Shopper)
	return shopper
}

// callerOf returns the shopper as the caller of the checkout.
func callerOf(ctx context.Context) checkout.Caller { return checkout.Caller{Shopper: shopperOf(ctx)} }

// challenge is the WWW-Authenticate header of a refusal: RFC 6750, section 3. A request without a token gets no error code.
func challenge(err error) string {
	if checkout.CodeOf(err) != checkout.CodeUnauthenticated {
		return ""
	}
	return `Bearer realm="flashsale"`
}
