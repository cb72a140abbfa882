package deploy

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flashsale/internal/template"
	"flashsale/pkg/api"
)

const (
	cachingDisabled           = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad" // both are AWS's own
	allViewerExceptHostHeader = "b689b0a8-53d0-40ab-baf2-68738e2966ac"
)

// edgeTemplate is the stack in front of the API.
func edgeTemplate(t testing.TB) template.Template {
	t.Helper()
	return template.Read(t, edgePath)
}

// edgeAt is a property of the distribution.
func edgeAt(t testing.TB, path string) any {
	t.Helper()
	return follow(edgeTemplate(t).Object, "Resources.Distribution.Properties.DistributionConfig."+path)
}

// operation is one of docs/openapi.yaml.
type operation struct {
	method, path string
	query        []string // the names of its parameters
}

func operations(t testing.TB) (found []operation) {
	t.Helper()
	contract := template.Plain(t, template.Parse(t, "../../docs/openapi.yaml")).(object)
	base := follow(contract, "servers.0.url").(string)
	for path, methods := range contract["paths"].(object) {
		for method, details := range methods.(object) {
			o := operation{method: strings.ToUpper(method), path: base + path}
			parameters, _ := template.At(details, "parameters").([]any)
			for _, p := range parameters {
				if template.At(p, "in") == "query" {
					o.query = append(o.query, template.At(p, "name").(string))
				}
			}
			found = append(found, o)
		}
	}
	return found
}

// CloudFront keeps products and their list for a second. Nothing else is kept, and everything reaches the API.
func TestEdgeCachesProductsOnly(t *testing.T) {
	cached, query := 0, map[string]bool{}
	for _, o := range operations(t) {
		behavior := edgeAt(t, "DefaultCacheBehavior")
		for _, b := range edgeAt(t, "CacheBehaviors").([]any) {
			pattern := strings.ReplaceAll(regexp.QuoteMeta(template.At(b, "PathPattern").(string)), `\*`, ".*")
			if regexp.MustCompile("^" + pattern + "$").MatchString(o.path) {
				behavior = b
				break
			}
		}
		want := []any{cachingDisabled, allViewerExceptHostHeader}
		if strings.HasPrefix(o.path, "/v1/products") {
			want = []any{object{"Ref": "ProductsCache"}, object{"Ref": "ProductsRequest"}}
			cached++
			for _, name := range o.query {
				query[name] = true
			}
		}
		if d := cmp.Diff(want, []any{template.At(behavior, "CachePolicyId"), template.At(behavior, "OriginRequestPolicyId")}); d != "" {
			t.Errorf("%s %s: expected (-) and set (+) policies differ:\n%s", o.method, o.path, d)
		}
		if !slices.Contains(template.At(behavior, "AllowedMethods").([]any), any(o.method)) || template.At(behavior, "ViewerProtocolPolicy") != "https-only" {
			t.Errorf("%s %s does not pass, or not by HTTPS only", o.method, o.path)
		}
	}
	policy := edgeTemplate(t).At("Resources", "ProductsCache", "Properties", "CachePolicyConfig")
	got := []any{
		template.At(policy, "MinTTL"), template.At(policy, "DefaultTTL"), template.At(policy, "MaxTTL"),
		follow(policy, "ParametersInCacheKeyAndForwardedToOrigin.HeadersConfig.HeaderBehavior"),
		follow(policy, "ParametersInCacheKeyAndForwardedToOrigin.CookiesConfig.CookieBehavior"),
	}
	if d := cmp.Diff([]any{1, 1, 1, "none", "none"}, got); d != "" || cached != 2 {
		t.Errorf("%d operations are cached; the times in seconds, headers and cookies of the key:\n%s", cached, d)
	}
	names := map[string]bool{}
	for _, name := range follow(policy, "ParametersInCacheKeyAndForwardedToOrigin.QueryStringsConfig.QueryStrings").([]any) {
		names[name.(string)] = true
	}
	if d := cmp.Diff(query, names); d != "" {
		t.Errorf("parameters of products (-) and in the key (+) differ:\n%s", d)
	}
}

// A 404 for another shopper's order must not be cached for its owner. Server errors are cached for at most a second; CloudFront's default is 10.
func TestEdgeCachesNotFoundForNoTime(t *testing.T) {
	got := map[any]any{}
	for _, e := range edgeAt(t, "CustomErrorResponses").([]any) {
		got[template.At(e, "ErrorCode")] = template.At(e, "ErrorCachingMinTTL")
	}
	want := map[any]any{404: 0, 414: 0, 500: 1, 501: 1, 502: 1, 503: 1, 504: 1} // those that CloudFront keeps without being told
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("expected (-) and set (+) seconds differ:\n%s", d)
	}
}

// The functions read the headers that the edge writes.
func TestEdgeAndFunctionsAgreeOnHeaders(t *testing.T) {
	edge := edgeTemplate(t)
	secret := []any{object{"HeaderName": api.EdgeHeader, "HeaderValue": object{"Ref": "EdgeSecret"}}}
	if d := cmp.Diff(secret, edgeAt(t, "Origins.0.OriginCustomHeaders")); d != "" {
		t.Errorf("expected (-) and set (+) headers differ:\n%s", d)
	}
	for _, header := range []string{api.EdgeHeader, api.ViewerHeader} {
		if reserved := regexp.MustCompile(`^(X-Edge-|X-Amz-|Proxy-|If-)`); reserved.MatchString(header) {
			t.Errorf("CloudFront does not send the header %s", header)
		}
	}
	code := edge.At("Resources", "Viewer", "Properties", "FunctionCode").(string)
	if !strings.Contains(code, "event.request.headers['"+strings.ToLower(api.ViewerHeader)+"'] = {value: event.viewer.ip}") {
		t.Errorf("expected that %s is the address of the viewer, got %s", api.ViewerHeader, code)
	}
	forwarded := follow(edge.Object, "Resources.ProductsRequest.Properties.OriginRequestPolicyConfig.HeadersConfig.Headers").([]any)
	if !slices.Contains(forwarded, any(api.ViewerHeader)) {
		t.Errorf("products get only %v", forwarded)
	}
	viewer := []any{object{"EventType": "viewer-request", "FunctionARN": object{"Fn::GetAtt": "Viewer.FunctionMetadata.FunctionARN"}}}
	for _, behavior := range append(edgeAt(t, "CacheBehaviors").([]any), edgeAt(t, "DefaultCacheBehavior")) {
		if d := cmp.Diff(viewer, template.At(behavior, "FunctionAssociations")); d != "" {
			t.Errorf("a client could claim an address:\n%s", d)
		}
	}
}

// A secret of the edge is one that the checkout's stack takes, and neither stack shows it.
func TestEdgeSecretFitsAndIsHidden(t *testing.T) {
	one := regexp.MustCompile(edgeTemplate(t).At("Parameters", "EdgeSecret", "AllowedPattern").(string))
	several := regexp.MustCompile(checkoutTemplate(t).At("Parameters", "EdgeSecret", "AllowedPattern").(string))
	for _, value := range []string{strings.Repeat("0f", 16), strings.Repeat("aB3", 40)} {
		if !one.MatchString(value) || !several.MatchString(value) || !several.MatchString(value+","+value) || one.MatchString(value+","+value) {
			t.Errorf("%s: expected one in the edge, and one or several in the checkout", value)
		}
	}
	for path, stack := range map[string]template.Template{edgePath: edgeTemplate(t), checkoutPath: checkoutTemplate(t)} {
		if stack.At("Parameters", "EdgeSecret", "NoEcho") != true {
			t.Errorf("%s: CloudFormation shows the secret", path)
		}
		_, outputs, _ := strings.Cut(source(t, path), "\nOutputs:\n")
		if strings.Contains(outputs, "EdgeSecret") {
			t.Errorf("%s: an output has the secret", path)
		}
	}
}

// Pages read the same headers of a product from CloudFront's cache as from the API.
func TestEdgeHasTheCORSOfTheAPI(t *testing.T) {
	want := checkoutTemplate(t).At("Resources", "Api", "Properties", "CorsConfiguration")
	cors := edgeTemplate(t).At("Resources", "ProductsResponse", "Properties", "ResponseHeadersPolicyConfig", "CorsConfig")
	got := object{"MaxAge": template.At(cors, "AccessControlMaxAgeSec")}
	for _, name := range []string{"AllowOrigins", "AllowMethods", "AllowHeaders", "ExposeHeaders"} {
		got[name] = template.At(cors, "AccessControl"+name, "Items")
	}
	if d := cmp.Diff(want, any(got)); d != "" || template.At(cors, "OriginOverride") != true {
		t.Errorf("the API's (-) and the edge's (+) settings differ:\n%s", d)
	}
}
