package ledger

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/configuration.md")

const (
	usersDocument = "../../docs/configuration.md"
	beginUsers    = "<!-- generated from pkg/ledger/roles.go by make generate; do not edit -->\n"
	endUsers      = "<!-- end of the generated part -->\n"
)

// docs/configuration.md shows the rights that a migration grants.
func TestUsersDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(usersDocument)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), beginUsers)
	_, after, closed := strings.Cut(rest, endUsers)
	if !found || !closed {
		t.Fatalf("%s lacks the marks of the generated part", usersDocument)
	}
	want := before + beginUsers + describeUsers() + endUsers + after
	if *update {
		if err := os.WriteFile(usersDocument, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if want != string(text) {
		t.Errorf("%s is out of date: run make generate", usersDocument)
	}
}

func describeUsers() string {
	code := func(words []string, none string) string {
		if len(words) == 0 {
			return none
		}
		return "`" + strings.Join(words, "`, `") + "`"
	}
	var b strings.Builder
	b.WriteString("| user | may call | may read |\n|---|---|---|\n")
	for _, role := range Roles() {
		may := rightsOf[role]
		b.WriteString("| `" + role.User("flashsale") + "` | " + code(may.routines, "nothing") + " | " + code(may.tables, "all tables") + " |\n")
	}
	return b.String()
}
