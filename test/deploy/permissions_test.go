package deploy

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"flashsale/internal/template"
)

// grant is one action on one resource, such as "Fn::GetAtt Cache.ARN".
type grant struct{ action, resource string }

// grants lists what a policy allows.
func grants(t testing.TB, checkout template.Template, document any) (found []grant) {
	t.Helper()
	for _, s := range template.At(document, "Statement").([]any) {
		if template.At(s, "Effect") != "Allow" {
			t.Errorf("expected Allow only, got %v", template.At(s, "Effect"))
		}
		for _, a := range list(template.At(s, "Action")) {
			for _, r := range list(template.At(s, "Resource")) {
				found = append(found, grant{a.(string), resource(checkout, r)})
			}
		}
	}
	return found
}

// resource is text, with the variables of Fn::Sub that a mapping decides.
func resource(checkout template.Template, value any) string {
	line := text(value)
	parts, _ := template.At(value, "Fn::Sub").([]any)
	if len(parts) < 2 {
		return line
	}
	for name, variable := range parts[1].(object) {
		if known, ok := checkout.Resolve(variable, nil).(string); ok {
			line = strings.ReplaceAll(line, "${"+name+"}", known)
		}
	}
	return line
}

const (
	atProxy    = "Fn::Sub arn:${AWS::Partition}:rds-db:${AWS::Region}:${AWS::AccountId}:dbuser:${ProxyId}/"
	atCluster  = "Fn::Sub arn:${AWS::Partition}:rds-db:${AWS::Region}:${AWS::AccountId}:dbuser:${Db.DBClusterResourceId}/"
	deadLetter = "Fn::GetAtt DeadLetters.Arn"
)

// needs lists the permissions that a function's settings require.
func needs(t testing.TB, name string, f object) []grant {
	t.Helper()
	logs := "Fn::GetAtt " + title(name) + "Logs.Arn"
	want := []grant{{"logs:CreateLogStream", logs}, {"logs:PutLogEvents", logs}}
	env := maps.Clone(checkoutTemplate(t).Global("Environment", "Variables").(object))
	own, _ := template.At(f, "Environment", "Variables").(object)
	maps.Copy(env, own)
	for variable, value := range env {
		if strings.HasSuffix(variable, "_SECRET_ARN") {
			want = append(want, grant{"secretsmanager:GetSecretValue", text(value)})
		}
	}
	if env["DB_HOST"] != nil {
		want = append(want, grant{"rds-db:connect", atProxy + text(env["DB_USER"])})
	}
	if env["CACHE_USER"] != nil && name != "admin" { // admin serves no shopper
		want = append(want, grant{"elasticache:Connect", "Fn::GetAtt Cache.ARN"}, grant{"elasticache:Connect", "Fn::GetAtt CacheUser.Arn"})
	}
	if to := template.At(f, "EventInvokeConfig", "DestinationConfig", "OnFailure", "Destination"); to != nil {
		want = append(want, grant{"sqs:SendMessage", text(to)})
	}
	return want
}

// allowed collects the grants of every role from its own policies, the policies it names, and those that name it. RunInVpc
// is left out: the Lambda service uses it, and the functions' code is denied it.
func allowed(t testing.TB, checkout template.Template) map[string][]grant {
	t.Helper()
	got := map[string][]grant{}
	managed := checkout.OfType(t, "AWS::IAM::ManagedPolicy")
	for id, role := range checkout.OfType(t, "AWS::IAM::Role") {
		policies, _ := template.At(role, "Properties", "Policies").([]any)
		for _, p := range policies {
			got[id] = append(got[id], grants(t, checkout, template.At(p, "PolicyDocument"))...)
		}
		arns, _ := template.At(role, "Properties", "ManagedPolicyArns").([]any)
		for _, arn := range arns {
			if name := template.At(arn, "Ref").(string); name != "RunInVpc" {
				got[id] = append(got[id], grants(t, checkout, template.At(managed[name], "Properties", "PolicyDocument"))...)
			}
		}
	}
	for _, policy := range slices.Concat(slices.Collect(maps.Values(managed)), slices.Collect(maps.Values(checkout.OfType(t, "AWS::IAM::RolePolicy")))) {
		roles, _ := template.At(policy, "Properties", "Roles").([]any)
		if name := template.At(policy, "Properties", "RoleName"); name != nil {
			roles = append(roles, name)
		}
		for _, role := range roles {
			id := template.At(role, "Ref").(string)
			got[id] = append(got[id], grants(t, checkout, template.At(policy, "Properties", "PolicyDocument"))...)
		}
	}
	for _, role := range got {
		slices.SortFunc(role, compareGrants)
	}
	return got
}

func compareGrants(a, b grant) int { return strings.Compare(a.action+a.resource, b.action+b.resource) }

func TestRolesAllowExactlyWhatTheirOwnersUse(t *testing.T) {
	checkout := checkoutTemplate(t)
	want := map[string][]grant{
		"ScheduleRole":      {{"lambda:InvokeFunction", "Fn::Sub ${ExpireFunction.Arn}:live"}, {"sqs:SendMessage", deadLetter}},
		"AuditScheduleRole": {{"lambda:InvokeFunction", "Fn::Sub ${AdminFunction.Arn}:live"}, {"sqs:SendMessage", deadLetter}},
		"DbProxyRole":       {{"rds-db:connect", atCluster + "flashsale_app"}},
	}
	for name, f := range checkout.Functions(t) {
		own := needs(t, name, f)
		want[title(name)+"Identity"] = own
		previous := slices.Clone(own) // the role of the previous release, whose functions share a user
		for i, g := range own {
			if g.action == "rds-db:connect" {
				previous[i].resource = atProxy + "flashsale_app"
				want["DbProxyRole"] = append(want["DbProxyRole"], grant{g.action, strings.Replace(g.resource, atProxy, atCluster, 1)})
			}
		}
		want[title(name)+"Role"] = previous
	}
	for _, role := range want {
		slices.SortFunc(role, compareGrants)
	}
	if d := cmp.Diff(want, allowed(t, checkout), cmp.AllowUnexported(grant{})); d != "" {
		t.Errorf("used (-) and allowed (+) differ:\n%s", d)
	}
}

func TestEveryFunctionHasItsOwnRole(t *testing.T) {
	checkout := checkoutTemplate(t)
	service := map[string]string{"ScheduleRole": "scheduler.amazonaws.com", "AuditScheduleRole": "scheduler.amazonaws.com", "DbProxyRole": "rds.amazonaws.com"}
	for name, f := range checkout.Functions(t) {
		role := title(name) + "Identity"
		service[role] = "lambda.amazonaws.com"
		service[title(name)+"Role"] = "lambda.amazonaws.com" // of the previous release
		if text(f["Role"]) != "Fn::GetAtt "+role+".Arn" || f["Policies"] != nil {
			t.Errorf("%s: expected the role %s and no policies of its own, got %v, %v", name, role, f["Role"], f["Policies"])
		}
	}
	roles := checkout.OfType(t, "AWS::IAM::Role")
	if d := cmp.Diff(template.Keys(service), template.Keys(roles)); d != "" {
		t.Fatalf("expected (-) and defined (+) roles differ:\n%s", d)
	}
	for id, role := range roles {
		trust := template.At(role, "Properties", "AssumeRolePolicyDocument", "Statement").([]any)
		if len(trust) != 1 || template.At(trust[0], "Principal", "Service") != service[id] {
			t.Errorf("%s: expected only %s to assume it, got %v", id, service[id], trust)
		}
		arns, _ := template.At(role, "Properties", "ManagedPolicyArns").([]any)
		if got := slices.ContainsFunc(arns, func(a any) bool { return template.At(a, "Ref") == "RunInVpc" }); got != (service[id] == "lambda.amazonaws.com") {
			t.Errorf("%s has RunInVpc: %v", id, got)
		}
	}
}

// RunInVpc is for the Lambda service. It denies the functions' own code what it allows the service.
func TestFunctionCodeCannotUseNetworkPermissions(t *testing.T) {
	statements := template.At(checkoutTemplate(t).OfType(t, "AWS::IAM::ManagedPolicy")["RunInVpc"], "Properties", "PolicyDocument", "Statement").([]any)
	actions := map[string][]any{}
	for _, s := range statements {
		actions[template.At(s, "Sid").(string)] = list(template.At(s, "Action"))
	}
	if d := cmp.Diff([]string{"AttachToVpc", "NotFromInside", "Trace"}, template.Keys(actions)); d != "" {
		t.Fatal(d)
	}
	for _, a := range actions["AttachToVpc"] {
		if !strings.HasPrefix(a.(string), "ec2:") || !strings.Contains(a.(string), "NetworkInterface") && !strings.Contains(a.(string), "PrivateIpAddresses") && a != "ec2:DescribeSubnets" {
			t.Errorf("attaching to a VPC does not need %v", a)
		}
	}
	if d := cmp.Diff(actions["AttachToVpc"], actions["NotFromInside"]); d != "" {
		t.Errorf("allowed to Lambda (-) and denied to the code (+) differ:\n%s", d)
	}
	if d := cmp.Diff([]any{"xray:PutTraceSegments", "xray:PutTelemetryRecords"}, actions["Trace"]); d != "" {
		t.Error(d)
	}
}

// rules.guard limits wildcards. The reason for each wildcard is in a comment beside it, and only this test can see
// comments.
func TestWildcardsAreExplained(t *testing.T) {
	found := 0
	var walk func(n *yaml.Node, explained bool, in string)
	walk = func(n *yaml.Node, explained bool, in string) {
		explained = explained || n.LineComment != "" || n.HeadComment != ""
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i < len(n.Content); i += 2 {
				key, value := n.Content[i], n.Content[i+1]
				switch key.Value {
				case "Action", "NotAction", "Resource", "NotResource", "Principal":
					walk(value, key.LineComment != "" || key.HeadComment != "", key.Value)
				default: // a comment above a whole statement explains no wildcard in it
					walk(value, in != "" && explained, in)
				}
			}
		case yaml.ScalarNode:
			if in != "" && strings.Contains(n.Value, "*") {
				found++
				if !explained {
					t.Errorf("line %d: %s %q without a comment", n.Line, in, n.Value)
				}
			}
		default:
			for _, item := range n.Content {
				walk(item, in != "" && explained, in)
			}
		}
	}
	walk(checkoutTemplate(t).Node, false, "")
	if found != 6 {
		t.Errorf("expected 6 wildcards, found %d", found)
	}
}
