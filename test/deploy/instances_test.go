package deploy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flashsale/internal/template"
)

const instancesPath = "../../deploy/instances.yaml"

// The function on Managed Instances serves the same route as HoldsFunction, so it must be the same program with the same settings.
func TestHoldsOnInstancesAreHolds(t *testing.T) {
	resources := checkoutTemplate(t).At("Resources")
	holds, instances := template.At(resources, "HoldsFunction"), template.At(resources, "HoldsInstances")
	for _, path := range []string{"DependsOn", "Metadata", "Properties.CodeUri", "Properties.Role", "Properties.LoggingConfig", "Properties.Environment", "Properties.AutoPublishAliasAllProperties"} {
		if d := cmp.Diff(follow(holds, path), follow(instances, path)); d != "" || follow(holds, path) == nil {
			t.Errorf("%s of HoldsFunction (-) and HoldsInstances (+) differ:\n%s", path, d)
		}
	}
	version := func(function any) string { return text(template.At(function, "Properties", "VersionDescription")) }
	for value := range strings.FieldsSeq(version(holds)) {
		if value != "${Cache}" && !strings.Contains(version(instances), value) { // both names are made of the VPC's id
			t.Errorf("a new %s would not reach the function on instances", value)
		}
	}
	for _, parameter := range []string{"HoldsConcurrency", "HoldsProcesses"} {
		if !strings.Contains(version(instances), "${"+parameter+"}") {
			t.Errorf("a new %s would not reach the function on instances", parameter)
		}
	}
	if d := cmp.Diff([]any{"VpcConfig"}, template.At(instances, "IgnoreGlobals")); d != "" {
		t.Errorf("only the network is the capacity provider's own; expected (-) and ignored (+) settings differ:\n%s", d)
	}
	for _, unsupported := range []string{"VpcConfig", "ProvisionedConcurrencyConfig", "ReservedConcurrentExecutions", "Events"} {
		if template.At(instances, "Properties", unsupported) != nil {
			t.Errorf("HoldsInstances has %s, which is for functions without instances", unsupported)
		}
	}
}

// Without a capacity provider, nothing of it is deployed.
func TestInstancesAreOffByDefault(t *testing.T) {
	checkout := checkoutTemplate(t)
	for provider, want := range map[string]string{"": "off", "arn:aws:lambda:eu-west-1:123456789012:capacity-provider:x": "on"} {
		parameters := map[string]string{"HoldsCapacityProvider": provider}
		if provider == "" {
			parameters = nil
		}
		if got := checkout.Resolve(object{"Fn::If": []any{"OnInstances", "on", "off"}}, parameters); got != want {
			t.Errorf("HoldsCapacityProvider %q: the instances are %v, expected %s", provider, got, want)
		}
	}
	for _, part := range []any{
		checkout.At("Resources", "HoldsInstances"), checkout.At("Resources", "HoldsInstancesPlacePermission"), checkout.At("Outputs", "HoldsInstancesArn"),
	} {
		if template.At(part, "Condition") != "OnInstances" {
			t.Errorf("expected the condition OnInstances on %v", part)
		}
	}
}

// An instance may reach the database and the cache as every function does, and send its logs and traces, and nothing else.
func TestInstancesReachOnlyWhatTheyNeed(t *testing.T) {
	stack := template.Read(t, instancesPath)
	groups := stack.At("Resources", "Capacity", "Properties", "VpcConfig", "SecurityGroupIds")
	if d := cmp.Diff([]any{object{"Ref": "FunctionsSecurityGroup"}, object{"Ref": "ClientSecurityGroup"}}, groups); d != "" {
		t.Errorf("expected (-) and defined (+) groups of the instances differ:\n%s", d)
	}
	for id, endpoint := range stack.OfType(t, "AWS::EC2::VPCEndpoint") {
		if d := cmp.Diff([]any{object{"Ref": "EndpointSecurityGroup"}}, template.At(endpoint, "Properties", "SecurityGroupIds")); d != "" {
			t.Errorf("%s: expected (-) and defined (+) groups differ:\n%s", id, d)
		}
	}
	rules := stack.At("Resources", "ClientSecurityGroup", "Properties", "SecurityGroupEgress").([]any)
	if to := template.At(rules[0], "DestinationSecurityGroupId", "Ref"); len(rules) != 1 || to != "EndpointSecurityGroup" {
		t.Errorf("an instance may also reach %v, expected the endpoints only", rules)
	}
}
