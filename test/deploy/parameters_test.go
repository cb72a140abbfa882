package deploy

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flashsale/internal/template"
)

// AWS refuses 0 ACU behind RDS Proxy, half an ACU lacks the memory for IAM sign-in, and a rate of 0 would close a route.
func TestParametersRejectBadValues(t *testing.T) {
	for parameter, test := range map[string]struct{ good, bad []string }{
		"DbMinAcu":              {[]string{"1", "8.5", "255.5", "256", "SaleSize"}, []string{"0", "0.5", "", "0.25", "-1", "small", "256.5", "257", "1000"}},
		"DbMaxAcu":              {[]string{"1", "32", "256", "SaleSize"}, []string{"0", "0.5", "", "257"}},
		"HoldsRate":             {[]string{"1", "2000", "SaleSize"}, []string{"0", "", "-1", "1000000"}},
		"ReservedHolds":         {[]string{"0", "375", "SaleSize"}, []string{"", "-1", "all", "100000"}},
		"CacheMinEcpu":          {[]string{"0", "1000", "15000000"}, []string{"", "999", "15000001", "-1"}},
		"HoldTtl":               {[]string{"90s", "2m", "720h"}, []string{"", "0s", "0m", "721h", "2", "2d", "1m30", "99999s"}},
		"Retention":             {[]string{"1h", "720h"}, []string{"0h", "30m", "30d", "720"}},
		"OrderLimit":            {[]string{"", "17m", "720h"}, []string{"0s", "1000h", "15", "none"}},
		"JwtIssuer":             {[]string{"", "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI", "https://shop.eu.auth0.com/"}, []string{"http://issuer.example.com", "issuer.example.com", "https://", "https://a b"}},
		"JwtAudience":           {[]string{"", "checkout", "https://api.example.com"}, []string{"one,two", "one two"}},
		"EdgeSecret":            {[]string{"", strings.Repeat("a", 32), strings.Repeat("a", 128) + "," + strings.Repeat("B", 32)}, []string{"short", strings.Repeat("a", 129), strings.Repeat("a", 32) + ",", strings.Repeat("a", 32) + ", " + strings.Repeat("b", 32), strings.Repeat("-", 32)}},
		"PaymentWindow":         {[]string{"15m", "9999m"}, []string{"0s", "1000h", "15"}},
		"AlarmEmail":            {[]string{"", "you@example.com"}, []string{"you", "you@example.com, me@example.com"}},
		"EngineVersion":         {[]string{"8.0.mysql_aurora.3.10.4"}, []string{"", "5.7.mysql_aurora.2.11.1", "8.4.mysql_aurora.4.0.0"}},
		"HoldsCapacityProvider": {[]string{"", "arn:aws:lambda:eu-west-1:123456789012:capacity-provider:holds-1"}, []string{"holds", "arn:aws:lambda:eu-west-1:123456789012:function:holds"}},
		"RestoreSnapshot":       {[]string{"", "arn:aws:rds:eu-west-1:123456789012:cluster-snapshot:x"}, []string{"restore-tmp"}},
	} {
		pattern := regexp.MustCompile(checkoutTemplate(t).At("Parameters", parameter, "AllowedPattern").(string))
		for _, value := range test.good {
			if !pattern.MatchString(value) {
				t.Errorf("%s: expected %q to be allowed", parameter, value)
			}
		}
		for _, value := range test.bad {
			if pattern.MatchString(value) {
				t.Errorf("%s: expected %q to be refused", parameter, value)
			}
		}
	}
}

// StockUnpaid calls stock unpaid that shoppers with the default times must have given back.
func TestUnpaidStockIsOlderThanAPurchase(t *testing.T) {
	var purchase time.Duration
	for _, parameter := range []string{"HoldTtl", "PaymentWindow"} {
		d, err := time.ParseDuration(checkoutTemplate(t).At("Parameters", parameter, "Default").(string))
		if err != nil {
			t.Fatal(err)
		}
		purchase += d
	}
	p := monitoringTemplate(t).At("Resources", "StockUnpaid", "Properties")
	alarm := seconds(t, template.At(p, "Period")) * time.Duration(template.At(p, "EvaluationPeriods").(int))
	if alarm < purchase+10*time.Minute {
		t.Errorf("the alarm fires after %v, expected well over the %v of a purchase", alarm, purchase)
	}
}

// A value outside of AWS's limits would fail a deployment only after 20 minutes.
func TestNumbersHaveBounds(t *testing.T) {
	unbounded := map[string]bool{"MonthlyBudget": true} // any sum of money
	for name, p := range checkoutTemplate(t).At("Parameters").(object) {
		kind := template.At(p, "Type")
		listed, pattern := template.At(p, "AllowedValues") != nil, template.At(p, "AllowedPattern") != nil
		low, high := template.At(p, "MinValue"), template.At(p, "MaxValue")
		switch {
		case kind == "Number" && !listed && (low == nil || high == nil && !unbounded[name]):
			t.Errorf("%s: expected a smallest and a largest value, got %v and %v", name, low, high)
		case kind == "String" && !listed && !pattern:
			t.Errorf("%s: expected allowed values or a pattern", name)
		}
	}
}

// CloudFormation checks the rules before it creates anything.
func TestRulesRefuseContradictions(t *testing.T) {
	equal := func(one, other any) object { return object{"Fn::Equals": []any{one, other}} }
	differ := func(one, other any) object { return object{"Fn::Not": []any{equal(one, other)}} }
	ref := func(name string) object { return object{"Ref": name} }
	want := map[string][]any{
		"ZonesDiffer": {nil, differ(ref("FirstZone"), ref("SecondZone"))},
		"SignInIsComplete": {nil, object{"Fn::Or": []any{
			object{"Fn::And": []any{equal(ref("JwtIssuer"), ""), equal(ref("JwtAudience"), "")}},
			object{"Fn::And": []any{differ(ref("JwtIssuer"), ""), differ(ref("JwtAudience"), "")}},
		}}},
		"BudgetHasAddress": {differ(ref("MonthlyBudget"), "0"), differ(ref("AlarmEmail"), "")},
	}
	got := map[string][]any{}
	for name, rule := range checkoutTemplate(t).At("Rules").(object) {
		got[name] = []any{template.At(rule, "RuleCondition"), follow(rule, "Assertions.0.Assert")}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("expected (-) and defined (+) rules differ:\n%s", d)
	}
}

// maxConnections is Aurora MySQL's max_connections by the largest size in ACU.
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2.setting-capacity.html
var maxConnections = map[string]float64{"4": 135, "8": 1000, "16": 2000, "32": 3000, "64": 4000}

// Two processors (8 ACU) are at their best with 8 connections, and 64 cost a quarter of the rate (docs/performance.md). So
// the pool has a connection for each ACU, half as many for requests that need no hot row, and no more than 64.
func TestPoolFitsTheMeasurements(t *testing.T) {
	checkout := checkoutTemplate(t)
	percent, err := strconv.ParseFloat(resolved(t, "Resources.DbProxyTarget.Properties.ConnectionPoolConfigurationInfo.MaxConnectionsPercent", nil).(string), 64)
	if err != nil {
		t.Fatal(err)
	}
	for size := range checkout.At("Mappings", "SaleSizes").(object) {
		largest := resolved(t, "Resources.Db.Properties.ServerlessV2ScalingConfiguration.MaxCapacity", map[string]string{"SaleSize": size}).(string)
		acu, err := strconv.ParseFloat(largest, 64)
		if err != nil || maxConnections[largest] == 0 {
			t.Fatalf("%s: unknown number of connections at %s ACU: %v", size, largest, err)
		}
		pool := maxConnections[largest] * percent / 100
		if least := 1.5 * acu; pool < least || pool > 64 {
			t.Errorf("%s: %v %% of the connections at %s ACU are %v, expected %v to 64", size, percent, largest, pool, least)
		}
	}
}
