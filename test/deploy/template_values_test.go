package deploy

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Values of the template that a linter takes either way, and that would be wrong the other way. A path leads from the top,
// a number is an index.
func TestTemplateValues(t *testing.T) {
	ref := func(name string) object { return object{"Ref": name} }
	everywhere := []any{object{"CidrIp": "127.0.0.1/32", "Description": "nowhere", "IpProtocol": "-1"}}
	for _, v := range []struct {
		path    string
		want    any
		because string
	}{
		{"Globals.Function.Environment.Variables.METRICS_NAMESPACE", ref("AWS::StackName"), "that is where alarms and dashboard look"},
		{"Globals.Function.Environment.Variables.MYSQL_DSN", "", "a database without IAM and TLS"},
		{"Globals.Function.Tracing", "Active", "the log's trace ids lead somewhere"},
		{"Globals.Function.LoggingConfig.ApplicationLogLevel", "TRACE", "Lambda would drop metrics, which are log lines"},
		{"Globals.Function.LoggingConfig.LogFormat", "JSON", "what reads the log expects it"},
		{"Globals.Function.Runtime", "provided.al2023", "the build is a bootstrap"},
		{"Parameters.Architecture.Default", "arm64", "cheaper, and what `make size` checks"},
		{"Parameters.DbMinAcu.MinValue", 0.5, "0 does not go with RDS Proxy"},
		{"Resources.Api.Properties.CorsConfiguration.AllowOrigins", []any{ref("AllowedOrigin")}, "a list, whatever SAM makes of the parameter"},
		{"Resources.Api.Properties.CorsConfiguration.AllowHeaders", []any{"content-type", "idempotency-key", "if-none-match"}, "what the contract takes from a page"},
		{"Resources.Api.Properties.CorsConfiguration.ExposeHeaders", []any{"etag", "location", "idempotent-replayed", "retry-after", "x-request-id"}, "what the contract gives it"},
		{"Resources.Api.Properties.StageName", "$default", "another stage stands in front of every path"},

		{"Resources.Db.Properties.StorageEncrypted", true, "customers' orders"},
		{"Resources.Db.Properties.EnableIAMDatabaseAuthentication", true, "the functions have no password"},
		{"Resources.Db.Properties.ManageMasterUserPassword", true, "no password is in the template"},
		{"Resources.Db.Properties.DeletionProtection", object{"Fn::If": []any{"IsProd", true, false}}, "a sale is not deleted by mistake"},
		{"Resources.Db.DeletionPolicy", "Snapshot", "orders outlive the stack"},
		{"Resources.Db.UpdateReplacePolicy", "Snapshot", "and a replacement"},
		{"Resources.DbWriter.Properties.PubliclyAccessible", false, "nobody outside"},
		{"Resources.DbReader.Properties.PubliclyAccessible", false, "likewise"},
		{"Resources.DbClusterParameters.Properties.Parameters.require_secure_transport", "ON", "tokens travel in clear text inside TLS"},
		{"Resources.DbInstanceParameters.Properties.Parameters.transaction_isolation", nil, "the audit relies on the default, REPEATABLE READ"},
		{"Resources.DbClusterParameters.Properties.Parameters.transaction_isolation", nil, "likewise"},
		{"Resources.DbProxy.Properties.RequireTLS", true, "as above"},
		{"Resources.DbProxy.Properties.DefaultAuthScheme", "IAM_AUTH", "from end to end"},

		{"Resources.S3Endpoint.Properties.VpcEndpointType", "Gateway", "free, and reachable by S3's public names"},
		{"Resources.S3Endpoint.Properties.RouteTableIds", []any{ref("Routes")}, "else a custom resource's answer goes nowhere, and the stack hangs"},
		{"Resources.S3Endpoint.Properties.PolicyDocument.Statement.0.Resource.Fn::Sub.0", "arn:${AWS::Partition}:s3:::cloudformation-custom-resource-response-${Compact}/*", "likewise"},
		{"Resources.AdminSecurityGroup.Properties.SecurityGroupEgress.1.CidrIp", "0.0.0.0/0", "likewise: S3's addresses are public"},
		{"Resources.AdminSecurityGroup.Properties.SecurityGroupEgress.1.ToPort", 443, "likewise"},
		{"Resources.SecretsEndpoint.Properties.PrivateDnsEnabled", true, "the SDK asks for the public name"},
		{"Resources.DbSecurityGroup.Properties.SecurityGroupEgress", everywhere, "the database calls nobody"},
		{"Resources.DbSecurityGroup.Properties.SecurityGroupIngress", nil, "only the rules for proxy and admin let anybody in"},
		{"Resources.CacheSecurityGroup.Properties.SecurityGroupIngress", nil, "likewise"},
		{"Resources.ProxySecurityGroup.Properties.SecurityGroupIngress", nil, "likewise"},
		{"Resources.ProxyToDatabase.Properties.SourceSecurityGroupId", ref("ProxySecurityGroup"), "and nobody else"},
		{"Resources.AdminToDatabase.Properties.SourceSecurityGroupId", ref("AdminSecurityGroup"), "and nobody else"},
		{"Resources.FunctionsToProxy.Properties.ToPort", 3306, "RDS Proxy's port"},
		{"Resources.FunctionsToCache.Properties.ToPort", 6379, "ElastiCache Serverless writes there"},

		{"Resources.RunInVpc.Properties.PolicyDocument.Statement.0.Effect", "Allow", "Lambda makes the interfaces with it"},
		{"Resources.RunInVpc.Properties.PolicyDocument.Statement.1.Effect", "Deny", "the functions' own code does not"},
		{"Resources.RunInVpc.Properties.PolicyDocument.Statement.1.Condition", object{"Null": object{"lambda:SourceFunctionArn": "false"}}, "or Lambda could not, either"},
		{"Resources.ExpireFunction.Properties.EventInvokeConfig.MaximumRetryAttempts", 0, "the next minute's tick is the retry"},
		{"Resources.ExpireFunction.Properties.Events.EveryMinute.Properties.RetryPolicy.MaximumRetryAttempts", 0, "likewise"},
		{"Resources.AdminFunction.Properties.Events", nil, "it has no URL"},
		{"Resources.AdminFunction.Properties.FunctionUrlConfig", nil, "nor this kind"},
		{"Resources.WebhookSecret.Properties.SecretString", nil, "no value is in the template"},
		{"Resources.StripeWebhookSecret.Properties.SecretString", nil, "likewise"},
	} {
		if d := cmp.Diff(v.want, follow(readTemplate(t), v.path)); d != "" {
			t.Errorf("%s, because of: %s\n%s", v.path, v.because, d)
		}
	}
}

// follow goes down a path; nil where it ends early.
func follow(value any, path string) any {
	for key := range strings.SplitSeq(path, ".") {
		switch v := value.(type) {
		case object:
			value = v[key]
		case []any:
			var i int
			if _, err := fmt.Sscan(key, &i); err != nil || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

// The certificate that the cluster gets is of an authority that the admin function has the roots of.
func TestTemplateClusterAuthority(t *testing.T) {
	for _, instance := range []string{"DbWriter", "DbReader"} {
		authority := fmt.Sprint(follow(readTemplate(t), "Resources."+instance+".Properties.CACertificateIdentifier"))
		if _, err := os.Stat("../../pkg/awsauth/" + authority + ".pem"); err != nil {
			t.Errorf("%s: %v", instance, err)
		}
	}
}

// What stands between a custom resource and a stack that hangs.
func TestTemplateSchemaCanAnswer(t *testing.T) {
	needs := map[string]bool{}
	for _, name := range list(follow(readTemplate(t), "Resources.AdminFunction.DependsOn")) {
		needs[fmt.Sprint(name)] = true
	}
	for _, name := range []string{"RouteA", "RouteB", "S3Endpoint", "SecretsEndpoint", "AdminToDatabase", "SecretsClientToEndpoint"} {
		if !needs[name] {
			t.Errorf("the admin function may be asked before there is %s", name)
		}
	}
}

// What wakes somebody, and what missing data means: an alarm that can never go on is worse than none.
func TestTemplateAlarmsCanGoOn(t *testing.T) {
	for name, want := range map[string]string{
		"AcuAtMaximum":       "Maximum >= 95, missing",
		"ApiErrors":          ">= 5, notBreaching",
		"AuditBroken":        "Maximum > 0, notBreaching",
		"AuditStalled":       "SampleCount < 1, breaching",
		"CustomersThrottled": "> 100, notBreaching",
		"DeadLettersArrived": "Maximum > 0, notBreaching",
		"FunctionErrors":     ">= 5, notBreaching",
		"ProxyBorrowSlow":    "Average > 100000, notBreaching",
		"ProxyPinned":        "Sum > 0, notBreaching",
		"RefundsDue":         "Maximum > 0, notBreaching",
		"SweepLag":           "Maximum > 30, notBreaching",
		"SweeperStalled":     "Sum < 1, breaching",
		"UnmatchedEvents":    "Minimum > 0, notBreaching",
		"WebhookThrottled":   "Sum > 0, notBreaching",
		"WebhooksRefused":    ">= 20, notBreaching",
	} {
		properties := "Resources." + name + ".Properties."
		compare := map[string]string{
			"GreaterThanThreshold": ">", "GreaterThanOrEqualToThreshold": ">=", "LessThanThreshold": "<",
		}[fmt.Sprint(follow(readTemplate(t), properties+"ComparisonOperator"))]
		got := fmt.Sprint(compare, " ", follow(readTemplate(t), properties+"Threshold"), ", ", follow(readTemplate(t), properties+"TreatMissingData"))
		if statistic := follow(readTemplate(t), properties+"Statistic"); statistic != nil {
			got = fmt.Sprint(statistic, " ", got)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
