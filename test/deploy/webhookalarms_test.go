package deploy

import (
	"regexp"
	"strings"
	"testing"

	"flashsale/internal/template"
)

// deliveries is what one period of an alarm sees. A count of 0 is a metric without data: nothing writes a 0.
type deliveries struct{ orders, refused, applied float64 }

// alarmValue evaluates the expressions of a webhook alarm; known is false without data. It knows only their forms.
type alarmValue struct {
	t    *testing.T
	by   map[string]object // the alarm's metrics by id
	seen deliveries
}

var (
	conditional = regexp.MustCompile(`^IF\((.+), (\w+), 0\)$`)
	comparison  = regexp.MustCompile(`^(\w+) (>=|<) (\d+)$`)
	sum         = regexp.MustCompile(`^SUM\(\[(.+)\]\)$`)
	zero        = regexp.MustCompile(`^0 \* (\w+)$`)
)

func (v alarmValue) of(id string) (value float64, known bool) {
	metric := template.At(v.by[id], "MetricStat", "Metric")
	if metric != nil {
		return v.measured(text(template.At(metric, "MetricName")), metric)
	}
	expression := text(v.by[id]["Expression"])
	if parts := conditional.FindStringSubmatch(expression); parts != nil {
		value, known = v.of(parts[2])
		for condition := range strings.SplitSeq(parts[1], " AND ") {
			c := comparison.FindStringSubmatch(condition)
			left, has := v.of(c[1])
			known = known && has
			if (left >= number(v.t, c[3])) != (c[2] == ">=") {
				value = 0
			}
		}
		return value, known
	}
	if parts := zero.FindStringSubmatch(expression); parts != nil {
		_, known = v.of(parts[1])
		return 0, known
	}
	parts := sum.FindStringSubmatch(expression)
	if parts == nil {
		v.t.Fatalf("%s: unknown form of expression %q", id, expression)
	}
	for part := range strings.SplitSeq(parts[1], ", ") { // SUM ignores metrics without data
		if add, has := v.of(part); has {
			value, known = value+add, true
		}
	}
	return value, known
}

// measured is one metric. All deliveries are Stripe's, so the other provider's metrics have no data.
func (v alarmValue) measured(name string, metric any) (float64, bool) {
	var values []string
	for _, d := range template.At(metric, "Dimensions").([]any) {
		values = append(values, text(template.At(d, "Value")))
	}
	n := map[string]float64{
		"flashsale_ledger_calls_total create_order created": v.seen.orders,
		"flashsale_webhook_events_total stripe refused":     v.seen.refused,
		"flashsale_webhook_events_total stripe applied":     v.seen.applied,
		"flashsale_webhook_events_total standard refused":   0,
		"flashsale_webhook_events_total standard applied":   0,
	}
	key := name + " " + strings.Join(values, " ")
	value, listed := n[key]
	if !listed {
		v.t.Fatalf("unknown metric %s", key)
	}
	return value, value > 0
}

// fires reports whether an alarm is on if every period sees this.
func fires(t *testing.T, name string, seen deliveries) bool {
	t.Helper()
	p := monitoringTemplate(t).At("Resources", name, "Properties").(object)
	v := alarmValue{t, map[string]object{}, seen}
	returned := ""
	for _, m := range p["Metrics"].([]any) {
		id := template.At(m, "Id").(string)
		v.by[id] = m.(object)
		if template.At(m, "ReturnData") == nil {
			returned = id
		}
	}
	value, known := v.of(returned)
	return known && value >= float64(p["Threshold"].(int)) // no data does not fire
}

// Anybody can post junk to a webhook, and a wrong secret loses payments. The alarms tell them apart.
func TestForgedWebhooksDoNotPage(t *testing.T) {
	for name, test := range map[string]struct {
		seen         deliveries
		page, ticket bool
	}{
		"nothing":                             {deliveries{0, 0, 0}, false, false},
		"20 forged posts at night":            {deliveries{0, 20, 0}, false, true}, // a ticket only if it lasts for hours
		"20,000 forged posts during a sale":   {deliveries{5000, 20000, 3000}, false, false},
		"forged posts and a few abandoned":    {deliveries{4, 20, 0}, false, true},
		"the wrong secret during a sale":      {deliveries{5000, 9000, 0}, true, true},
		"the wrong secret on a quiet day":     {deliveries{3, 12, 0}, false, true},
		"a rotation that one sender missed":   {deliveries{100, 40, 60}, false, false},
		"a sale without a refusal or payment": {deliveries{100, 0, 0}, false, false}, // StockUnpaid sees this
	} {
		if got := fires(t, "WebhooksRefused", test.seen); got != test.page {
			t.Errorf("%s: WebhooksRefused fires %v, expected %v", name, got, test.page)
		}
		if got := fires(t, "WebhooksRefusedForHours", test.seen); got != test.ticket {
			t.Errorf("%s: WebhooksRefusedForHours fires %v, expected %v", name, got, test.ticket)
		}
	}
}
