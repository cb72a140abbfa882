package deploy

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// SAM publishes no version when only a parameter has changed; a description that names its value makes it do so.
func TestTemplateVersionsFollowParameters(t *testing.T) {
	var values []string
	for _, value := range global(t, "Environment", "Variables").(object) {
		if v, ok := value.(object); ok {
			if name, ok := v["Ref"].(string); ok && at(readTemplate(t), "Parameters", name) != nil {
				values = append(values, "${"+name+"}")
			}
			if name, ok := v["Fn::GetAtt"].(string); ok {
				values = append(values, "${"+name+"}")
			}
			if text, ok := v["Fn::Sub"].(string); ok {
				first, _, _ := strings.Cut(text, ":")
				values = append(values, first)
			}
		}
	}
	if len(values) < 5 {
		t.Errorf("only %v", values)
	}
	for name, f := range templateFunctions(t) {
		if f["AutoPublishAliasAllProperties"] != true {
			t.Errorf("%s: a changed setting makes no version", name)
		}
		for _, value := range values {
			description, _ := at(f, "VersionDescription", "Fn::Sub").(string)
			if name != "admin" && !strings.Contains(description, value) { // admin is called by its name, not its alias
				t.Errorf("%s: a changed %s makes no version", name, value)
			}
		}
	}
}

// New code never meets an old schema, and the proxy's user is there before the proxy looks for it.
func TestTemplateSchemaComesFirst(t *testing.T) {
	resources := at(readTemplate(t), "Resources").(object)
	for name := range templateFunctions(t) {
		after, _ := at(resources, title(name)+"Function", "DependsOn").([]any)
		for _, first := range []any{"Schema", "DbProxyTarget"} {
			if name != "admin" && !slices.Contains(after, first) {
				t.Errorf("%s does not come after %v", name, first)
			}
		}
	}
	if after, _ := at(resources, "DbProxyTarget", "DependsOn").([]any); !slices.Contains(after, any("Schema")) {
		t.Errorf("the proxy's target comes after %v", after)
	}
	if v := at(resources, "Schema", "Properties", "AdminVersion", "Ref"); v != "AdminFunction.Version" {
		t.Errorf("the schema changes with %v", v)
	}
}

// limit reads a constant such as 2 * time.Second from a source file.
func limit(t testing.TB, path, name string) time.Duration {
	t.Helper()
	source := must(os.ReadFile(path))(t)
	found := regexp.MustCompile(`(?m)^(?:const|\t)\s*` + name + `\s*=\s*(\d+)\s*\*\s*time\.Second\b`).FindSubmatch(source)
	if found == nil {
		t.Fatalf("%s has no constant %s in seconds", path, name)
	}
	return time.Duration(must(strconv.Atoi(string(found[1])))(t)) * time.Second
}

// seconds reads a number of the template.
func seconds(t testing.TB, value any) time.Duration {
	t.Helper()
	return time.Duration(must(strconv.Atoi(fmt.Sprint(value)))(t)) * time.Second
}

// Whoever waits has more patience than what is waited for.
func TestTemplateTimeouts(t *testing.T) {
	resources := at(readTemplate(t), "Resources").(object)
	const ledger = "../../pkg/ledger/ledger.go"
	lockWait := seconds(t, at(resources, "DbInstanceParameters", "Properties", "Parameters", "innodb_lock_wait_timeout"))
	if code := limit(t, ledger, "lockWait"); code != lockWait {
		t.Errorf("the database waits %s for a lock, the code expects %s", lockWait, code)
	}
	borrow := seconds(t, at(resources, "DbProxyTarget", "Properties", "ConnectionPoolConfigurationInfo", "ConnectionBorrowTimeout"))
	type wait struct {
		what string
		time time.Duration
	}
	ordered := func(waits ...wait) {
		t.Helper()
		for i, w := range waits[1:] {
			if waits[i].time >= w.time {
				t.Errorf("%s (%s) is not below %s (%s)", waits[i].what, waits[i].time, w.what, w.time)
			}
		}
	}
	driver := wait{"the driver's patience", limit(t, ledger, "readTimeout")}
	ordered(wait{"two lock waits", 2 * lockWait}, driver)
	ordered(wait{"a connection of the proxy and a lock", borrow + lockWait}, driver)
	ordered(wait{"dialling", limit(t, ledger, "dialTimeout")}, driver)
	for name, f := range templateFunctions(t) {
		function := wait{"function " + name, seconds(t, cmpOr(f["Timeout"], global(t, "Timeout")))}
		events, _ := f["Events"].(object)
		for id, e := range events {
			if at(e, "Type") != "HttpApi" {
				continue
			}
			integration := time.Duration(at(e, "Properties", "TimeoutInMillis").(int)) * time.Millisecond
			ordered(driver, wait{"a ledger call", limit(t, ledger, "callBudget")}, wait{"a request", limit(t, "../../pkg/api/middleware.go", "requestTimeout")},
				function, wait{"integration " + id, integration}, wait{"API Gateway's patience", 29 * time.Second})
		}
	}
	functions := templateFunctions(t)
	ordered(wait{"what the sweeper leaves", limit(t, "../../pkg/lambdaserver/sweeper.go", "sweepReserve")},
		wait{"expire", seconds(t, functions["expire"]["Timeout"])}, wait{"its schedule", time.Minute})
	ordered(wait{"admin", seconds(t, functions["admin"]["Timeout"])},
		wait{"CloudFormation", seconds(t, at(resources, "Schema", "Properties", "ServiceTimeout"))})
}

// legal is what EventBridge Scheduler takes: one of anything is singular.
var legal = regexp.MustCompile(`^(rate\((1 (minute|hour|day)|([2-9]|[1-9]\d+) (minutes|hours|days))\)|cron\(\S+( \S+){5}\)|at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\))$`)

func TestTemplateSchedules(t *testing.T) {
	schedules := 0
	for name, f := range templateFunctions(t) {
		events, _ := f["Events"].(object)
		for id, e := range events {
			expression, ok := at(e, "Properties", "ScheduleExpression").(string)
			if !ok {
				continue
			}
			schedules++
			if !legal.MatchString(expression) {
				t.Errorf("%s of %s: %s", id, name, expression)
			}
			if at(e, "Properties", "OmitName") != true {
				t.Errorf("%s of %s: two stacks would want the same name", id, name)
			}
			if at(e, "Properties", "DeadLetterConfig", "Arn") == nil || at(e, "Properties", "RoleArn") == nil {
				t.Errorf("%s of %s has no dead-letter queue or role of its own", id, name)
			}
		}
	}
	if schedules != 1 {
		t.Errorf("%d schedules", schedules)
	}
}
