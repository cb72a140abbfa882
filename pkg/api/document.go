package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"flashsale/pkg/checkout"
)

// OpenAPI returns the contract as OpenAPI 3.1 in YAML.
func OpenAPI() ([]byte, error) {
	contract, _, err := Contract()
	if err != nil {
		return nil, err
	}
	return contract.YAML()
}

// OpenAPIJSON returns the same document in JSON.
func OpenAPIJSON() ([]byte, error) {
	contract, _, err := Contract()
	if err != nil {
		return nil, err
	}
	return json.Marshal(contract)
}

// Contract returns the OpenAPI document, and its operations in the order of a purchase. It adds to what huma derives from the
// types. Only readers of the document need that, so a server that handles requests does not call it.
func Contract() (*huma.OpenAPI, []*huma.Operation, error) {
	var operations []*huma.Operation
	contract := register(http.NewServeMux(), Options{
		onOperation: func(_ *huma.OpenAPI, op *huma.Operation) { operations = append(operations, op) },
	}).OpenAPI()
	contract.Components.Examples = map[string]*huma.Example{}
	contract.Components.Headers = map[string]*huma.Header{requestIDHeader: {
		Description: "Identifies the request in the server's log.",
		Schema:      &huma.Schema{Type: huma.TypeString, Examples: []any{exampleRequestID}},
	}}
	documentEvents(contract)
	for _, op := range operations {
		documentHeaders(op)
		documentSuccesses(op)
		if err := documentRefusals(contract, op); err != nil {
			return nil, nil, err
		}
	}
	return contract, operations, nil
}

const requestIDHeader = "X-Request-Id"

// documentHeaders documents the headers that depend on the status. huma puts all of them at the first success.
func documentHeaders(op *huma.Operation) {
	first := op.Responses[strconv.Itoa(op.DefaultStatus)]
	switch op.OperationID {
	case "place-hold":
		again := op.Responses["200"]
		again.Headers, again.Content = copyOf(first.Headers), first.Content
		delete(first.Headers, "Idempotent-Replayed")
		key := *op.Parameters[0].Schema
		key.Pattern = idempotencyKeyPattern // here, because huma's own refusal would be one more
		op.Parameters[0].Schema = &key
	case "create-order":
		again := op.Responses["200"]
		again.Headers, again.Content = copyOf(first.Headers), first.Content
	case "get-product":
		op.Responses["304"].Headers = copyOf(first.Headers)
	}
	for status, response := range op.Responses {
		if response.Headers == nil {
			response.Headers = map[string]*huma.Param{}
		}
		response.Headers[requestIDHeader] = &huma.Param{Ref: "#/components/headers/" + requestIDHeader}
		switch {
		case status == strconv.Itoa(http.StatusUnauthorized) && op.Security != nil:
			response.Headers["WWW-Authenticate"] = challengeHeader
		case status == strconv.Itoa(http.StatusServiceUnavailable):
			response.Headers["Retry-After"] = retryHeader
		}
	}
}

// idempotencyKeyPattern matches what checkout.ParseIdempotencyKey reads.
const idempotencyKeyPattern = `^([A-Za-z0-9._:-]{16,255}|"[A-Za-z0-9._:-]{16,255}")$`

var (
	challengeHeader = &huma.Param{
		Description: "RFC 6750: `Bearer`, with `error=\"invalid_token\"` if a token was sent.",
		Schema:      &huma.Schema{Type: huma.TypeString, Examples: []any{`Bearer realm="flashsale", error="invalid_token"`}},
	}
	retryHeader = &huma.Param{
		Description: "Seconds to wait before you send the same request again.",
		Schema:      &huma.Schema{Type: huma.TypeInteger, Examples: []any{1}},
	}
)

func copyOf(headers map[string]*huma.Param) map[string]*huma.Param {
	out := map[string]*huma.Param{}
	for name, header := range headers {
		out[name] = header
	}
	return out
}

// documentSuccesses adds an example of each success that has a body.
func documentSuccesses(op *huma.Operation) {
	for status, values := range successExamples[op.OperationID] {
		body := op.Responses[status].Content["application/json"]
		op.Responses[status].Content = map[string]*huma.MediaType{"application/json": {Schema: body.Schema, Examples: examplesOf(values)}}
	}
}

func examplesOf(values map[string]any) map[string]*huma.Example {
	out := map[string]*huma.Example{}
	for name, value := range values {
		out[name] = &huma.Example{Value: value}
	}
	return out
}

// documentRefusals adds an example of each code that an operation can return, with the fields of that code. Operations share
// the example of a code, except that of invalid_request: it names a field of the operation.
func documentRefusals(contract *huma.OpenAPI, op *huma.Operation) error {
	codes, _ := op.Metadata[codesKey].([]checkout.Code)
	for _, code := range codes {
		err, known := refusalExamples[code]
		name := string(code)
		if code == checkout.CodeInvalidRequest {
			err, known = invalidExamples[op.OperationID]
			name += "_" + op.OperationID
		}
		if !known {
			return fmt.Errorf("documenting %s: no example of %s", op.OperationID, code)
		}
		contract.Components.Examples[name] = &huma.Example{Summary: problems[code].title, Value: problemOf(err, exampleRequestID)}
		body := op.Responses[strconv.Itoa(problems[code].status)].Content["application/problem+json"]
		if body.Examples == nil {
			body.Examples = map[string]*huma.Example{}
		}
		body.Examples[string(code)] = &huma.Example{Ref: "#/components/examples/" + name}
	}
	return nil
}
