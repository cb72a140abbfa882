package deploy

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flashsale/internal/template"
	"flashsale/pkg/checkout"
)

// metric is a metric of the project that an alarm or the dashboard names.
type metric struct {
	where, name string
	dimensions  []string
	values      []string // of the dimensions; none in a search
}

// awsDimensions are the dimensions of AWS's own metrics; no linter checks them.
var awsDimensions = map[string][]string{
	"AWS/Lambda": {"FunctionName"}, "AWS/ApiGateway": {"ApiId"}, "AWS/SQS": {"QueueName"}, "AWS/RDS": {"ProxyName", "DBClusterIdentifier"},
}

// alarmMetrics lists the project's metrics that alarms name, and checks the dimensions of the others.
func alarmMetrics(t testing.TB) (found []metric) {
	t.Helper()
	add := func(id string, m any) {
		dimensions, _ := template.At(m, "Dimensions").([]any)
		if template.At(m, "Namespace", "Ref") != "Checkout" {
			for _, d := range dimensions {
				if name := template.At(d, "Name").(string); !slices.Contains(awsDimensions[fmt.Sprint(template.At(m, "Namespace"))], name) {
					t.Errorf("%s: %v has no dimension %s", id, template.At(m, "Namespace"), name)
				}
			}
			return
		}
		n := metric{where: id, name: template.At(m, "MetricName").(string)}
		for _, d := range dimensions {
			n.dimensions = append(n.dimensions, template.At(d, "Name").(string))
			n.values = append(n.values, template.At(d, "Value").(string))
		}
		found = append(found, n)
	}
	for id, alarm := range monitoringTemplate(t).OfType(t, "AWS::CloudWatch::Alarm") {
		if template.At(alarm, "Properties", "MetricName") != nil {
			add(id, alarm["Properties"])
			continue
		}
		for _, m := range template.At(alarm, "Properties", "Metrics").([]any) {
			if template.At(m, "MetricStat") != nil {
				add(id, template.At(m, "MetricStat", "Metric"))
			}
		}
	}
	return found
}

var searched = regexp.MustCompile(`^SEARCH\('\{"\$\{Checkout\}",([a-z,]+)\} MetricName="([a-z_]+)"', '(?:Sum|Maximum|p50|p99)', 60\)$`)

// dashboardMetrics lists the project's metrics on the dashboard.
func dashboardMetrics(t testing.TB) (found []metric) {
	t.Helper()
	body := monitoringTemplate(t).At("Resources", "Dashboard", "Properties", "DashboardBody", "Fn::Sub").(string)
	var dashboard struct {
		Widgets []struct {
			Properties struct {
				Title   string
				Metrics [][]any
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &dashboard); err != nil {
		t.Fatalf("the dashboard is not valid JSON: %v", err)
	}
	for _, w := range dashboard.Widgets {
		for _, m := range w.Properties.Metrics {
			if options, ok := m[0].(object); ok {
				parts := searched.FindStringSubmatch(options["expression"].(string))
				if parts == nil {
					t.Errorf("%s: unknown form of search: %v", w.Properties.Title, options["expression"])
					continue
				}
				found = append(found, metric{where: w.Properties.Title, name: parts[2], dimensions: strings.Split(parts[1], ",")})
				continue
			}
			if m[0] != "${Checkout}" {
				continue
			}
			n := metric{where: w.Properties.Title, name: m[1].(string)}
			for i := 2; i+1 < len(m); i += 2 { // name, value; options may follow
				n.dimensions, n.values = append(n.dimensions, m[i].(string)), append(n.values, m[i+1].(string))
			}
			found = append(found, n)
		}
	}
	return found
}

// labels returns the labels of every metric of the code and of the access log's filters, sorted.
func labels(t testing.TB) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, m := range checkout.Metrics {
		all[m.FullName()] = slices.Sorted(slices.Values(m.Labels))
	}
	for _, filter := range monitoringTemplate(t).OfType(t, "AWS::Logs::MetricFilter") {
		all[follow(filter, "Properties.MetricTransformations.0.MetricName").(string)] = nil
	}
	return all
}

// CloudWatch accepts metrics that do not exist, and shows nothing.
func TestAlarmsAndDashboardUseMetricsOfTheCode(t *testing.T) {
	var code strings.Builder
	paths, err := filepath.Glob("../../pkg/*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if !strings.HasSuffix(path, "_test.go") {
			code.WriteString(source(t, path))
		}
	}
	known := labels(t)
	for _, n := range append(alarmMetrics(t), dashboardMetrics(t)...) {
		want, exists := known[n.name]
		if got := slices.Sorted(slices.Values(n.dimensions)); !exists || !slices.Equal(want, got) {
			t.Errorf("%s: the code writes no %s with the labels %v", n.where, n.name, n.dimensions)
		}
		for _, value := range n.values {
			if !strings.Contains(code.String(), `"`+value+`"`) {
				t.Errorf("%s: the code never writes %s with %q", n.where, n.name, value)
			}
		}
	}
}

func TestDashboardShowsEveryMetric(t *testing.T) {
	shown := map[string]bool{}
	for _, n := range dashboardMetrics(t) {
		shown[n.name] = true
	}
	if d := cmp.Diff(template.Keys(labels(t)), template.Keys(shown)); d != "" {
		t.Errorf("metrics of the code (-) and of the dashboard (+) differ:\n%s", d)
	}
}

// An alarm with the wrong statistic, threshold or treatment of missing data never fires, or never clears. One that anybody
// can trigger from outside, or that can wait, must not page.
func TestAlarmsFireAtTheirThresholds(t *testing.T) {
	want := map[string]string{
		"AcuAtMaximum":            "page: Maximum >= 95 for 3 x 60 s, missing",
		"ApiErrors":               "page: IF(requests > 100, 100 * errors / requests, errors) >= 5 for 3 x 60 s, notBreaching",
		"AuditBroken":             "page: Maximum > 0 for 1 x 300 s, notBreaching",
		"AuditOld":                "ticket: Minimum > 108000 for 1 x 300 s, notBreaching",
		"AuditStalled":            "page: SampleCount < 1 for 3 x 300 s, breaching",
		"CustomersThrottled":      "page: SUM([products, holds, orders]) > 100 for 3 x 60 s, notBreaching",
		"DeadLettersArrived":      "ticket: Maximum > 0 for 1 x 300 s, notBreaching",
		"DisputesOpen":            "ticket: Maximum > 0 for 1 x 300 s, notBreaching",
		"EventsRejected":          "ticket: Maximum > 0 for 1 x 300 s, notBreaching",
		"EventsStored":            "page: Minimum > 0 for 1 x 300 s, notBreaching",
		"FunctionErrors":          "page: SUM([products, holds, orders, webhook, expire, admin]) >= 5 for 1 x 300 s, notBreaching",
		"ProxyBorrowSlow":         "page: Average > 100000 for 3 x 60 s, notBreaching",
		"ProxyPinned":             "page: Sum > 0 for 3 x 60 s, notBreaching",
		"RefundsDue":              "ticket: Maximum > 0 for 1 x 300 s, notBreaching",
		"ShoppersLimited":         "page: Sum > 100 for 3 x 60 s, notBreaching",
		"StockUnpaid":             "page: Minimum >= 0.5 for 6 x 300 s, notBreaching",
		"SweepLag":                "page: Maximum > 30 for 5 x 60 s, notBreaching",
		"SweeperStalled":          "page: Sum < 1 for 3 x 60 s, breaching",
		"UnmatchedEvents":         "ticket: Minimum > 0 for 3 x 300 s, notBreaching",
		"WebhookThrottled":        "page: SUM([throttled, limited]) > 0 for 3 x 60 s, notBreaching",
		"WebhooksRefused":         "page: IF(orders >= 10 AND applied < 1, refused, 0) >= 10 for 1 x 300 s, notBreaching",
		"WebhooksRefusedForHours": "ticket: IF(applied < 1, refused, 0) >= 1 for 3 x 3600 s, notBreaching",
	}
	got := map[string]string{}
	for id, alarm := range monitoringTemplate(t).OfType(t, "AWS::CloudWatch::Alarm") {
		got[id] = ruleOf(alarm["Properties"].(object))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("expected (-) and defined (+) alarms differ:\n%s", d)
	}
}

// ruleOf writes an alarm's rule on one line.
func ruleOf(p object) string {
	signs := map[any]string{"GreaterThanThreshold": ">", "GreaterThanOrEqualToThreshold": ">=", "LessThanThreshold": "<"}
	value, period := p["Statistic"], p["Period"]
	metrics, _ := p["Metrics"].([]any)
	for _, m := range metrics {
		if template.At(m, "ReturnData") == nil {
			value = template.At(m, "Expression")
		} else if of := template.At(m, "MetricStat", "Period"); of != nil {
			period = of
		}
	}
	return fmt.Sprintf("%s: %v %s %v for %v x %v s, %v",
		levelOf(p), value, signs[p["ComparisonOperator"]], p["Threshold"], p["EvaluationPeriods"], period, p["TreatMissingData"])
}

// levelOf says whether an alarm pages, or can wait.
func levelOf(p object) string {
	levels := map[string]string{"Ref AlarmTopic": "page", "Ref TicketTopic": "ticket"}
	return levels[text(p["AlarmActions"])]
}

// CloudWatch truncates nothing: a description over 1,024 characters fails the deployment.
func TestAlarmsNotifyAndSayWhatToDo(t *testing.T) {
	for id, alarm := range monitoringTemplate(t).OfType(t, "AWS::CloudWatch::Alarm") {
		description, _ := template.At(alarm, "Properties", "AlarmDescription").(string)
		if len(description) < 100 || len(description) > 1024 {
			t.Errorf("%s: expected a description of 100 to 1024 characters, got %d", id, len(description))
		}
		if levelOf(alarm["Properties"].(object)) == "" {
			t.Errorf("%s notifies no topic", id)
		}
	}
}

func TestAlarmDescriptionsNameThingsThatExist(t *testing.T) {
	known := map[string]bool{"ConcurrentExecutions": true} // a widget of the dashboard
	for _, whole := range []template.Template{checkoutTemplate(t), monitoringTemplate(t)} {
		for _, section := range []string{"Resources", "Parameters", "Outputs"} {
			names, _ := whole.At(section).(object)
			for name := range names {
				known[name] = true
			}
		}
	}
	words := regexp.MustCompile(`\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b`)
	for id, alarm := range monitoringTemplate(t).OfType(t, "AWS::CloudWatch::Alarm") {
		for _, word := range words.FindAllString(fmt.Sprint(template.At(alarm, "Properties", "AlarmDescription")), -1) {
			if !known[word] {
				t.Errorf("%s mentions %s, which does not exist", id, word)
			}
		}
	}
}

// CloudFormation would find a missing parameter only while it deploys.
func TestMonitoringGetsItsParameters(t *testing.T) {
	nested := checkoutTemplate(t).At("Resources", "Monitoring", "Properties")
	if path := template.At(nested, "TemplateURL"); path != "deploy/monitoring.yaml" {
		t.Errorf("expected deploy/monitoring.yaml as the nested template, got %v", path)
	}
	want := template.Keys(monitoringTemplate(t).At("Parameters").(object))
	if d := cmp.Diff(want, template.Keys(template.At(nested, "Parameters").(object))); d != "" {
		t.Errorf("parameters of monitoring (-) and those it gets (+) differ:\n%s", d)
	}
	outputs := monitoringTemplate(t).At("Outputs").(object)
	for name, o := range checkoutTemplate(t).At("Outputs").(object) {
		attribute, found := strings.CutPrefix(text(template.At(o, "Value")), "Fn::GetAtt Monitoring.Outputs.")
		if found && outputs[attribute] == nil {
			t.Errorf("output %s needs the output %s of monitoring", name, attribute)
		}
	}
}
