package lambdaserver

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/awslabs/aws-lambda-go-api-proxy/core"

	"flashsale/pkg/checkout"
)

// SignIn returns an api.SignIn for functions behind API Gateway's JWT authorizer, which has verified the token. It reads the
// claims from the event alone. `sam local` skips authorizers, and an IAM or Lambda authorizer has no such claims: the request is
// then refused.
func SignIn(issuer, audience string) func(r *http.Request) (checkout.Shopper, error) {
	return func(r *http.Request) (checkout.Shopper, error) {
		gateway, _ := core.GetAPIGatewayV2ContextFromContext(r.Context())
		var claims map[string]string
		if authorizer := gateway.Authorizer; authorizer != nil && authorizer.JWT != nil {
			claims = authorizer.JWT.Claims
		}
		var cause error
		switch {
		case claims == nil:
			cause = errors.New("the event has no claims of a JWT authorizer")
		case claims["iss"] != issuer:
			cause = fmt.Errorf("the token's issuer is %.100q, expected %q", claims["iss"], issuer)
		case !hasAudience(claims, audience):
			cause = fmt.Errorf("the token's audience is %.100q, expected %q", claims["aud"], audience)
		case claims["sub"] == "":
			cause = errors.New("the token has no subject")
		default:
			return checkout.ShopperOf(issuer, claims["sub"]), nil
		}
		return checkout.Shopper{}, checkout.Unauthenticated("Sign in to reserve and order.", cause)
	}
}

// hasAudience follows API Gateway: several audiences are one text, "[a b]", and client_id counts if there is no audience.
func hasAudience(claims map[string]string, audience string) bool {
	given, found := claims["aud"]
	if !found {
		return claims["client_id"] == audience
	}
	if list, several := strings.CutPrefix(given, "["); several {
		return slices.Contains(strings.Fields(strings.TrimSuffix(list, "]")), audience)
	}
	return given == audience
}
