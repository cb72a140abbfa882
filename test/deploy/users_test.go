package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flashsale/internal/template"
	"flashsale/pkg/ledger"
)

// Each function signs in as the user of the role that its main names, and that user may do what the role needs.
func TestFunctionsSignInAsTheirOwnUser(t *testing.T) {
	checkout := checkoutTemplate(t)
	roles := ledger.Roles()
	users := object{}
	for name, f := range checkout.Functions(t) {
		named := regexp.MustCompile(`app\.NewFunction\(ledger\.Role(\w+)\)`).FindStringSubmatch(source(t, "../../functions/"+name+"/main.go"))
		if named == nil || !slices.Contains(roles, ledger.Role(strings.ToLower(named[1]))) {
			t.Errorf("functions/%s/main.go names no role of the ledger: %v", name, named)
			continue
		}
		want := ledger.Role(strings.ToLower(named[1])).User("flashsale")
		if got := template.At(f, "Environment", "Variables", "DB_USER"); got != want {
			t.Errorf("%s: DB_USER is %v, but the function has the role %s, so expected %s", name, got, named[1], want)
		}
		users[title(name)] = object{"Name": want}
	}
	if d := cmp.Diff(users, checkout.At("Mappings", "DatabaseUsers")); d != "" {
		t.Errorf("users of the functions (-) and the mapping DatabaseUsers (+) differ:\n%s", d)
	}
}

// previousTemplate is template.yaml of the previous release: the commit that test/releases/previous names.
func previousTemplate(t testing.TB) template.Template {
	t.Helper()
	commit := strings.TrimSpace(source(t, "../releases/previous"))
	text, err := exec.Command("git", "show", commit+":template.yaml").Output()
	if err != nil {
		t.Fatalf("reading template.yaml of the previous release %s, which needs this repository's history (git fetch --unshallow): %v", commit, err)
	}
	path := filepath.Join(t.TempDir(), "template.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return template.Read(t, path)
}

// During a deployment, and after a rollback by alias, the previous release's versions run with its roles. A role is not
// versioned, so it has to keep what those versions need, and the proxy has to sign in as their users.
func TestPreviousReleaseKeepsItsPermissions(t *testing.T) {
	previous, checkout := previousTemplate(t), checkoutTemplate(t)
	before, now := allowed(t, previous), allowed(t, checkout)
	must := func(role string, g grant) {
		if !slices.Contains(now[role], g) {
			t.Errorf("%s may no longer %s on %s, but the previous release needs it", role, g.action, g.resource)
		}
	}
	for name, f := range previous.Functions(t) {
		role := strings.TrimSuffix(strings.TrimPrefix(text(f["Role"]), "Fn::GetAtt "), ".Arn")
		for _, g := range before[role] {
			must(role, g)
			if g.action == "rds-db:connect" {
				must("DbProxyRole", grant{g.action, strings.Replace(g.resource, atProxy, atCluster, 1)})
			}
		}
		if len(before[role]) == 0 {
			t.Errorf("%s of the previous release has no permissions", name)
		}
	}
}

// A rollback by CloudFormation takes changes to existing resources back first, and removes new ones last. So what only the
// new versions need is in new resources: they serve until their alias has moved back.
func TestRollbackTakesNothingFromRunningVersions(t *testing.T) {
	previous, checkout := previousTemplate(t), checkoutTemplate(t)
	before := ownGrants(t, previous)
	for id, grants := range ownGrants(t, checkout) {
		old, existed := before[id]
		for _, g := range grants {
			if existed && !slices.Contains(old, g) {
				t.Errorf("%s is changed in place to allow %s on %s; expected a new resource", id, g.action, g.resource)
			}
		}
	}
}

// ownGrants lists what each role or policy allows by itself. RunInVpc is left out, as in allowed.
func ownGrants(t testing.TB, checkout template.Template) map[string][]grant {
	t.Helper()
	own := map[string][]grant{}
	for _, kind := range []string{"AWS::IAM::Role", "AWS::IAM::RolePolicy", "AWS::IAM::ManagedPolicy"} {
		for id, resource := range checkout.OfType(t, kind) {
			policies, _ := template.At(resource, "Properties", "Policies").([]any)
			if kind != "AWS::IAM::Role" {
				policies = []any{resource["Properties"]}
			}
			for _, p := range policies {
				if id != "RunInVpc" {
					own[id] = append(own[id], grants(t, checkout, template.At(p, "PolicyDocument"))...)
				}
			}
		}
	}
	return own
}
