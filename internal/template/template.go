// Package template reads a CloudFormation template for tests, in the form that CloudFormation deploys: short forms such as
// !Ref X are written out as {"Ref": "X"}, and every Fn::ForEach is replaced by its copies.
//
// [Template.Resolve] goes one step further: it evaluates conditions, mappings and references for given parameters.
package template

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Object is a mapping of the template.
type Object = map[string]any

// Template is an expanded template.
type Template struct {
	Object
	Node *yaml.Node // as written, with comments and line numbers
}

// Read reads and expands the template at path.
func Read(tb testing.TB, path string) Template {
	tb.Helper()
	node := Parse(tb, path)
	expanded, err := expand(Plain(tb, node), nil)
	if err != nil {
		tb.Fatalf("expanding %s: %v", path, err)
	}
	return Template{Object: expanded.(Object), Node: node}
}

// Parse reads a YAML file without expanding it.
func Parse(tb testing.TB, path string) *yaml.Node {
	tb.Helper()
	source, err := os.ReadFile(path) //nolint:gosec // G304: the test names the file
	if err != nil {
		tb.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(source, &document); err != nil {
		tb.Fatalf("parsing %s: %v", path, err)
	}
	return document.Content[0]
}

// Plain converts a YAML node to Go values, with short forms written out.
func Plain(tb testing.TB, n *yaml.Node) any {
	tb.Helper()
	var value any
	switch n.Kind {
	case yaml.MappingNode:
		o := Object{}
		for i := 0; i < len(n.Content); i += 2 {
			o[n.Content[i].Value] = Plain(tb, n.Content[i+1])
		}
		value = o
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			list = append(list, Plain(tb, item))
		}
		value = list
	default:
		value = n.Value
		if !strings.HasPrefix(n.Tag, "!") || strings.HasPrefix(n.Tag, "!!") {
			if err := n.Decode(&value); err != nil {
				tb.Fatal(err)
			}
		}
	}
	name, short := strings.CutPrefix(n.Tag, "!")
	switch {
	case !short || strings.HasPrefix(name, "!"):
		return value
	case name == "Ref" || name == "Condition":
		return Object{name: value}
	default:
		return Object{"Fn::" + name: value}
	}
}

// At follows keys into nested mappings, and returns nil where one is missing.
func At(value any, keys ...string) any {
	for _, key := range keys {
		o, _ := value.(Object)
		value = o[key]
	}
	return value
}

// At follows keys from the top of the template.
func (t Template) At(keys ...string) any { return At(t.Object, keys...) }

// Keys returns the sorted keys of m.
func Keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// OfType returns the resources of a type by logical id. If there are none, the test fails.
func (t Template) OfType(tb testing.TB, kind string) map[string]Object {
	tb.Helper()
	found := map[string]Object{}
	resources, _ := t.At("Resources").(Object)
	for id, r := range resources {
		if At(r, "Type") == kind {
			found[id] = r.(Object)
		}
	}
	if len(found) == 0 {
		tb.Fatalf("expected a resource of type %s, found none", kind)
	}
	return found
}

// Functions returns the properties of every function, by the name of its folder: HoldsFunction is holds. It leaves out a second
// function of a folder, which runs on Managed Instances.
func (t Template) Functions(tb testing.TB) map[string]Object {
	tb.Helper()
	found := map[string]Object{}
	for id, f := range t.OfType(tb, "AWS::Serverless::Function") {
		if At(f, "Properties", "CapacityProviderConfig") != nil {
			continue
		}
		name, ok := strings.CutSuffix(id, "Function")
		if !ok {
			tb.Errorf("expected the name of %s to end in Function", id)
		}
		found[strings.ToLower(name)] = f["Properties"].(Object)
	}
	return found
}

// Global returns a setting that all functions share.
func (t Template) Global(keys ...string) any {
	return t.At(append([]string{"Globals", "Function"}, keys...)...)
}

// Routes returns the function of every route, such as "POST /v1/holds": "holds".
func (t Template) Routes(tb testing.TB) map[string]string {
	tb.Helper()
	found := map[string]string{}
	for name, f := range t.Functions(tb) {
		events, _ := f["Events"].(Object)
		for id, e := range events {
			if At(e, "Type") != "HttpApi" {
				continue
			}
			route := fmt.Sprint(At(e, "Properties", "Method"), " ", At(e, "Properties", "Path"))
			if found[route] != "" {
				tb.Errorf("%s stands twice", route)
			}
			found[route] = name
			if At(e, "Properties", "ApiId", "Ref") != "Api" {
				tb.Errorf("expected %s of %s on the resource Api", id, name)
			}
		}
	}
	return found
}
