package shoptest

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"flashsale/pkg/api"
)

// contract returns the OpenAPI document, with its schemas ready to check bodies.
var contract = sync.OnceValues(func() (*huma.OpenAPI, error) {
	document, _, err := api.Contract()
	if err != nil {
		return nil, err
	}
	for _, schema := range document.Components.Schemas.Map() {
		schema.PrecomputeMessages()
	}
	return document, nil
})

// checkDocumented checks that the document has a response: its status, its code or its body, and its headers.
func checkDocumented(t testing.TB, method, path string, r Response) {
	t.Helper()
	document := Must(contract())(t)
	op := operationOf(document, method, path)
	problem := r.Header.Get("Content-Type") == "application/problem+json"
	if op == nil || r.Status >= 400 && !problem || r.Code() == "not_found" {
		return // no route, API Gateway's own response, or a request around the edge
	}
	response := op.Responses[strconv.Itoa(r.Status)]
	switch {
	case response == nil:
		t.Errorf("%s responded with %d, which the OpenAPI document does not have: %s", op.OperationID, r.Status, r.Body)
		return
	case problem:
		if response.Content["application/problem+json"].Examples[r.Code()] == nil {
			t.Errorf("%s responded with %d %s, which the OpenAPI document does not have", op.OperationID, r.Status, r.Code())
		}
	case response.Content != nil:
		var body any
		if err := json.Unmarshal([]byte(r.Body), &body); err != nil {
			t.Errorf("%s responded with %s, expected JSON: %v", op.OperationID, r.Body, err)
			return
		}
		result := &huma.ValidateResult{}
		huma.Validate(document.Components.Schemas, response.Content["application/json"].Schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, body, result)
		if len(result.Errors) > 0 {
			t.Errorf("%s responded with %s, which does not fit the OpenAPI document: %v", op.OperationID, r.Body, result.Errors)
		}
	}
	for name := range response.Headers {
		if r.Header.Get(name) == "" {
			t.Errorf("%s responded with %d and without %s, which the OpenAPI document has", op.OperationID, r.Status, name)
		}
	}
}

// operationOf returns the operation of a request, or nil.
func operationOf(document *huma.OpenAPI, method, path string) *huma.Operation {
	path, _, _ = strings.Cut(path, "?")
	path, found := strings.CutPrefix(path, document.Servers[0].URL)
	if !found {
		return nil
	}
	parts := strings.Split(path, "/")
	for template, item := range document.Paths {
		same := func(part, given string) bool { return part == given || part == "{id}" && given != "" }
		if !slices.EqualFunc(strings.Split(template, "/"), parts, same) {
			continue
		}
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Delete} {
			if op != nil && op.Method == method {
				return op
			}
		}
	}
	return nil
}
