package api_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.yaml.in/yaml/v3"

	"flashsale/pkg/api"
	"flashsale/pkg/checkout"
	"flashsale/pkg/payments"
)

// contract is the document, with what is needed to check its examples.
func contract(t *testing.T) (*huma.OpenAPI, map[string]*huma.Operation) {
	t.Helper()
	document, list, err := api.Contract()
	if err != nil {
		t.Fatal(err)
	}
	operations := map[string]*huma.Operation{}
	for _, op := range list {
		operations[op.OperationID] = op
	}
	for _, schema := range document.Components.Schemas.Map() {
		schema.PrecomputeMessages()
	}
	return document, operations
}

// valueOf returns an example as a client reads it.
func valueOf(t *testing.T, document *huma.OpenAPI, example *huma.Example) (value any) {
	t.Helper()
	if example.Ref != "" {
		example = document.Components.Examples[strings.TrimPrefix(example.Ref, "#/components/examples/")]
	}
	text, err := json.Marshal(example.Value)
	if err == nil {
		err = json.Unmarshal(text, &value)
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// Every body of the document has examples, and each fits its schema.
func TestExamplesFitTheirSchemas(t *testing.T) {
	t.Parallel()
	document, operations := contract(t)
	check := func(where string, body *huma.MediaType) {
		if len(body.Examples) == 0 {
			t.Errorf("%s has no example", where)
		}
		for name, example := range body.Examples {
			result := &huma.ValidateResult{}
			huma.Validate(document.Components.Schemas, body.Schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, valueOf(t, document, example), result)
			if len(result.Errors) > 0 {
				t.Errorf("%s: the example %s does not fit the schema: %v", where, name, result.Errors)
			}
		}
	}
	for id, op := range operations {
		for status, response := range op.Responses {
			for _, body := range response.Content {
				check(id+" "+status, body)
			}
		}
		if op.RequestBody != nil && strings.HasPrefix(op.Path, "/payments/") {
			check("the body of "+id, op.RequestBody.Content["application/json"])
		}
	}
}

var codesInDescription = regexp.MustCompile(`Error codes: (.*)\.$`)

// Each code that an operation names has an example at its status, and no other code has one.
func TestEveryCodeHasItsExample(t *testing.T) {
	t.Parallel()
	document, operations := contract(t)
	for id, op := range operations {
		named := strings.Split(strings.ReplaceAll(codesInDescription.FindStringSubmatch(op.Description)[1], "`", ""), ", ")
		var shown []string
		for status, response := range op.Responses {
			body := response.Content["application/problem+json"]
			if body == nil {
				continue
			}
			for code, example := range body.Examples {
				shown = append(shown, code)
				value, _ := valueOf(t, document, example).(map[string]any)
				if value["code"] != code || strconv.Itoa(int(value["status"].(float64))) != status {
					t.Errorf("%s: the example of %s is %v, expected that code with the status %s", id, code, value, status)
				}
			}
		}
		slices.Sort(named)
		slices.Sort(shown)
		if !slices.Equal(named, shown) {
			t.Errorf("%s has examples of %v, expected %v", id, shown, named)
		}
	}
}

// refusals has, for each example, how a client gets it: by its request, or by what the ledger decides.
var refusals = []struct {
	operation, code    string
	method, path, body string
	header             http.Header
	err                error
}{
	{"place-hold", "malformed_request", http.MethodPost, "/v1/holds", "{", nil, nil},
	{"place-hold", "unsupported_media_type", http.MethodPost, "/v1/holds", holdBody, http.Header{"Content-Type": {"text/plain"}}, nil},
	{"place-hold", "body_too_large", http.MethodPost, "/v1/holds", holdBody + strings.Repeat(" ", 16<<10), nil, nil},
	{"place-hold", "invalid_request", http.MethodPost, "/v1/holds", `{"product_id":"demo","qty":0}`, nil, nil},
	{"place-hold", "sold_out", http.MethodPost, "/v1/holds", holdBody, nil, checkout.SoldOut(0, 3)},
	{"place-hold", "shopper_limit", http.MethodPost, "/v1/holds", holdBody, nil, checkout.ShopperLimit(2, 2)},
	{"place-hold", "qty_over_limit", http.MethodPost, "/v1/holds", holdBody, nil, checkout.QtyOverLimit(4)},
	{"place-hold", "sale_ended", http.MethodPost, "/v1/holds", holdBody, nil, checkout.ErrSaleEnded},
	{"place-hold", "busy", http.MethodPost, "/v1/holds", holdBody, nil, checkout.Busy(nil)},
	{"place-hold", "internal", http.MethodPost, "/v1/holds", holdBody, nil, os.ErrInvalid},
	{"create-order", "invalid_request", http.MethodPost, "/v1/orders", `{"hold_id":"hold_1"}`, nil, nil},
	{"create-order", "hold_expired", http.MethodPost, "/v1/orders", orderBody, nil, checkout.ErrHoldExpired},
	{"list-products", "invalid_request", http.MethodGet, "/v1/products?limit=0", "", nil, nil},
	{"get-product", "product_not_found", http.MethodGet, "/v1/products/demo", "", nil, checkout.ErrProductNotFound},
	{"get-product", "invalid_request", http.MethodGet, "/v1/products/demo?fields=name", "", nil, nil},
	{"get-hold", "invalid_request", http.MethodGet, "/v1/holds/" + id.HoldID() + "?fields=qty", "", nil, nil},
	{"cancel-order", "order_not_cancellable", http.MethodPost, "/v1/orders/" + id.OrderID() + "/cancel", "", nil, checkout.ErrOrderNotCancellable},
	{"receive-payment-event", "event_id_reused", http.MethodPost, "/v1/payments/webhook", "{}", nil, checkout.ErrEventIDReused},
}

// An example is what the server responds.
func TestExamplesAreWhatTheServerResponds(t *testing.T) {
	t.Parallel()
	document, operations := contract(t)
	for _, c := range refusals {
		f := newFake()
		f.err = c.err
		w := newEdge(f).send(t, c.method, c.path, c.body, c.header)
		response := operations[c.operation].Responses[strconv.Itoa(w.Code)]
		if response == nil {
			t.Errorf("%s %s: got the status %d, which the document does not have", c.operation, c.code, w.Code)
			continue
		}
		example, _ := valueOf(t, document, response.Content["application/problem+json"].Examples[c.code]).(map[string]any)
		var got map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		got["request_id"] = example["request_id"]
		if !reflect.DeepEqual(got, example) {
			t.Errorf("%s %s: got %v, the document shows %v", c.operation, c.code, got, example)
		}
		wantHeadersAsDocumented(t, w.Header(), response)
	}
}

// wantHeadersAsDocumented checks that a response has the headers that the document shows, and no others but those of every response.
func wantHeadersAsDocumented(t *testing.T, got http.Header, response *huma.Response) {
	t.Helper()
	headers := maps.Clone(got)
	for name := range response.Headers {
		if headers.Get(name) == "" {
			t.Errorf("the response has no %s, but the document does: %v", name, got)
		}
		headers.Del(name)
	}
	for _, name := range []string{"Content-Type", "Content-Length", "X-Content-Type-Options", "Referrer-Policy", "Cache-Control", "Link"} {
		headers.Del(name)
	}
	if len(headers) > 0 {
		t.Errorf("the document does not show the headers %v", headers)
	}
}

func TestHeadersOfSuccessesAreDocumented(t *testing.T) {
	t.Parallel()
	_, operations := contract(t)
	for _, c := range []struct {
		operation, method, path, body string
		header                        http.Header
		status                        int
		repeat                        bool
	}{
		{"place-hold", http.MethodPost, "/v1/holds", holdBody, nil, 201, false},
		{"place-hold", http.MethodPost, "/v1/holds", holdBody, http.Header{"Idempotency-Key": {goodKey}}, 200, true},
		{"create-order", http.MethodPost, "/v1/orders", orderBody, nil, 201, false},
		{"create-order", http.MethodPost, "/v1/orders", orderBody, nil, 200, true},
		{"get-product", http.MethodGet, "/v1/products/demo", "", nil, 200, false},
		{"get-product", http.MethodGet, "/v1/products/demo", "", http.Header{"If-None-Match": {"*"}}, 304, false},
		{"release-hold", http.MethodDelete, "/v1/holds/" + id.HoldID(), "", nil, 204, false},
		{"receive-payment-event", http.MethodPost, "/v1/payments/webhook", "{}", nil, 200, false},
	} {
		f := newFake()
		f.repeat = c.repeat
		w := newEdge(f).send(t, c.method, c.path, c.body, c.header)
		if w.Code != c.status {
			t.Errorf("%s: got %d, expected %d", c.operation, w.Code, c.status)
			continue
		}
		wantHeadersAsDocumented(t, w.Header(), operations[c.operation].Responses[strconv.Itoa(c.status)])
	}
}

// A generated client that checks the key by the pattern accepts what the server accepts.
func TestIdempotencyKeyPattern(t *testing.T) {
	t.Parallel()
	_, operations := contract(t)
	pattern := regexp.MustCompile(operations["place-hold"].Parameters[0].Schema.Pattern)
	for _, key := range []string{
		goodKey, `"` + goodKey + `"`, `"` + goodKey, goodKey + `"`, "fifteen-is-few", strings.Repeat("a", 16), strings.Repeat("a", 15),
		strings.Repeat("a", 255), strings.Repeat("a", 256), `"` + strings.Repeat("a", 255) + `"`, "a key with spaces in it", "Az09._:-Az09._:-", "",
	} {
		if _, ok := checkout.ParseIdempotencyKey(key); ok != pattern.MatchString(key) {
			t.Errorf("the server accepts %q: %t, expected the same of the pattern %s", key, ok, pattern)
		}
	}
}

// The document shows each type of event that has an effect, with an example that the webhook reads.
func TestEventsAreDocumented(t *testing.T) {
	t.Parallel()
	document, operations := contract(t)
	standard, err := payments.NewStandard([]string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
	if err != nil {
		t.Fatal(err)
	}
	stripe, err := payments.NewStripe([]string{"whsec_secret"}, payments.StripeOnly{})
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, id := range []string{"receive-payment-event", "receive-stripe-event"} {
		for name, example := range operations[id].RequestBody.Content["application/json"].Examples {
			body, err := json.Marshal(valueOf(t, document, example))
			if err != nil {
				t.Fatal(err)
			}
			var event checkout.PaymentEvent
			if id == "receive-payment-event" {
				shown[name] = true
				event, err = standard.Event(standard.Sign("evt_1", time.Now(), body), body)
			} else {
				event, err = stripe.Event(stripe.Sign(time.Now(), body), body)
			}
			if err != nil || event.Kind == checkout.PaymentOther || event.Type != name {
				t.Errorf("%s: the webhook reads %s as %+v, %v, expected an event of that type", id, body, event, err)
			}
		}
	}
	for _, name := range constants(t, "../payments/standard.go", `Standard\w+`) {
		if !shown[name] {
			t.Errorf("the document does not show %s", name)
		}
		delete(shown, name)
	}
	if len(shown) > 0 {
		t.Errorf("the document shows %v, which pkg/payments does not read", shown)
	}
}

func TestOpenAPIJSONIsTheSameDocument(t *testing.T) {
	t.Parallel()
	inYAML, err := api.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	inJSON, err := api.OpenAPIJSON()
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if err := yaml.Unmarshal(inYAML, &a); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(inJSON, &b); err != nil {
		t.Fatal(err)
	}
	if !json.Valid(inJSON) || !reflect.DeepEqual(a, b) {
		t.Error("the document in JSON differs from that in YAML")
	}
}
