package deploy

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"flashsale/internal/template"
)

// SAM publishes no new version when only a parameter has changed, unless the version's description contains its value.
func TestChangedParametersMakeNewVersions(t *testing.T) {
	checkout := checkoutTemplate(t)
	common := sources(checkout, checkout.Global("Environment", "Variables"))
	if len(common) < 6 {
		t.Errorf("expected at least 6 variables with a parameter or a resource, found %v", common)
	}
	for name, f := range checkout.Functions(t) {
		if f["AutoPublishAliasAllProperties"] != true {
			t.Errorf("%s: a changed setting makes no version", name)
		}
		for _, value := range append(sources(checkout, template.At(f, "Environment", "Variables")), common...) {
			description, _ := template.At(f, "VersionDescription", "Fn::Sub").(string)
			if name != "admin" && !strings.Contains(description, value) { // admin is invoked by its name, not its alias
				t.Errorf("%s: a changed %s makes no version", name, value)
			}
		}
	}
}

// sources lists the parameters and named resources that the values of variables come from, as VersionDescription writes them.
// The proxy and the cache get another endpoint with another name only. Secrets keep their names when they change.
func sources(checkout template.Template, variables any) (found []string) {
	values, _ := variables.(object)
	for _, value := range values {
		name, _ := template.At(value, "Ref").(string)
		attribute, _ := template.At(value, "Fn::GetAtt").(string)
		text, _ := template.At(value, "Fn::Sub").(string)
		switch {
		case name == "EdgeSecret":
			found = append(found, "${EdgeSecretVersion}")
		case checkout.At("Parameters", name) != nil:
			found = append(found, "${"+name+"}")
		case attribute != "":
			resource, _, _ := strings.Cut(attribute, ".")
			found = append(found, "${"+resource+"}")
		case text != "":
			resource, _, _ := strings.Cut(text, ".")
			found = append(found, resource+"}")
		}
	}
	return found
}

// Lambda takes 256 characters, and shows them to everybody who may list versions.
func TestVersionDescriptionsFitAndHaveNoSecret(t *testing.T) {
	checkout := checkoutTemplate(t)
	const vpc = len("vpc-0123456789abcdef0")
	longest := map[string]int{
		"HoldTtl": len("9999s"), "PaymentWindow": len("9999s"), "OrderLimit": len("9999s"), "Retention": len("79999h"), "EdgeSecretVersion": 10,
		"StripeAccount": len("acct_1032D82eZvKYlo2C"), "DbProxy": len("flashsale-") + vpc, "Cache": len("flashsale-") + vpc,
		"HoldsConcurrency": len("64"), "HoldsProcesses": len("100"),
	}
	for name, f := range checkout.OfType(t, "AWS::Serverless::Function") {
		length := 0
		description, _ := template.At(f, "Properties", "VersionDescription", "Fn::Sub").(string)
		for _, part := range regexp.MustCompile(`\$\{(\w+)\}|[^$]`).FindAllStringSubmatch(description, -1) {
			parameter := checkout.At("Parameters", part[1])
			n, most := longest[part[1]], template.At(parameter, "MaxLength")
			for _, allowed := range list(template.At(parameter, "AllowedValues")) {
				n = max(n, len(fmt.Sprint(allowed)))
			}
			switch {
			case part[1] == "":
				n = len(part[0])
			case template.At(parameter, "NoEcho") != nil:
				t.Errorf("%s: everybody can read the secret %s", name, part[1])
			case most != nil:
				n = most.(int)
			case n == 0:
				t.Errorf("%s: the length of %s is not known", name, part[1])
			}
			length += n
		}
		if length > 256 {
			t.Errorf("%s: the description can have %d characters, expected at most 256", name, length)
		}
	}
}

func dependencies(t testing.TB, resource string) []string {
	t.Helper()
	var names []string
	for _, name := range list(checkoutTemplate(t).At("Resources", resource, "DependsOn")) {
		names = append(names, fmt.Sprint(name))
	}
	return names
}

// New code never runs on an old schema, and the proxy's users exist before the proxy signs in.
func TestSchemaIsMigratedBeforeFunctionsChange(t *testing.T) {
	checkout := checkoutTemplate(t)
	for name := range checkout.Functions(t) {
		after := dependencies(t, title(name)+"Function")
		for _, first := range []string{"Schema", "DbProxyTarget"} {
			if name != "admin" && !slices.Contains(after, first) {
				t.Errorf("%s is not deployed after %s", name, first)
			}
		}
	}
	if after := dependencies(t, "DbProxyTarget"); !slices.Contains(after, "Schema") {
		t.Errorf("expected the proxy's target after the schema, it depends on %v", after)
	}
	if v := checkout.At("Resources", "Schema", "Properties", "AdminVersion", "Ref"); v != "AdminFunction.Version" {
		t.Errorf("expected the schema to change with the admin function, got %v", v)
	}
}

// A policy outside of the role has to exist before the function that uses it.
func TestFunctionsComeAfterTheirPermissions(t *testing.T) {
	checkout := checkoutTemplate(t)
	attached := 0
	for _, kind := range []string{"AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy"} {
		for id, policy := range checkout.OfType(t, kind) {
			properties := policy["Properties"].(object)
			roles, _ := properties["Roles"].([]any)
			if name := properties["RoleName"]; name != nil {
				roles = append(roles, name)
			}
			for _, role := range roles {
				name := strings.TrimPrefix(text(role), "Ref ")
				user := strings.Replace(name, "Identity", "Function", 1)
				if name == "DbProxyRole" {
					user = "DbProxyTarget"
				} else if user == name { // a role of the previous release, whose functions exist already
					continue
				}
				attached++
				if !slices.Contains(dependencies(t, user), id) {
					t.Errorf("%s is not deployed after its policy %s", user, id)
				}
			}
		}
	}
	if attached != 9 {
		t.Errorf("expected 9 attached policies, found %d", attached)
	}
}

// Without these, the custom resource cannot respond, and the stack hangs.
func TestSchemaCanRespondToCloudFormation(t *testing.T) {
	needs := dependencies(t, "AdminFunction")
	for _, name := range []string{"RouteA", "RouteB", "S3Endpoint", "SecretsEndpoint", "AdminToDatabase", "SecretsClientToEndpoint", "AdminReadsSecret"} {
		if !slices.Contains(needs, name) {
			t.Errorf("the admin function may be invoked before %s exists", name)
		}
	}
}

// Before the schedule exists, an alarm for missing sweeps would fire.
func TestMonitoringComesAfterSchedule(t *testing.T) {
	if after := dependencies(t, "Monitoring"); !slices.Contains(after, "ExpireFunctionEveryMinute") {
		t.Errorf("expected monitoring after the schedule, it depends on %v", after)
	}
}

// Each timeout is longer than the one inside it, so that the outer one can report the inner one.
func TestTimeoutsAreNested(t *testing.T) {
	checkout := checkoutTemplate(t)
	resources := checkout.At("Resources").(object)
	const ledger = "../../pkg/ledger/ledger.go"
	lockWait := seconds(t, template.At(resources, "DbInstanceParameters", "Properties", "Parameters", "innodb_lock_wait_timeout"))
	if code := limit(t, ledger, "lockWait"); code != lockWait {
		t.Errorf("the database waits %s for a lock, the code expects %s", lockWait, code)
	}
	borrow := seconds(t, template.At(resources, "DbProxyTarget", "Properties", "ConnectionPoolConfigurationInfo", "ConnectionBorrowTimeout"))
	type wait struct {
		name string
		time time.Duration
	}
	nested := func(waits ...wait) {
		t.Helper()
		for i, w := range waits[1:] {
			if waits[i].time >= w.time {
				t.Errorf("expected %s (%s) below %s (%s)", waits[i].name, waits[i].time, w.name, w.time)
			}
		}
	}
	driver := wait{"the driver's read timeout", limit(t, ledger, "readTimeout")}
	nested(wait{"two lock waits", 2 * lockWait}, driver)
	nested(wait{"borrowing a connection plus a lock wait", borrow + lockWait}, driver)
	nested(wait{"dialling", limit(t, ledger, "dialTimeout")}, driver)
	functions := checkout.Functions(t)
	for name, f := range functions {
		function := wait{"function " + name, seconds(t, setting(t, f, "Timeout"))}
		events, _ := f["Events"].(object)
		for id, e := range events {
			if template.At(e, "Type") != "HttpApi" {
				continue
			}
			integration := time.Duration(template.At(e, "Properties", "TimeoutInMillis").(int)) * time.Millisecond
			nested(driver, wait{"a ledger call", limit(t, ledger, "callBudget")}, wait{"a request", limit(t, "../../pkg/api/middleware.go", "requestTimeout")},
				function, wait{"integration " + id, integration}, wait{"API Gateway's limit", 29 * time.Second})
		}
	}
	nested(wait{"the sweeper's reserve", limit(t, "../../pkg/lambdaserver/schedule.go", "jobReserve")},
		wait{"expire", seconds(t, functions["expire"]["Timeout"])}, wait{"its schedule", time.Minute})
	nested(wait{"admin", seconds(t, functions["admin"]["Timeout"])},
		wait{"CloudFormation", seconds(t, template.At(resources, "Schema", "Properties", "ServiceTimeout"))})
}

// scheduleExpression is the syntax of EventBridge Scheduler, which requires the singular for 1.
var scheduleExpression = regexp.MustCompile(`^(rate\((1 (minute|hour|day)|([2-9]|[1-9]\d+) (minutes|hours|days))\)|cron\(\S+( \S+){5}\)|at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\))$`)

func TestScheduleIsValidAndHasDeadLetterQueue(t *testing.T) {
	schedules := 0
	for name, f := range checkoutTemplate(t).Functions(t) {
		events, _ := f["Events"].(object)
		for id, e := range events {
			expression, ok := template.At(e, "Properties", "ScheduleExpression").(string)
			if !ok {
				continue
			}
			schedules++
			if !scheduleExpression.MatchString(expression) {
				t.Errorf("%s of %s: EventBridge does not accept %s", id, name, expression)
			}
			if template.At(e, "Properties", "OmitName") != true {
				t.Errorf("%s of %s: two stacks would need the same name", id, name)
			}
			if template.At(e, "Properties", "DeadLetterConfig", "Arn") == nil || template.At(e, "Properties", "RoleArn") == nil {
				t.Errorf("%s of %s has no dead-letter queue or no role of its own", id, name)
			}
		}
	}
	if schedules != 2 {
		t.Errorf("expected the sweep and the full audit, found %d schedules", schedules)
	}
}

// The admin function contains the roots of the authority that signs the cluster's certificate.
func TestAdminTrustsClusterAuthority(t *testing.T) {
	for _, instance := range []string{"DbWriter", "DbReader"} {
		authority := fmt.Sprint(checkoutTemplate(t).At("Resources", instance, "Properties", "CACertificateIdentifier"))
		if _, err := os.Stat("../../pkg/awsauth/" + authority + ".pem"); err != nil {
			t.Errorf("%s: %v", instance, err)
		}
	}
}
