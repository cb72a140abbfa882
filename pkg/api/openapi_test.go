package api_test

import (
	"os"
	"testing"

	"flashsale/pkg/api"
)

// TestOpenAPIDocument fails when docs/openapi.yaml differs from the document that the code serves.
func TestOpenAPIDocument(t *testing.T) {
	t.Parallel()
	want, err := api.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("docs/openapi.yaml is stale: run make generate")
	}
}
