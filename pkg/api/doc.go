// Package api is the HTTP edge: the contract of the checkout under /v1.
//
// Every route is an operation (products.go, holds.go, orders.go, webhooks.go): a typed input that huma validates
// against its schema, one call of checkout.Service, a typed output. docs/openapi.yaml is generated from the same
// types. Errors take one way out (problem.go): a domain error becomes application/problem+json with its code, every
// other error becomes "internal", and only the log has its cause. What surrounds a request, its id, its line in the
// log, its deadline and a panic in it, is in middleware.go.
//
// The handler is plain net/http, so the local server and the Lambda functions serve the same thing.
package api
