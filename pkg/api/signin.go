package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"flashsale/pkg/checkout"
)

// SignIn finds the shopper that sent a request. It returns the zero Shopper for an anonymous one. If anonymous shoppers are not
// allowed, it fails with the code unauthenticated.
type SignIn func(r *http.Request) (checkout.Shopper, error)

// Everybody is a SignIn for a shop without accounts.
func Everybody(*http.Request) (checkout.Shopper, error) { return checkout.Shopper{}, nil }

// bearer is the name of the security scheme in the OpenAPI document.
const bearer = "shopper"

var securitySchemes = map[string]*huma.SecurityScheme{bearer: {
	Type: "http", Scheme: "bearer", BearerFormat: "JWT",
	Description: "A token of the shop's sign-in service, as `Authorization: Bearer …`. A shop with accounts needs it for holds and orders. " +
		"They belong to the shopper who placed them; other shoppers get 404 for them.\n\n" +
		"A shop without accounts needs no token: there, any caller who knows an id can use it. With `flashsale run`, you can try a token that " +
		"`flashsale token NAME` prints.\n\n" +
		"A server that reads tokens refuses an invalid one with 401, even if none is needed. Products and webhooks read none. On AWS, API Gateway refuses it, with " +
		"`{\"message\":\"Unauthorized\"}` in place of a problem.",
}}

// mayBeShoppers and areShoppers are the security of the operations that belong to a shopper. The first need a token only in a shop
// with accounts, the second always.
var (
	mayBeShoppers = []map[string][]string{{bearer: {}}, {}}
	areShoppers   = []map[string][]string{{bearer: {}}}
)

type shopperKey struct{}

// identify is the middleware that finds the shopper of an operation that has a security. It comes first, so that a stranger
// learns nothing else.
func identify(signIn SignIn) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		if ctx.Operation().Security == nil {
			next(ctx)
			return
		}
		r, w := humago.Unwrap(ctx)
		info := infoOf(r.Context())
		shopper, err := signIn(r)
		info.badToken = err != nil && sentToken(r)
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

var errSignIn = checkout.Unauthenticated("Sign in to list your holds and orders.", nil)

// shopperOf returns the shopper of an operation that has a security.
func shopperOf(ctx context.Context) checkout.Shopper {
	shopper, _ := ctx.Value(shopperKey{}).(checkout.Shopper)
	return shopper
}

// callerOf returns the shopper as the caller of the checkout.
func callerOf(ctx context.Context) checkout.Caller { return checkout.Caller{Shopper: shopperOf(ctx)} }

// sentToken reports whether a request has a bearer token.
func sentToken(r *http.Request) bool {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Bearer")
}

// challenge is the WWW-Authenticate header of a refusal: RFC 6750, section 3. A request without a token gets no error code.
func challenge(info *requestInfo, err error) string {
	switch {
	case checkout.CodeOf(err) != checkout.CodeUnauthenticated:
		return ""
	case info.badToken:
		return `Bearer realm="flashsale", error="invalid_token"`
	}
	return `Bearer realm="flashsale"`
}
