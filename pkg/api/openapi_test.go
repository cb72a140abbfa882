package api_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

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

// Nobody signs in, so ids and keys are all that protects a hold.
func TestOpenAPIDocumentSaysWhatIsSecret(t *testing.T) {
	t.Parallel()
	text, err := api.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	type described struct {
		Name, Description string
	}
	var document struct {
		Paths      map[string]map[string]struct{ Parameters []described }
		Components struct {
			Schemas map[string]struct{ Properties map[string]described }
		}
	}
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{
		"a hold's id":   document.Components.Schemas["Hold"].Properties["id"].Description,
		"an order's id": document.Components.Schemas["Order"].Properties["id"].Description,
	}
	for _, p := range document.Paths["/holds"]["post"].Parameters {
		found[p.Name] = p.Description
	}
	for _, what := range []string{"a hold's id", "an order's id", "Idempotency-Key"} {
		if !strings.Contains(strings.ToLower(found[what]), "secret") {
			t.Errorf("the description of %s is %q, expected it to say that it is a secret", what, found[what])
		}
	}
	if !strings.Contains(found["Idempotency-Key"], "random UUID") {
		t.Errorf("the description of the key is %q, expected it to name a random UUID", found["Idempotency-Key"])
	}
}

// Readers copy what the documents show. A key that anybody can guess gives a hold away.
func TestDocumentsShowRandomKeys(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, path := range append(paths, "../../README.md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range regexp.MustCompile(`(?i)idempotency-key: *([^"'\n]+)`).FindAllStringSubmatch(string(text), -1) {
			shown++
			if key[1] != "$KEY" || !strings.Contains(string(text), "KEY=$(cat /proc/sys/kernel/random/uuid 2>/dev/null || uuidgen)") {
				t.Errorf("%s shows the key %q, expected $KEY with a random UUID", path, key[1])
			}
		}
	}
	if shown == 0 {
		t.Error("found no key, expected the README's")
	}
}
