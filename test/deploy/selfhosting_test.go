package deploy

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"flashsale/internal/template"
	"flashsale/pkg/checkout"
)

// An alert on a metric that does not exist never fires, and a panel stays empty.
func TestMonitoringNamesExistingMetrics(t *testing.T) {
	t.Parallel()
	rules := template.Plain(t, template.Parse(t, "../../deploy/prometheus-alerts.yaml"))
	var alerts []string
	for _, group := range follow(rules, "groups").([]any) {
		for _, rule := range follow(group, "rules").([]any) {
			expression, _ := follow(rule, "expr").(string)
			for _, part := range []string{"labels.severity", "annotations.summary", "annotations.action"} {
				if text, _ := follow(rule, part).(string); text == "" {
					t.Errorf("the alert %v has no %s", follow(rule, "alert"), part)
				}
			}
			if !strings.HasPrefix(expression, "up{") { // Prometheus's own metric
				alerts = append(alerts, expression)
			}
		}
	}
	text, err := os.ReadFile("../../deploy/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatalf("deploy/grafana.json: %v", err)
	}
	var panels []string
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			panels = append(panels, target.Expr)
		}
	}
	if len(alerts) < 10 || len(panels) < 10 {
		t.Errorf("found %d alerts and %d queries of panels, expected at least 10 of each", len(alerts), len(panels))
	}
	for _, expression := range slices.Concat(alerts, panels) {
		checkMetrics(t, expression)
	}
}

var (
	metricName = regexp.MustCompile(`\bflashsale_\w+`)
	labelNames = regexp.MustCompile(`by \(([a-z, ]+)\)`)
)

// checkMetrics checks that an expression names a metric of /metrics, and only labels that it has.
func checkMetrics(t *testing.T, expression string) {
	t.Helper()
	names := metricName.FindAllString(expression, -1)
	if len(names) == 0 {
		t.Errorf("%s names no metric", expression)
	}
	labels := []string{"instance"} // Prometheus adds it
	all := slices.Concat(checkout.Metrics, checkout.RequestMetrics)
	for _, name := range names {
		i := slices.IndexFunc(all, func(m *checkout.Metric) bool {
			if m.Kind == checkout.Histogram {
				return name == m.FullName()+"_bucket"
			}
			return name == m.FullName()
		})
		if i < 0 {
			t.Errorf("%s: /metrics has no %s", expression, name)
			continue
		}
		labels = append(labels, all[i].Labels...)
		if all[i].Kind == checkout.Histogram {
			labels = append(labels, "le")
		}
	}
	for _, by := range labelNames.FindAllStringSubmatch(expression, -1) {
		for label := range strings.SplitSeq(by[1], ", ") {
			if !slices.Contains(labels, label) {
				t.Errorf("%s: its metrics have no label %s", expression, label)
			}
		}
	}
}

// The command ignores a variable that it does not know.
func TestComposeSetsKnownVariables(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	compose := template.Plain(t, template.Parse(t, "../../compose.yaml"))
	for _, service := range []string{"migrate", "checkout"} {
		if files := fmt.Sprint(follow(compose, "services."+service+".env_file")); files != "[.env]" {
			t.Errorf("%s reads the variables of %s, expected those of .env", service, files)
		}
		variables, _ := follow(compose, "services."+service+".environment").(object)
		if len(variables) < 3 {
			t.Errorf("%s has the variables %v, expected a database, a cache and a secret", service, slices.Sorted(maps.Keys(variables)))
		}
		for name := range variables {
			if !strings.Contains(string(document), "| `"+name+"` |") {
				t.Errorf("%s sets %s, which docs/configuration.md does not have", service, name)
			}
		}
	}
}
