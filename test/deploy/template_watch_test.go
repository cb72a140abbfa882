package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flashsale/pkg/checkout"
)

// named is a metric that an alarm or the dashboard names.
type named struct {
	where, name string
	dimensions  []string
	values      []string // of the dimensions, unless it is a search
}

// alarmMetrics are the project's own metrics that alarms name.
func alarmMetrics(t testing.TB) (found []named) {
	t.Helper()
	// The dimensions of Amazon's own metrics, which no linter knows.
	amazons := map[string][]string{
		"AWS/Lambda": {"FunctionName"}, "AWS/ApiGateway": {"ApiId"}, "AWS/SQS": {"QueueName"}, "AWS/RDS": {"ProxyName", "DBClusterIdentifier"},
	}
	add := func(id string, m any) {
		dimensions, _ := at(m, "Dimensions").([]any)
		if at(m, "Namespace", "Ref") != "AWS::StackName" {
			for _, d := range dimensions {
				if name := at(d, "Name").(string); !slices.Contains(amazons[fmt.Sprint(at(m, "Namespace"))], name) {
					t.Errorf("%s: %v has no dimension %s", id, at(m, "Namespace"), name)
				}
			}
			return
		}
		n := named{where: id, name: at(m, "MetricName").(string)}
		for _, d := range dimensions {
			n.dimensions = append(n.dimensions, at(d, "Name").(string))
			n.values = append(n.values, at(d, "Value").(string))
		}
		found = append(found, n)
	}
	for id, alarm := range ofType(t, "AWS::CloudWatch::Alarm") {
		if at(alarm, "Properties", "MetricName") != nil {
			add(id, alarm["Properties"])
			continue
		}
		for _, m := range at(alarm, "Properties", "Metrics").([]any) {
			if at(m, "MetricStat") != nil {
				add(id, at(m, "MetricStat", "Metric"))
			}
		}
	}
	return found
}

var searched = regexp.MustCompile(`^SEARCH\('\{"\$\{AWS::StackName\}",([a-z,]+)\} MetricName="([a-z_]+)"', '(?:Sum|p50|p99)', 60\)$`)

// dashboardMetrics are the project's own metrics on the dashboard.
func dashboardMetrics(t testing.TB) (found []named) {
	t.Helper()
	body := at(ofType(t, "AWS::CloudWatch::Dashboard")["Dashboard"], "Properties", "DashboardBody", "Fn::Sub").(string)
	var dashboard struct {
		Widgets []struct {
			Properties struct {
				Title   string
				Metrics [][]any
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, w := range dashboard.Widgets {
		for _, m := range w.Properties.Metrics {
			if options, ok := m[0].(object); ok {
				parts := searched.FindStringSubmatch(options["expression"].(string))
				if parts == nil {
					t.Errorf("%s: %v", w.Properties.Title, options["expression"])
					continue
				}
				found = append(found, named{where: w.Properties.Title, name: parts[2], dimensions: strings.Split(parts[1], ",")})
				continue
			}
			if m[0] != "${AWS::StackName}" {
				continue
			}
			n := named{where: w.Properties.Title, name: m[1].(string)}
			for i := 2; i+1 < len(m); i += 2 { // name, value; options may follow
				n.dimensions, n.values = append(n.dimensions, m[i].(string)), append(n.values, m[i+1].(string))
			}
			found = append(found, n)
		}
	}
	return found
}

// Alarms and dashboard name metrics that the code writes, with exactly their labels: CloudWatch would say nothing of others,
// but show nothing either. What the code measures is on the dashboard.
func TestTemplateMetricsExist(t *testing.T) {
	labels := map[string][]string{}
	for _, m := range checkout.Metrics {
		labels[m.FullName()] = m.Labels
	}
	var code strings.Builder
	for _, path := range must(filepath.Glob("../../pkg/*/*.go"))(t) {
		if !strings.HasSuffix(path, "_test.go") {
			code.Write(must(os.ReadFile(path))(t))
		}
	}
	shown := map[string]bool{}
	dashboard := dashboardMetrics(t)
	for _, n := range append(alarmMetrics(t), dashboard...) {
		want, known := labels[n.name]
		want, got := slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(n.dimensions))
		if !known || !slices.Equal(want, got) {
			t.Errorf("%s: %s %v is not a metric of the code", n.where, n.name, n.dimensions)
		}
		for _, value := range n.values {
			if !strings.Contains(code.String(), `"`+value+`"`) {
				t.Errorf("%s: the code never writes %s with %q", n.where, n.name, value)
			}
		}
	}
	for _, n := range dashboard {
		shown[n.name] = true
	}
	if d := cmp.Diff(keys(labels), keys(shown)); d != "" {
		t.Errorf("measured (-) and on the dashboard (+):\n%s", d)
	}
}

// What a person on call wants to be woken by, and every alarm says what it means and tells somebody.
func TestTemplateAlarms(t *testing.T) {
	want := []string{
		"AcuAtMaximum", "ApiErrors", "AuditBroken", "AuditStalled", "CustomersThrottled", "DeadLettersArrived", "FunctionErrors", "ProxyBorrowSlow", "ProxyPinned",
		"RefundsDue", "SweepLag", "SweeperStalled", "UnmatchedEvents", "WebhookThrottled", "WebhooksRefused",
	}
	alarms := ofType(t, "AWS::CloudWatch::Alarm")
	if d := cmp.Diff(want, keys(alarms)); d != "" {
		t.Errorf("wanted (-) and there (+):\n%s", d)
	}
	resources := at(readTemplate(t), "Resources").(object)
	for id, alarm := range alarms {
		description, _ := at(alarm, "Properties", "AlarmDescription").(string)
		if len(description) < 100 || len(description) > 1024 { // CloudWatch takes no more
			t.Errorf("%s does not say what it means and what to do first, in at most 1024 characters", id)
		}
		for _, word := range regexp.MustCompile(`\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b`).FindAllString(description, -1) {
			known := resources[word] != nil || at(readTemplate(t), "Parameters", word) != nil || at(readTemplate(t), "Outputs", word) != nil
			if !known && word != "ConcurrentExecutions" {
				t.Errorf("%s speaks of %s, which does not exist", id, word)
			}
		}
		if !cmp.Equal(at(alarm, "Properties", "AlarmActions"), []any{object{"Ref": "AlarmTopic"}}) {
			t.Errorf("%s tells nobody", id)
		}
		if at(alarm, "Properties", "TreatMissingData") == nil {
			t.Errorf("%s does not say what missing data means", id)
		}
	}
}

func TestTemplateParametersHaveDefaults(t *testing.T) {
	whole := fmt.Sprint(readTemplate(t))
	for name, p := range at(readTemplate(t), "Parameters").(object) {
		if at(p, "Default") == nil || at(p, "Description") == nil {
			t.Errorf("%s has no default or no description", name)
		}
		if !strings.Contains(whole, "Ref:"+name) && !strings.Contains(whole, "${"+name+"}") {
			t.Errorf("%s is used nowhere", name)
		}
	}
}

func TestTemplateLogsEnd(t *testing.T) {
	groups := ofType(t, "AWS::Logs::LogGroup")
	for id, g := range groups {
		if at(g, "Properties", "RetentionInDays", "Ref") != "LogRetentionDays" {
			t.Errorf("%s is kept for %v", id, at(g, "Properties", "RetentionInDays"))
		}
	}
	for name, f := range templateFunctions(t) {
		if group := at(f, "LoggingConfig", "LogGroup", "Ref"); group != title(name)+"Logs" {
			t.Errorf("%s logs to %v", name, group)
		}
	}
}

// The cache's user may use the commands of pkg/stockview on its keys, and no other.
func TestTemplateCacheUser(t *testing.T) {
	want := map[string]bool{"eval": true, "evalsha": true, "hello": true, "auth": true} // what the library sends around them
	for _, pattern := range []string{"../../pkg/stockview/*.go", "../../pkg/stockview/*.lua"} {
		for _, path := range must(filepath.Glob(pattern))(t) {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			for _, found := range regexp.MustCompile(`redis\.p?call\('(\w+)'|\.B\(\)\.(\w+)\(\)`).FindAllStringSubmatch(string(must(os.ReadFile(path))(t)), -1) {
				want[strings.ToLower(found[1]+found[2])] = true
			}
		}
	}
	got := map[string]bool{}
	access := at(ofType(t, "AWS::ElastiCache::User")["CacheUser"], "Properties", "AccessString").(string)
	fields := strings.Fields(access)
	if d := cmp.Diff([]string{"on", "~flashsale:*", "-@all"}, fields[:3]); d != "" {
		t.Error(d)
	}
	for _, field := range fields[3:] {
		got[strings.TrimPrefix(field, "+")] = true
	}
	if d := cmp.Diff(keys(want), keys(got)); d != "" {
		t.Errorf("used (-) and allowed (+):\n%s", d)
	}
}

// The command finds a stack's parts by its outputs.
func TestTemplateOutputs(t *testing.T) {
	outputs := at(readTemplate(t), "Outputs").(object)
	source := string(must(os.ReadFile("../../cmd/flashsale/stack.go"))(t))
	used := regexp.MustCompile(`\boutput\w+\s*=\s*"(\w+)"`).FindAllStringSubmatch(source, -1)
	if len(used) == 0 {
		t.Error("no output found: this test looks in the wrong place")
	}
	for _, found := range used {
		if outputs[found[1]] == nil {
			t.Errorf("cmd/flashsale/stack.go looks for %s", found[1])
		}
	}
	for name, o := range outputs {
		if at(o, "Description") == nil || strings.Contains(text(at(o, "Value")), "resolve:") {
			t.Errorf("%s has no description, or a secret in it", name)
		}
	}
}

// Files that the template and samconfig.toml name are there.
func TestTemplateFilesExist(t *testing.T) {
	for _, path := range []string{"../../template.yaml", "../../samconfig.toml"} {
		source := string(must(os.ReadFile(path))(t))
		for _, file := range regexp.MustCompile(`\b(?:docs|pkg|cmd|tools|test|functions)/[\w./-]*\w`).FindAllString(source, -1) {
			if _, err := os.Stat(filepath.Join("..", "..", file)); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

// Every environment of samconfig.toml has a stack of its own, names its parameters right and asks for no more than IAM.
func TestSamConfig(t *testing.T) {
	sections := map[string]string{}
	for _, section := range regexp.MustCompile(`(?m)^\[`).Split(string(must(os.ReadFile("../../samconfig.toml"))(t)), -1)[1:] {
		name, body, _ := strings.Cut(section, "]")
		sections[name] = body
	}
	stacks := map[string]string{"default": "flashsale-dev", "dev": "flashsale-dev", "prod": "flashsale-prod"}
	for environment, stack := range stacks {
		// SAM's cache would see a function's folder only, and miss a change in pkg/.
		if strings.Contains(sections[environment+".build.parameters"], "cached") {
			t.Errorf("%s builds from a cache", environment)
		}
		deploy := sections[environment+".deploy.parameters"]
		for _, line := range []string{"stack_name = \"" + stack + "\"", "resolve_s3 = true", "capabilities = \"CAPABILITY_IAM\""} {
			if !strings.Contains(deploy, "\n"+line+"\n") {
				t.Errorf("%s.deploy has no line %s", environment, line)
			}
		}
		overrides := regexp.MustCompile(`parameter_overrides = "(.*)"`).FindStringSubmatch(deploy)
		if overrides == nil {
			continue
		}
		for _, override := range strings.Fields(overrides[1]) {
			name, _, _ := strings.Cut(override, "=")
			if at(readTemplate(t), "Parameters", name) == nil {
				t.Errorf("%s sets %s, which is no parameter", environment, name)
			}
		}
	}
	if len(sections) != 2*len(stacks) {
		t.Errorf("%d sections", len(sections))
	}
}
