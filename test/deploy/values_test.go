package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flashsale/internal/template"
)

// A linter accepts these settings either way, but only one is right. A number in a path is an index.
func TestSettingsThatMustNotChange(t *testing.T) {
	ref := func(name string) object { return object{"Ref": name} }
	nowhere := []any{object{"CidrIp": "127.0.0.1/32", "Description": "nowhere", "IpProtocol": "-1"}}
	for _, v := range []struct {
		path   string
		want   any
		reason string
	}{
		{"Globals.Function.Environment.Variables.METRICS_NAMESPACE", ref("AWS::StackName"), "alarms and dashboard read this namespace"},
		{"Globals.Function.Environment.Variables.MYSQL_DSN", "", "a DSN would bypass IAM and TLS"},
		{"Globals.Function.Tracing", "Active", "the trace ids in the log need traces"},
		{"Globals.Function.LoggingConfig.ApplicationLogLevel", "TRACE", "Lambda would drop metrics, which are log lines"},
		{"Globals.Function.LoggingConfig.LogFormat", "JSON", "log queries expect JSON"},
		{"Globals.Function.Runtime", "provided.al2023", "the build is a bootstrap"},
		{"Globals.HttpApi", nil, "FailOnWarnings would stop a deployment for one warning"},
		{"Transform", []any{"AWS::LanguageExtensions", "AWS::Serverless-2016-10-31"}, "loops have to be expanded before SAM's transform"},
		{"Parameters.Architecture.Default", "arm64", "it is cheaper, and `make size` checks it"},
		{"Parameters.SaleSize.Default", "none", "a new account has a Lambda quota of 10"},
		{"Resources.Api.Properties.CorsConfiguration.AllowOrigins", []any{ref("AllowedOrigin")}, "SAM expects a list"},
		{"Resources.Api.Properties.CorsConfiguration.AllowHeaders", []any{"authorization", "content-type", "idempotency-key", "if-none-match"}, "pages send these headers"},
		{"Resources.Api.Properties.CorsConfiguration.ExposeHeaders", []any{"etag", "location", "idempotent-replayed", "retry-after", "www-authenticate", "x-request-id", "date"}, "pages read these headers"},
		{"Resources.Api.Properties.StageName", "$default", "another stage would prefix every path"},

		{"Resources.Db.Properties.EnableIAMDatabaseAuthentication", true, "the functions have no password"},
		{"Resources.Db.Properties.EnableCloudwatchLogsExports", []any{"error", "slowquery"}, "logs of a lost instance are lost"},
		{"Resources.DbWriter.DependsOn", []any{"DbErrorLogs", "DbSlowLogs"}, "RDS would create the log groups without a retention"},
		{"Resources.DbReader.DependsOn", "DbWriter", "the first instance becomes the writer; it also waits for the log groups"},
		{"Resources.DbInstanceParameters.Properties.Parameters.slow_query_log", "1", "without it the exported log is empty"},
		{"Resources.DbInstanceParameters.Properties.Parameters.long_query_time", "3", "queues at a hot row (2 s) would fill the log"},
		{"Resources.Db.Properties.BackupRetentionPeriod", object{"Fn::If": []any{"IsProd", 14, 1}}, "docs/operations.md promises it"},
		{"Resources.Db.Properties.ManageMasterUserPassword", true, "the template contains no password"},
		{"Resources.Db.Properties.DeletionProtection", object{"Fn::If": []any{"IsProd", true, false}}, "prod must not be deleted by mistake"},
		{"Resources.Db.DeletionPolicy", "Snapshot", "orders outlive the stack"},
		{"Resources.Db.UpdateReplacePolicy", "Snapshot", "orders outlive a replacement"},
		{"Resources.DbClusterParameters.Properties.Parameters.require_secure_transport", "ON", "tokens are sent in clear text inside TLS"},
		{"Resources.DbInstanceParameters.Properties.Parameters.transaction_isolation", nil, "the audit relies on the default, REPEATABLE READ"},
		{"Resources.DbClusterParameters.Properties.Parameters.transaction_isolation", nil, "the audit relies on the default, REPEATABLE READ"},
		{"Resources.DbProxy.Properties.DefaultAuthScheme", "IAM_AUTH", "no password between proxy and cluster"},

		{"Resources.S3Endpoint.Properties.VpcEndpointType", "Gateway", "it is free, and serves S3's public names"},
		{"Resources.S3Endpoint.Properties.RouteTableIds", []any{ref("Routes")}, "the custom resource could not respond, and the stack would hang"},
		{"Resources.S3Endpoint.Properties.PolicyDocument.Statement.0.Resource.Fn::Sub.0", "arn:${AWS::Partition}:s3:::cloudformation-custom-resource-response-${Compact}/*", "the custom resource could not respond"},
		{"Resources.AdminSecurityGroup.Properties.SecurityGroupEgress.1.CidrIp", "0.0.0.0/0", "S3's addresses are public"},
		{"Resources.AdminSecurityGroup.Properties.SecurityGroupEgress.1.ToPort", 443, "S3 is reached by HTTPS"},
		{"Resources.SecretsEndpoint.Properties.PrivateDnsEnabled", true, "the SDK uses the public name"},
		{"Resources.DbSecurityGroup.Properties.SecurityGroupEgress", nowhere, "the database opens no connection"},
		{"Resources.CacheSecurityGroup.Properties.SecurityGroupEgress", nowhere, "the cache opens no connection"},
		{"Resources.EndpointSecurityGroup.Properties.SecurityGroupEgress", nowhere, "the endpoint opens no connection"},
		{"Resources.DbSecurityGroup.Properties.SecurityGroupIngress", nil, "only the rules for proxy and admin admit anybody"},
		{"Resources.CacheSecurityGroup.Properties.SecurityGroupIngress", nil, "only the rule for functions admits anybody"},
		{"Resources.ProxySecurityGroup.Properties.SecurityGroupIngress", nil, "only the rule for functions admits anybody"},
		{"Resources.ProxyToDatabase.Properties.SourceSecurityGroupId", ref("ProxySecurityGroup"), "no other member may connect"},
		{"Resources.AdminToDatabase.Properties.SourceSecurityGroupId", ref("AdminSecurityGroup"), "no other member may connect"},
		{"Resources.FunctionsToProxy.Properties.ToPort", 3306, "RDS Proxy's port"},
		{"Resources.FunctionsToCache.Properties.ToPort", 6379, "ElastiCache Serverless writes to this port"},

		{"Resources.RunInVpc.Properties.PolicyDocument.Statement.0.Effect", "Allow", "Lambda creates the interfaces with it"},
		{"Resources.RunInVpc.Properties.PolicyDocument.Statement.1.Effect", "Deny", "the functions' own code must not"},
		{"Resources.RunInVpc.Properties.PolicyDocument.Statement.1.Condition", object{"Null": object{"lambda:SourceFunctionArn": "false"}}, "without the condition, Lambda could not either"},
		{"Resources.ExpireFunction.Properties.EventInvokeConfig.MaximumRetryAttempts", 0, "the next minute's sweep is the retry"},
		{"Resources.ExpireFunction.Properties.Events.EveryMinute.Properties.RetryPolicy.MaximumRetryAttempts", 0, "the next minute's sweep is the retry"},
		{"Resources.AdminFunction.Properties.FunctionUrlConfig", nil, "it has no URL"},
		{"Resources.AdminFunction.Properties.Events.FullAudit.Type", "ScheduleV2", "it has no URL"},
		{"Resources.AdminFunction.Properties.Events.FullAudit.Properties.Input", `{"operation": "audit"}`, "any other operation would be repeated daily"},
		{"Resources.WebhookSecret.Properties.SecretString", nil, "the template contains no secret"},
		{"Resources.StripeWebhookSecret.Properties.SecretString", nil, "the template contains no secret"},
	} {
		if d := cmp.Diff(v.want, follow(checkoutTemplate(t).Object, v.path)); d != "" {
			t.Errorf("%s changed; reason for its value: %s\n%s", v.path, v.reason, d)
		}
	}
}

// Two stacks fit into one account and region: names come from CloudFormation, or contain something unique to the stack.
func TestStacksDoNotCollide(t *testing.T) {
	for path, unique := range map[string][]string{checkoutPath: {"${AWS::StackName}", "${Vpc}", "${Db}"}, monitoringPath: {"${Checkout}"}, edgePath: {"${AWS::StackName}"}} {
		for id, r := range template.Read(t, path).At("Resources").(object) {
			for _, property := range []string{
				"FunctionName", "RoleName", "ManagedPolicyName", "GroupName", "QueueName", "TopicName", "AlarmName", "LogGroupName", "Name",
				"DBProxyName", "DBInstanceIdentifier", "DBSubnetGroupName", "DBParameterGroupName", "DBClusterParameterGroupName",
				"ServerlessCacheName", "UserId", "UserName", "UserGroupId", "DashboardName",
			} {
				switch value := template.At(r, "Properties", property).(type) {
				case string:
					t.Errorf("%s: %s is %q in every stack", id, property, value)
				case object:
					sub := text(value)
					if strings.HasPrefix(sub, "Fn::Sub") && !slices.ContainsFunc(unique, func(part string) bool { return strings.Contains(sub, part) }) {
						t.Errorf("%s: %s is %s, the same in every stack", id, property, sub)
					}
				}
			}
		}
	}
}

func TestEveryFunctionLogsToItsOwnGroup(t *testing.T) {
	for name, f := range checkoutTemplate(t).Functions(t) {
		if group := template.At(f, "LoggingConfig", "LogGroup", "Ref"); group != title(name)+"Logs" {
			t.Errorf("%s: expected the log group %sLogs, got %v", name, title(name), group)
		}
	}
}

func TestLogGroupsHaveRetention(t *testing.T) {
	addresses := map[string]bool{"ApiLogs": true, "ProductsLogs": true, "HoldsLogs": true, "OrdersLogs": true, "WebhookLogs": true}
	for id, g := range checkoutTemplate(t).OfType(t, "AWS::Logs::LogGroup") {
		want := "LogRetentionDays"
		if addresses[id] {
			want = "AccessLogDays"
		}
		if template.At(g, "Properties", "RetentionInDays", "Ref") != want {
			t.Errorf("%s: expected the retention %s, got %v", id, want, template.At(g, "Properties", "RetentionInDays"))
		}
	}
}

// The cache's user may run the commands of pkg/stockview on its keys, and no others.
func TestCacheUserMayRunOnlyUsedCommands(t *testing.T) {
	want := map[string]bool{"eval": true, "evalsha": true, "hello": true, "auth": true} // sent by the client library
	for _, pattern := range []string{"../../pkg/stockview/*.go", "../../pkg/stockview/*.lua"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			for _, found := range regexp.MustCompile(`redis\.p?call\('(\w+)'|\.B\(\)\.(\w+)\(\)`).FindAllStringSubmatch(source(t, path), -1) {
				want[strings.ToLower(found[1]+found[2])] = true
			}
		}
	}
	got := map[string]bool{}
	fields := strings.Fields(checkoutTemplate(t).At("Resources", "CacheUser", "Properties", "AccessString").(string))
	if d := cmp.Diff([]string{"on", "~flashsale:*", "-@all"}, fields[:3]); d != "" {
		t.Error(d)
	}
	for _, field := range fields[3:] {
		got[strings.TrimPrefix(field, "+")] = true
	}
	if d := cmp.Diff(template.Keys(want), template.Keys(got)); d != "" {
		t.Errorf("used (-) and allowed (+) commands differ:\n%s", d)
	}
}

func TestParametersAreDescribedAndUsed(t *testing.T) {
	for path, needDefault := range map[string]bool{checkoutPath: true, monitoringPath: false, edgePath: false, instancesPath: false} {
		whole := template.Read(t, path)
		written := source(t, path)
		for name, p := range whole.At("Parameters").(object) {
			if template.At(p, "Default") == nil && needDefault || template.At(p, "Description") == nil {
				t.Errorf("%s: %s has no default or no description", path, name)
			}
			if !regexp.MustCompile(`!Ref ` + name + `\b|\$\{` + name + `\}`).MatchString(written) {
				t.Errorf("%s: %s is used nowhere", path, name)
			}
		}
	}
}

// cmd/flashsale finds the parts of a stack by its outputs.
func TestOutputsOfCommandExist(t *testing.T) {
	outputs := checkoutTemplate(t).At("Outputs").(object)
	used := regexp.MustCompile(`\boutput\w+\s*=\s*"(\w+)"`).FindAllStringSubmatch(source(t, "../../cmd/flashsale/stack.go"), -1)
	if len(used) == 0 {
		t.Error("found no output in cmd/flashsale/stack.go")
	}
	for _, found := range used {
		if outputs[found[1]] == nil {
			t.Errorf("cmd/flashsale/stack.go needs the output %s", found[1])
		}
	}
	for name, o := range outputs {
		if template.At(o, "Description") == nil || strings.Contains(text(template.At(o, "Value")), "resolve:") {
			t.Errorf("output %s has no description, or contains a secret", name)
		}
	}
}

func TestNamedFilesExist(t *testing.T) {
	for _, path := range []string{checkoutPath, monitoringPath, edgePath, instancesPath, "../../samconfig.toml"} {
		for _, file := range regexp.MustCompile(`\b(?:docs|pkg|cmd|tools|test|functions|deploy)/[\w./-]*\w`).FindAllString(source(t, path), -1) {
			if _, err := os.Stat(filepath.Join("../..", file)); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

// section returns the settings of samconfig.toml for one command in one environment.
func section(t testing.TB, name string) string {
	t.Helper()
	_, after, found := strings.Cut(source(t, "../../samconfig.toml"), "\n["+name+"]\n")
	if !found {
		t.Errorf("samconfig.toml has no section %s", name)
	}
	body, _, _ := strings.Cut(after, "\n[")
	return "\n" + body + "\n"
}

func TestSamConfigDeploysEveryEnvironment(t *testing.T) {
	for environment, stack := range map[string]string{"default": "flashsale-dev", "dev": "flashsale-dev", "prod": "flashsale-prod"} {
		if !strings.Contains(section(t, environment+".global.parameters"), "\nlanguage_extensions = true\n") {
			t.Errorf("%s: sam build would fail on Fn::ForEach", environment)
		}
		deploy := section(t, environment+".deploy.parameters")
		for _, line := range []string{`stack_name = "` + stack + `"`, "resolve_s3 = true", `capabilities = "CAPABILITY_IAM CAPABILITY_AUTO_EXPAND"`} {
			if !strings.Contains(deploy, "\n"+line+"\n") {
				t.Errorf("%s.deploy.parameters has no line %s", environment, line)
			}
		}
		overrides := regexp.MustCompile(`parameter_overrides = "(.*)"`).FindStringSubmatch(deploy)
		if overrides == nil {
			continue
		}
		for _, override := range strings.Fields(overrides[1]) {
			name, value, _ := strings.Cut(override, "=")
			p := checkoutTemplate(t).At("Parameters", name)
			if p == nil {
				t.Errorf("%s sets %s, which is no parameter", environment, name)
			}
			if pattern, ok := template.At(p, "AllowedPattern").(string); ok && !regexp.MustCompile(pattern).MatchString(value) {
				t.Errorf("%s sets %s to %s, which %s does not match", environment, name, value, pattern)
			}
		}
	}
}

// SAM's build cache compares a function's folder only, and would miss changes in pkg/.
func TestSamConfigDoesNotCacheBuilds(t *testing.T) {
	if strings.Contains(source(t, "../../samconfig.toml"), "cached") {
		t.Error("samconfig.toml builds from a cache")
	}
}
