package deploy

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// grant is one action on one resource.
type grant struct {
	action   string
	resource string // as text, such as "Fn::GetAtt Cache.ARN"
}

// grants are what the statements of a policy allow.
func grants(t testing.TB, document any) (found []grant) {
	t.Helper()
	for _, s := range at(document, "Statement").([]any) {
		if at(s, "Effect") != "Allow" {
			t.Errorf("a role with %v", at(s, "Effect"))
		}
		for _, a := range list(at(s, "Action")) {
			for _, r := range list(at(s, "Resource")) {
				found = append(found, grant{a.(string), text(r)})
			}
		}
	}
	return found
}

// list is a value that may stand alone.
func list(value any) []any {
	if l, ok := value.([]any); ok {
		return l
	}
	return []any{value}
}

// text writes a value of the template on one line.
func text(value any) string {
	o, ok := value.(object)
	if !ok || len(o) != 1 {
		s, _ := value.(string)
		return s
	}
	for name, inner := range o {
		if l, ok := inner.([]any); ok { // !Sub with variables
			inner = l[0]
		}
		return name + " " + text(inner)
	}
	return ""
}

const (
	asApp      = "Fn::Sub arn:${AWS::Partition}:rds-db:${AWS::Region}:${AWS::AccountId}:dbuser:${ProxyId}/flashsale_app"
	deadLetter = "Fn::GetAtt DeadLetters.Arn"
)

// uses is what a function needs permission for, by what the template gives it.
func uses(t testing.TB, name string, f object) []grant {
	t.Helper()
	logs := "Fn::GetAtt " + title(name) + "Logs.Arn"
	want := []grant{{"logs:CreateLogStream", logs}, {"logs:PutLogEvents", logs}}
	env := object{}
	for _, variables := range []any{global(t, "Environment", "Variables"), at(f, "Environment", "Variables")} {
		o, _ := variables.(object)
		for variable, value := range o {
			env[variable] = value
			if strings.HasSuffix(variable, "_SECRET_ARN") {
				want = append(want, grant{"secretsmanager:GetSecretValue", text(value)})
			}
		}
	}
	if env["DB_HOST"] != nil {
		want = append(want, grant{"rds-db:connect", asApp})
	}
	if env["CACHE_USER"] != nil && name != "admin" { // which sells nothing
		want = append(want, grant{"elasticache:Connect", "Fn::GetAtt Cache.ARN"}, grant{"elasticache:Connect", "Fn::GetAtt CacheUser.Arn"})
	}
	if to := at(f, "EventInvokeConfig", "DestinationConfig", "OnFailure", "Destination"); to != nil {
		want = append(want, grant{"sqs:SendMessage", text(to)})
	}
	return want
}

// Every role says exactly what its owner uses, in policies of its own, and every function has its own role.
func TestTemplatePolicies(t *testing.T) {
	want := map[string][]grant{
		"ScheduleRole": {{"lambda:InvokeFunction", "Fn::Sub ${ExpireFunction.Arn}:live"}, {"sqs:SendMessage", deadLetter}},
		"DbProxyRole":  {{"rds-db:connect", "Fn::Sub arn:${AWS::Partition}:rds-db:${AWS::Region}:${AWS::AccountId}:dbuser:${Db.DBClusterResourceId}/flashsale_app"}},
	}
	service := map[string]string{"ScheduleRole": "scheduler.amazonaws.com", "DbProxyRole": "rds.amazonaws.com"}
	for name, f := range templateFunctions(t) {
		role := title(name) + "Role"
		if text(f["Role"]) != "Fn::GetAtt "+role+".Arn" {
			t.Errorf("%s runs as %v", name, f["Role"])
		}
		if f["Policies"] != nil {
			t.Errorf("%s: its policies belong to its role", name)
		}
		want[role], service[role] = uses(t, name, f), "lambda.amazonaws.com"
	}
	roles := ofType(t, "AWS::IAM::Role")
	if d := cmp.Diff(keys(want), keys(roles)); d != "" {
		t.Fatalf("wanted (-) and made (+):\n%s", d)
	}
	for id, role := range roles {
		var got []grant
		for _, p := range at(role, "Properties", "Policies").([]any) {
			got = append(got, grants(t, at(p, "PolicyDocument"))...)
		}
		order := func(a, b grant) int { return strings.Compare(a.action+a.resource, b.action+b.resource) }
		slices.SortFunc(got, order)
		slices.SortFunc(want[id], order)
		if d := cmp.Diff(want[id], got, cmp.AllowUnexported(grant{})); d != "" {
			t.Errorf("%s: used (-) and allowed (+):\n%s", id, d)
		}
		managed, _ := at(role, "Properties", "ManagedPolicyArns").([]any)
		if isFunction := service[id] == "lambda.amazonaws.com"; isFunction && !cmp.Equal(managed, []any{object{"Ref": "RunInVpc"}}) || !isFunction && managed != nil {
			t.Errorf("%s has %v", id, managed)
		}
		trust := at(role, "Properties", "AssumeRolePolicyDocument", "Statement").([]any)
		if len(trust) != 1 || at(trust[0], "Principal", "Service") != service[id] {
			t.Errorf("%s may be assumed by %v", id, trust)
		}
	}
}

// What all functions share is what Lambda itself does with a role, and the functions' code may not do it.
func TestTemplateSharedPolicy(t *testing.T) {
	statements := at(ofType(t, "AWS::IAM::ManagedPolicy")["RunInVpc"], "Properties", "PolicyDocument", "Statement").([]any)
	actions := map[string][]any{}
	for _, s := range statements {
		actions[at(s, "Sid").(string)] = list(at(s, "Action"))
	}
	if d := cmp.Diff([]string{"AttachToVpc", "NotFromInside", "Trace"}, keys(actions)); d != "" {
		t.Fatal(d)
	}
	for _, a := range actions["AttachToVpc"] {
		if !strings.HasPrefix(a.(string), "ec2:") || !strings.Contains(a.(string), "NetworkInterface") && !strings.Contains(a.(string), "PrivateIpAddresses") && a != "ec2:DescribeSubnets" {
			t.Errorf("%v has nothing to do with attaching to a VPC", a)
		}
	}
	if d := cmp.Diff(actions["AttachToVpc"], actions["NotFromInside"]); d != "" {
		t.Errorf("what Lambda may do and what the code may not differ:\n%s", d)
	}
	if d := cmp.Diff([]any{"xray:PutTraceSegments", "xray:PutTelemetryRecords"}, actions["Trace"]); d != "" {
		t.Error(d)
	}
}

// A star in an action, a resource or a principal stands beside a comment that says why.
func TestTemplateStarsAreExplained(t *testing.T) {
	stars := 0
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
				default: // a comment above a whole statement explains no star in it
					walk(value, in != "" && explained, in)
				}
			}
		case yaml.ScalarNode:
			if in != "" && strings.Contains(n.Value, "*") {
				stars++
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
	walk(templateNode(t), false, "")
	if stars == 0 {
		t.Error("no star found: this test looks in the wrong places")
	}
}

// Names are left to CloudFormation, or hold what no other stack has.
func TestTemplateStacksDoNotCollide(t *testing.T) {
	for id, r := range at(readTemplate(t), "Resources").(object) {
		for _, property := range []string{
			"FunctionName", "RoleName", "ManagedPolicyName", "GroupName", "QueueName", "TopicName", "AlarmName", "LogGroupName", "Name",
			"DBProxyName", "DBInstanceIdentifier", "DBSubnetGroupName", "DBParameterGroupName", "DBClusterParameterGroupName",
			"ServerlessCacheName", "UserId", "UserName", "UserGroupId", "DashboardName",
		} {
			switch value := at(r, "Properties", property).(type) {
			case string:
				t.Errorf("%s: %s is %q in every stack", id, property, value)
			case object:
				if sub := text(value); strings.HasPrefix(sub, "Fn::Sub") && !strings.Contains(sub, "${AWS::StackName}") && !strings.Contains(sub, "${Vpc}") {
					t.Errorf("%s: %s is %s", id, property, sub)
				}
			}
		}
	}
}
