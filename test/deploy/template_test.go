// The template's tests check that the code agrees with the deployment (template.yaml, deploy/, samconfig.toml). They
// also check settings that a linter accepts either way. Rules for any template are in deploy/rules.guard (`make
// validate`).
package deploy

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"flashsale/internal/template"
)

type object = template.Object

const (
	checkoutPath   = "../../template.yaml"
	monitoringPath = "../../deploy/monitoring.yaml"
	edgePath       = "../../deploy/edge.yaml"
)

// checkoutTemplate is template.yaml with its loops expanded.
func checkoutTemplate(t testing.TB) template.Template {
	t.Helper()
	return template.Read(t, checkoutPath)
}

// monitoringTemplate is the nested stack with alarms and dashboard.
func monitoringTemplate(t testing.TB) template.Template {
	t.Helper()
	return template.Read(t, monitoringPath)
}

func title(name string) string { return strings.ToUpper(name[:1]) + name[1:] }

// list puts a single value into a list.
func list(value any) []any {
	if l, ok := value.([]any); ok {
		return l
	}
	return []any{value}
}

// text writes a value of the template on one line, such as "Fn::GetAtt Cache.ARN".
func text(value any) string {
	if l, ok := value.([]any); ok {
		parts := make([]string, len(l))
		for i, item := range l {
			parts[i] = text(item)
		}
		return strings.Join(parts, ".")
	}
	o, ok := value.(object)
	if !ok || len(o) != 1 {
		s, _ := value.(string)
		return s
	}
	for name, inner := range o {
		if l, ok := inner.([]any); ok && name == "Fn::Sub" { // text and variables
			inner = l[0]
		}
		return name + " " + text(inner)
	}
	return ""
}

// follow goes down a path such as "Resources.Db.DeletionPolicy", where a number is an index. It returns nil where the path
// ends early.
func follow(value any, path string) any {
	for key := range strings.SplitSeq(path, ".") {
		switch v := value.(type) {
		case object:
			value = v[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

func source(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// limit reads a constant such as 2 * time.Second from a source file.
func limit(t testing.TB, path, name string) time.Duration {
	t.Helper()
	found := regexp.MustCompile(`(?m)^(?:const|\t)\s*` + name + `\s*=\s*(\d+)\s*\*\s*time\.Second\b`).FindStringSubmatch(source(t, path))
	if found == nil {
		t.Fatalf("%s has no constant %s in seconds", path, name)
	}
	return seconds(t, found[1])
}

// seconds reads a number of the template.
func seconds(t testing.TB, value any) time.Duration {
	t.Helper()
	n, err := strconv.Atoi(fmt.Sprint(value))
	if err != nil {
		t.Fatalf("expected seconds: %v", err)
	}
	return time.Duration(n) * time.Second
}

// setting is a function's own setting, or else the shared one.
func setting(t testing.TB, f object, name string) any {
	t.Helper()
	if f[name] != nil {
		return f[name]
	}
	return checkoutTemplate(t).Global(name)
}
