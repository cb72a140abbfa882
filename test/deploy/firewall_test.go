package deploy

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flashsale/internal/template"
)

// firewallRules returns the rules that are deployed with these parameters.
func firewallRules(t testing.TB, parameters map[string]string) (rules []object) {
	t.Helper()
	edge := edgeTemplate(t)
	for _, r := range edge.At("Resources", "Firewall", "Properties", "Rules").([]any) {
		if rule, ok := edge.Resolve(r, parameters).(object); ok {
			rules = append(rules, rule)
		}
	}
	return rules
}

// The order decides: a webhook never meets a rule group, which refuses its body or its client, and what is paid by the request comes last.
func TestFirewallRulesAreInOrder(t *testing.T) {
	for name, c := range map[string]struct {
		parameters map[string]string
		want       []string
	}{
		"default": {nil, []string{"WebhooksRate block", "WebhooksAllowed allow", "AddressRate block", "IpReputation group", "Common group"}},
		"everything": {
			map[string]string{"WebhookAddresses": "3.18.12.63/32,3.130.192.231/32", "BotControl": "true"},
			[]string{"WebhooksFromElsewhere block", "WebhooksRate block", "WebhooksAllowed allow", "AddressRate block", "IpReputation group", "Common group", "BotControl group"},
		},
	} {
		var got []string
		last := -1
		for _, rule := range firewallRules(t, c.parameters) {
			action := "group"
			for kind := range asObject(rule["Action"]) {
				action = strings.ToLower(kind)
			}
			got = append(got, fmt.Sprint(rule["Name"], " ", action))
			if priority := rule["Priority"].(int); priority <= last {
				t.Errorf("%s: %s comes at %d, after %d", name, rule["Name"], priority, last)
			} else {
				last = priority
			}
			if follow(rule, "VisibilityConfig.MetricName") != rule["Name"] || follow(rule, "VisibilityConfig.SampledRequestsEnabled") != false {
				t.Errorf("%s: expected a metric and no samples, got %v", rule["Name"], rule["VisibilityConfig"])
			}
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: expected (-) and deployed (+) rules differ:\n%s", name, d)
		}
	}
}

func asObject(value any) object {
	o, _ := value.(object)
	return o
}

// The rules for webhooks are about the webhooks of the contract, and nothing else, however a client writes the path.
func TestFirewallKnowsTheWebhooks(t *testing.T) {
	parameters := map[string]string{"WebhookAddresses": "3.18.12.63/32"}
	matches := 0
	for _, rule := range firewallRules(t, parameters) {
		if !strings.HasPrefix(rule["Name"].(string), "Webhooks") {
			continue
		}
		match := follow(rule, "Statement.ByteMatchStatement")
		for _, path := range []string{"Statement.AndStatement.Statements.0.ByteMatchStatement", "Statement.RateBasedStatement.ScopeDownStatement.ByteMatchStatement"} {
			if found := follow(rule, path); found != nil {
				match = found
			}
		}
		prefix, _ := template.At(match, "SearchString").(string)
		for _, o := range operations(t) {
			if got := strings.HasPrefix(o.path, prefix); got != strings.Contains(o.path, "webhook") {
				t.Errorf("%s: %s begins with %q: %v", rule["Name"], o.path, prefix, got)
			}
		}
		decoded := []any{object{"Priority": 0, "Type": "URL_DECODE"}, object{"Priority": 1, "Type": "NORMALIZE_PATH"}}
		if d := cmp.Diff(decoded, template.At(match, "TextTransformations")); d != "" || template.At(match, "PositionalConstraint") != "STARTS_WITH" {
			t.Errorf("%s: another way to write the path gets around it:\n%s", rule["Name"], d)
		}
		matches++
	}
	if matches != 3 {
		t.Errorf("expected 3 rules for webhooks, found %d", matches)
	}
	if got := follow(firewallRules(t, parameters)[0], "Statement.AndStatement.Statements.1.NotStatement.Statement.IPSetReferenceStatement.Arn"); text(got) != "Fn::GetAtt Providers.Arn" {
		t.Errorf("expected that the addresses of Providers pass, got %v", got)
	}
}

// A shop page sees the refusal of an address as the API's own: a code to switch on, and when to come back.
func TestFirewallRateRefusalLooksLikeTheAPIs(t *testing.T) {
	edge := edgeTemplate(t)
	var rate object
	for _, rule := range firewallRules(t, map[string]string{}) {
		if rule["Name"] == "AddressRate" {
			rate = rule
		}
	}
	limit := follow(rate, "Statement.RateBasedStatement")
	if d := cmp.Diff(any(object{"AggregateKeyType": "IP", "EvaluationWindowSec": 60, "Limit": object{"Ref": "AddressRate"}}), limit); d != "" {
		t.Errorf("expected (-) and set (+) limits differ:\n%s", d)
	}
	response := follow(rate, "Action.Block.CustomResponse")
	if template.At(response, "ResponseCode") != 429 || follow(response, "ResponseHeaders.0.Name") != "Retry-After" {
		t.Errorf("the response is %v, expected 429 with Retry-After", response)
	}
	var problem struct {
		Type, Title, Detail, Code string
		Status                    int
	}
	body := edge.At("Resources", "Firewall", "Properties", "CustomResponseBodies", template.At(response, "CustomResponseBodyKey").(string), "Content").(string)
	if err := json.Unmarshal([]byte(body), &problem); err != nil || problem.Code != "busy" || problem.Status != 429 || problem.Type != "urn:flashsale:problem:busy" {
		t.Errorf("the body is %s (%v), expected the problem busy", body, err)
	}
}

// No log shows anything with which somebody else can act as a shopper or a provider: tokens, keys, signatures, ids in paths.
func TestFirewallLogsNoSecret(t *testing.T) {
	edge := edgeTemplate(t)
	hidden := map[string]bool{}
	for _, field := range edge.At("Resources", "FirewallLogging", "Properties", "RedactedFields").([]any) {
		for kind, header := range field.(object) {
			name, _ := template.At(header, "Name").(string)
			hidden[kind+" "+name] = true
		}
	}
	want := map[string]bool{"UriPath ": true, "QueryString ": true}
	for _, header := range []string{"authorization", "cookie", "idempotency-key", "webhook-signature", "stripe-signature"} {
		want["SingleHeader "+header] = true
	}
	if d := cmp.Diff(want, hidden); d != "" {
		t.Errorf("expected (-) and hidden (+) fields differ:\n%s", d)
	}
	group := edge.At("Resources", "FirewallLogs", "Properties")
	if template.At(group, "RetentionInDays", "Ref") != "AccessLogDays" || !strings.HasPrefix(text(template.At(group, "LogGroupName")), "Fn::Sub aws-waf-logs-") {
		t.Errorf("the log group is %v, expected WAF's prefix and the retention AccessLogDays", group)
	}
}

// CloudFront takes nothing from another region.
func TestEdgeRefusesContradictions(t *testing.T) {
	edge := edgeTemplate(t)
	if d := cmp.Diff(any(object{"Fn::Equals": []any{object{"Ref": "AWS::Region"}, "us-east-1"}}), follow(edge.Object, "Rules.OnlyHere.Assertions.0.Assert")); d != "" {
		t.Error(d)
	}
	if edge.At("Rules", "DomainIsComplete") == nil {
		t.Error("a domain without its certificate fails after minutes")
	}
}
