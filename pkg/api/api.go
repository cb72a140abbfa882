package api

import (
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"flashsale/pkg/checkout"
)

// Version is the contract's.
const Version = "1.0.0"

const prefix = "/v1"

// The size limits of a body, in bytes.
const (
	maxBody        = 16 << 10
	maxWebhookBody = 256 << 10
)

// Resource is a part of the API that can be served alone. Each has its own Lambda function.
type Resource string

// The resources, which are also the tags of the OpenAPI document.
const (
	Products Resource = "Products"
	Holds    Resource = "Holds"
	Orders   Resource = "Orders"
	Webhooks Resource = "Webhooks"
)

var tags = []*huma.Tag{
	{Name: string(Products), Description: "The products on sale, and how many units are left."},
	{Name: string(Holds), Description: "Units reserved for one shopper, for two minutes."},
	{Name: string(Orders), Description: "Holds that a shopper wants to buy. An order waits 15 minutes for its payment."},
	{Name: string(Webhooks), Description: "Payment events, sent and signed by a payment provider. The page of a shop never calls these."},
}

// Options configure the handler.
type Options struct {
	Service *checkout.Service
	SignIn  SignIn // nil: Everybody
	// Resources are the resources to serve; none means all.
	Resources []Resource
	// Standard and Stripe verify webhooks.
	Standard Verifier
	Stripe   Verifier
	Logger   *slog.Logger
	// Requests records checkout.RequestMetrics; nil: nobody does.
	Requests checkout.Recorder
	// EdgeSecrets are the values of EdgeHeader that a request needs one of; none means that there is no edge.
	EdgeSecrets []string
	// Extra, if not nil, adds routes outside of /v1, such as /healthz.
	Extra func(mux *http.ServeMux)

	onOperation huma.AddOpFunc // sees each operation as it is registered, if not nil
}

// New returns the handler of the API.
func New(o Options) http.Handler {
	mux := http.NewServeMux()
	register(mux, o)
	if o.Extra != nil {
		o.Extra(mux)
	}
	if o.Requests == nil {
		o.Requests = checkout.NoRecorder{}
	}
	return withDefaults(behindEdge(route(mux), o.EdgeSecrets), o.Logger, o.Requests)
}

// configureHuma sets huma's package variables, which every handler of this program shares.
var configureHuma = sync.OnceFunc(func() {
	huma.NewErrorWithContext = newHumaError
	huma.ValidateStrictCasing = true                                                   // {"Qty": 1} is an unknown field
	huma.NewError = func(int, string, ...error) huma.StatusError { return &Problem{} } // huma derives the schema from it
})

func register(mux *http.ServeMux, o Options) huma.API {
	configureHuma()
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "Flash Sale Checkout API", Version: Version,
				Description: "A checkout for limited-stock sales: products, two-minute holds, orders and payment webhooks. " +
					"Times are UTC with milliseconds. Money is in minor units. You can retry any request after a timeout.\n\n" +
					"A request with a body needs `Content-Type: application/json`. Unknown members and parameters are refused, and so is one " +
					"that is given twice. Webhooks are the exception: any Content-Type is accepted, because the signature decides.",
				License: &huma.License{Name: "MIT", Identifier: "MIT"},
			},
			Servers: []*huma.Server{{URL: prefix}},
			Tags:    tags,
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer), SecuritySchemes: securitySchemes,
			},
		},
		Formats:       map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat}, // "json" writes problem+json
		DefaultFormat: "application/json",
	}
	if o.onOperation != nil {
		config.OnAddOperation = []huma.AddOpFunc{o.onOperation}
	}
	api := humago.NewWithPrefix(mux, prefix, config)
	if o.SignIn == nil {
		o.SignIn = Everybody
	}
	api.UseMiddleware(nameOperation, identify(o.SignIn), accept)
	for _, part := range []struct {
		resource   Resource
		operations interface{ register(api huma.API) }
	}{
		{Products, products{o.Service}},
		{Holds, holds{o.Service}},
		{Orders, orders{o.Service}},
		{Webhooks, webhooks{o.Service, o.Standard, o.Stripe}},
	} {
		if len(o.Resources) == 0 || slices.Contains(o.Resources, part.resource) {
			part.operations.register(api)
		}
	}
	return api
}

// Money is an amount in minor units.
type Money struct {
	Amount   int64  `json:"amount" doc:"In minor units." example:"4999"`
	Currency string `json:"currency" doc:"ISO 4217." example:"USD"`
}

// Time is an instant in UTC with milliseconds.
type Time time.Time

const timeLayout = "2006-01-02T15:04:05.000Z"

// MarshalJSON writes RFC 3339.
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(`"` + time.Time(t).UTC().Format(timeLayout) + `"`), nil
}

// Schema implements huma.SchemaProvider.
func (Time) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Examples: []any{"2026-11-27T09:00:00.000Z"}}
}

func optionalTime(t *time.Time) *Time { return (*Time)(t) }

var _ huma.SchemaProvider = Time{}
