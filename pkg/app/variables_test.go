package app

import (
	"os"
	"strings"
	"testing"
)

// The help of `flashsale run` and the first table of docs/configuration.md have the same variables and defaults.
func TestDocumentHasTheVariables(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## On your machine")
	section, _, _ = strings.Cut(section, "\n#")
	variables := LocalVariables()
	for _, v := range variables {
		row := "| `" + v.Name + "` | "
		if !strings.Contains(section, row) {
			t.Errorf("docs/configuration.md has no row that starts with %s", row)
		}
		if v.Default[0] < 'a' && !strings.Contains(section, row+"`"+v.Default+"` |") { // a value, not a word
			t.Errorf("docs/configuration.md does not have the default %s of %s", v.Default, v.Name)
		}
		if v.Help == "" || strings.Contains(v.Help, "\n") {
			t.Errorf("the help of %s is %q, expected one line", v.Name, v.Help)
		}
	}
	if rows := strings.Count(section, "\n| `"); rows != len(variables) {
		t.Errorf("docs/configuration.md has %d variables, expected %d", rows, len(variables))
	}
}
