package deploy

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flashsale/internal/template"
	"flashsale/pkg/app"
)

func TestEveryFunctionIsDeployed(t *testing.T) {
	var folders []string
	paths, err := filepath.Glob("../../functions/*/main.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		folders = append(folders, filepath.Base(filepath.Dir(path)))
	}
	if d := cmp.Diff(folders, template.Keys(checkoutTemplate(t).Functions(t))); d != "" {
		t.Errorf("functions/ (-) and the template (+) differ:\n%s", d)
	}
}

func TestFunctionsAreBuiltByMake(t *testing.T) {
	checkout := checkoutTemplate(t)
	architectures := checkout.At("Parameters", "Architecture", "AllowedValues").([]any)
	for id, f := range checkout.OfType(t, "AWS::Serverless::Function") {
		metadata := f["Metadata"].(object)
		if metadata["BuildMethod"] != "makefile" || metadata["WorkingDirectory"] != "." {
			t.Errorf("%s: expected a build by make in the project's directory, got %v", id, metadata)
		}
		folder := strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(id, "Instances"), "Function"))
		if uri := template.At(f, "Properties", "CodeUri"); uri != "functions/"+folder {
			t.Errorf("%s: expected the CodeUri functions/%s, got %v", id, folder, uri)
		}
		for _, a := range architectures {
			folder := strings.ReplaceAll(template.At(metadata, "ContextPath", "Fn::Sub").(string), "${Architecture}", a.(string))
			if _, err := os.Stat(filepath.Join("../..", folder, "Makefile")); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
	}
}

func TestRoutesAndLimitsMatchContract(t *testing.T) {
	contract := template.Plain(t, template.Parse(t, "../../docs/openapi.yaml")).(object)
	base := template.At(contract["servers"].([]any)[0], "url").(string)
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
	checkout := checkoutTemplate(t)
	if d := cmp.Diff(want, checkout.Routes(t)); d != "" {
		t.Errorf("docs/openapi.yaml (-) and the template's events (+) differ:\n%s", d)
	}
	throttled := checkout.At("Resources", "Api", "Properties", "RouteSettings").(object)
	if d := cmp.Diff(template.Keys(want), template.Keys(throttled)); d != "" {
		t.Errorf("the contract (-) and the routes with a limit (+) differ:\n%s", d)
	}
	for route, limits := range throttled {
		rate, burst := template.At(limits, "ThrottlingRateLimit"), template.At(limits, "ThrottlingBurstLimit")
		parameter := title(want[route]) + "Rate"
		if got := checkout.Resolve(rate, map[string]string{parameter: "17"}); got != "17" || !cmp.Equal(rate, burst) {
			t.Errorf("%s: expected %s as rate and burst, got %v and %v", route, parameter, rate, burst)
		}
	}
}

func TestTemplateSetsExactlyWhatFunctionsRead(t *testing.T) {
	read := map[string]bool{}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[app.FunctionConfig]()) {
		if name, _, _ := strings.Cut(field.Tag.Get("env"), ","); name != "" {
			read[name] = true
		}
	}
	checkout := checkoutTemplate(t)
	common := checkout.Global("Environment", "Variables").(object)
	set := map[string]bool{}
	for name := range common {
		set[name] = true
	}
	special := map[string][]string{
		"products": {"DB_USER", "EDGE_SECRET"}, "expire": {"DB_USER", "RETENTION"},
		"holds": {"DB_USER", "EDGE_SECRET", "JWT_AUDIENCE", "JWT_ISSUER"}, "orders": {"DB_USER", "EDGE_SECRET", "JWT_AUDIENCE", "JWT_ISSUER"},
		"webhook": {"DB_USER", "EDGE_SECRET", "STRIPE_ACCOUNT", "STRIPE_LIVEMODE", "STRIPE_WEBHOOK_SECRETS", "STRIPE_WEBHOOK_SECRET_ARN", "WEBHOOK_SECRETS", "WEBHOOK_SECRET_ARN"},
		"admin":   {"DB_ADMIN_HOST", "DB_ADMIN_SECRET_ARN", "DB_USER", "STRIPE_LIVEMODE"},
	}
	for name, f := range checkout.Functions(t) {
		own, _ := template.At(f, "Environment", "Variables").(object)
		if d := cmp.Diff(special[name], template.Keys(own)); d != "" {
			t.Errorf("%s: expected (-) and set (+) variables differ:\n%s", name, d)
		}
		for variable := range own {
			set[variable] = true
		}
	}
	if d := cmp.Diff(template.Keys(read), template.Keys(set)); d != "" {
		t.Errorf("read by the functions (-) and set by the template (+):\n%s", d)
	}
}

func TestSecretsInEnvironmentAreEmpty(t *testing.T) {
	checkout := checkoutTemplate(t)
	variables := checkout.Functions(t)["webhook"]["Environment"]
	for variable, value := range map[string]any{
		"MYSQL_DSN":              checkout.Global("Environment", "Variables", "MYSQL_DSN"),
		"WEBHOOK_SECRETS":        template.At(variables, "Variables", "WEBHOOK_SECRETS"),
		"STRIPE_WEBHOOK_SECRETS": template.At(variables, "Variables", "STRIPE_WEBHOOK_SECRETS"),
	} {
		if value != "" {
			t.Errorf("%s is a secret: expected an empty value, got %v", variable, value)
		}
	}
}

// pkg/app/config.go reads the project's variables. pkg/awsauth/config.go reads those that Lambda sets.
func TestEnvironmentIsReadInOnePlace(t *testing.T) {
	for _, pattern := range []string{"../../functions/*/*.go", "../../pkg/*/*.go"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") || path == "../../pkg/awsauth/config.go" {
				continue
			}
			code := source(t, path)
			if found := regexp.MustCompile(`os\.(Getenv|LookupEnv|Environ)\(`).FindString(code); found != "" {
				t.Errorf("%s calls %s", path, found)
			}
			if strings.Contains(code, "`env:\"") && path != "../../pkg/app/config.go" {
				t.Errorf("%s has an env tag", path)
			}
		}
	}
}
