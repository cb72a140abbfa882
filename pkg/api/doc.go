// Package api is the HTTP edge: the contract of the checkout under /v1.
//
// Every route is an operation (products.go, holds.go, orders.go, webhooks.go): a typed input that huma validates
// against its schema, one call of checkout.Service, a typed output. docs/openapi.yaml is generated from the same types; document.go, events.go
// and examples.go add what the types cannot say: bodies of webhooks, headers of a status, an example of each response.
// accept.go refuses first what huma would let pass: another media type, a member or parameter given twice.
// problem.go turns every error into application/problem+json: a domain error keeps its code, any other error becomes
// "internal", and only the log has its cause. middleware.go gives each request an id, a deadline and a line in the log.
//
// The handler is plain net/http, so the local server and the Lambda functions serve the same API.
package api
