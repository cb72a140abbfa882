package deploy

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"flashsale/pkg/app"
)

// The template is checked here for what no linter knows: that it and the code say the same.

// object is a mapping of the template. CloudFormation's short forms are written out in it: !Ref X is {"Ref": "X"}, !Sub and
// the others {"Fn::Sub": …}, and !GetAtt X.Y {"Fn::GetAtt": "X.Y"}.
type object = map[string]any

func readTemplate(t testing.TB) object {
	t.Helper()
	return plain(t, templateNode(t)).(object)
}

func templateNode(t testing.TB) *yaml.Node {
	t.Helper()
	return parseYAML(t, "../../template.yaml")
}

func parseYAML(t testing.TB, path string) *yaml.Node {
	t.Helper()
	var document yaml.Node
	if err := yaml.Unmarshal(must(os.ReadFile(path))(t), &document); err != nil {
		t.Fatal(err)
	}
	return document.Content[0]
}

// plain turns a node into Go values.
func plain(t testing.TB, n *yaml.Node) any {
	t.Helper()
	var value any
	switch n.Kind {
	case yaml.MappingNode:
		o := object{}
		for i := 0; i < len(n.Content); i += 2 {
			o[n.Content[i].Value] = plain(t, n.Content[i+1])
		}
		value = o
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			list = append(list, plain(t, item))
		}
		value = list
	default:
		value = n.Value
		if !strings.HasPrefix(n.Tag, "!") || strings.HasPrefix(n.Tag, "!!") {
			if err := n.Decode(&value); err != nil {
				t.Fatal(err)
			}
		}
	}
	if name, found := strings.CutPrefix(n.Tag, "!"); found && !strings.HasPrefix(name, "!") {
		if name != "Ref" {
			name = "Fn::" + name
		}
		return object{name: value}
	}
	return value
}

// at follows keys into nested mappings; nil where one is missing.
func at(value any, keys ...string) any {
	for _, key := range keys {
		o, _ := value.(object)
		value = o[key]
	}
	return value
}

// ofType are the resources of a type, by logical id.
func ofType(t testing.TB, kind string) map[string]object {
	t.Helper()
	found := map[string]object{}
	for id, r := range at(readTemplate(t), "Resources").(object) {
		if at(r, "Type") == kind {
			found[id] = r.(object)
		}
	}
	if len(found) == 0 {
		t.Fatalf("no resource of type %s", kind)
	}
	return found
}

// templateFunctions are the functions by the name of their folder: HoldsFunction is holds.
func templateFunctions(t testing.TB) map[string]object {
	t.Helper()
	found := map[string]object{}
	for id, f := range ofType(t, "AWS::Serverless::Function") {
		name, ok := strings.CutSuffix(id, "Function")
		if !ok {
			t.Errorf("%s does not end in Function", id)
		}
		found[strings.ToLower(name)] = f["Properties"].(object)
	}
	return found
}

// global is a setting that all functions have in common.
func global(t testing.TB, keys ...string) any {
	t.Helper()
	return at(readTemplate(t), append([]string{"Globals", "Function"}, keys...)...)
}

func title(name string) string { return strings.ToUpper(name[:1]) + name[1:] }

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func TestTemplateHasEveryFunction(t *testing.T) {
	var folders []string
	for _, path := range must(filepath.Glob("../../functions/*/main.go"))(t) {
		folders = append(folders, filepath.Base(filepath.Dir(path)))
	}
	if d := cmp.Diff(folders, keys(templateFunctions(t))); d != "" {
		t.Errorf("functions/ (-) and the template (+):\n%s", d)
	}
	architectures := at(readTemplate(t), "Parameters", "Architecture", "AllowedValues").([]any)
	for id, f := range ofType(t, "AWS::Serverless::Function") {
		metadata := f["Metadata"].(object)
		if metadata["BuildMethod"] != "makefile" || metadata["WorkingDirectory"] != "." {
			t.Errorf("%s is not built by make, in the project's directory", id)
		}
		folder := strings.ToLower(strings.TrimSuffix(id, "Function"))
		if uri := at(f, "Properties", "CodeUri"); uri != "functions/"+folder {
			t.Errorf("%s is built of %v", id, uri)
		}
		for _, a := range architectures {
			folder := strings.ReplaceAll(at(metadata, "ContextPath", "Fn::Sub").(string), "${Architecture}", a.(string))
			if _, err := os.Stat(filepath.Join("..", "..", folder, "Makefile")); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
	}
}

// templateRoutes are the routes of the template, with the function that each has.
func templateRoutes(t testing.TB) map[string]string {
	t.Helper()
	found := map[string]string{}
	for name, f := range templateFunctions(t) {
		events, _ := f["Events"].(object)
		for id, e := range events {
			if at(e, "Type") != "HttpApi" {
				continue
			}
			route := fmt.Sprint(at(e, "Properties", "Method"), " ", at(e, "Properties", "Path"))
			if found[route] != "" {
				t.Errorf("%s twice", route)
			}
			found[route] = name
			if at(e, "Properties", "ApiId", "Ref") != "Api" {
				t.Errorf("%s of %s is on an API of its own", id, name)
			}
		}
	}
	return found
}

func TestTemplateRoutesAreTheContract(t *testing.T) {
	contract := plain(t, parseYAML(t, "../../docs/openapi.yaml")).(object)
	base := at(contract["servers"].([]any)[0], "url").(string)
	want := map[string]string{}
	for path, operations := range contract["paths"].(object) {
		for method := range operations.(object) {
			function := strings.Split(path, "/")[1]
			if function == "payments" {
				function = "webhook"
			}
			want[strings.ToUpper(method)+" "+base+path] = function
		}
	}
	got := templateRoutes(t)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("docs/openapi.yaml (-) and the template's events (+):\n%s", d)
	}
	api := ofType(t, "AWS::Serverless::HttpApi")["Api"]
	throttled := at(api, "Properties", "RouteSettings").(object)
	if d := cmp.Diff(keys(want), keys(throttled)); d != "" {
		t.Errorf("the contract (-) and the routes with a limit (+):\n%s", d)
	}
	for route, limits := range throttled {
		for _, name := range []string{"ThrottlingRateLimit", "ThrottlingBurstLimit"} {
			if at(limits, name) == nil {
				t.Errorf("%s has no %s", route, name)
			}
		}
	}
}

// Variables that the template sets and the functions read, no more and no less, each where it is wanted.
func TestTemplateEnvironment(t *testing.T) {
	read := map[string]bool{}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[app.FunctionConfig]()) {
		if name, _, _ := strings.Cut(field.Tag.Get("env"), ","); name != "" {
			read[name] = true
		}
	}
	common := global(t, "Environment", "Variables").(object)
	set := map[string]bool{}
	for name := range common {
		set[name] = true
	}
	special := map[string][]string{
		"webhook": {"STRIPE_WEBHOOK_SECRETS", "STRIPE_WEBHOOK_SECRET_ARN", "WEBHOOK_SECRETS", "WEBHOOK_SECRET_ARN"},
		"admin":   {"DB_ADMIN_HOST", "DB_ADMIN_SECRET_ARN"},
	}
	for name, f := range templateFunctions(t) {
		own, _ := at(f, "Environment", "Variables").(object)
		if d := cmp.Diff(special[name], keys(own)); d != "" {
			t.Errorf("%s: wanted (-) and set (+):\n%s", name, d)
		}
		for variable := range own {
			set[variable] = true
		}
	}
	if d := cmp.Diff(keys(read), keys(set)); d != "" {
		t.Errorf("read by the functions (-) and set by the template (+):\n%s", d)
	}
	for _, variable := range []string{"MYSQL_DSN", "WEBHOOK_SECRETS", "STRIPE_WEBHOOK_SECRETS"} {
		if value := cmpOr(common[variable], at(templateFunctions(t)["webhook"], "Environment", "Variables", variable)); value != "" {
			t.Errorf("%s is a secret and must be empty, got %v", variable, value)
		}
	}
}

// cmpOr is the first that is not nil.
func cmpOr(values ...any) any {
	i := slices.IndexFunc(values, func(v any) bool { return v != nil })
	return values[max(i, 0)]
}

// No code reads the environment past app.FunctionConfig.
func TestEnvironmentIsReadInOnePlace(t *testing.T) {
	for _, pattern := range []string{"../../functions/*/*.go", "../../pkg/*/*.go"} {
		for _, path := range must(filepath.Glob(pattern))(t) {
			if strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "../../internal/devstack/") { // which no function has in it
				continue
			}
			source := string(must(os.ReadFile(path))(t))
			if found := regexp.MustCompile(`os\.(Getenv|LookupEnv|Environ)\(`).FindString(source); found != "" {
				t.Errorf("%s: %s", path, found)
			}
			if strings.Contains(source, "`env:\"") && path != "../../pkg/app/config.go" {
				t.Errorf("%s: an env tag", path)
			}
		}
	}
}
