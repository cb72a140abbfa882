package ledgertest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A schema that starts with copies of the first one's tables equals a schema on which all migrations have run.
func TestLaterSchemasEqualTheFirst(t *testing.T) {
	t.Parallel()
	first, later := New(t), New(t)
	want, got := contents(t, first), contents(t, later)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the later schema differs (-first +later):\n%s", diff)
	}
	if len(want) < 10 {
		t.Errorf("the first schema has %d tables, expected those of all migrations", len(want))
	}
	later.MustPut(t, "p", 1)
	later.MustAudit(t)
}

// contents returns what makes each table, and the number of its rows.
func contents(t *testing.T, e *Env) map[string]string {
	t.Helper()
	all := map[string]string{}
	for name := range strings.SplitSeq(must(tableNames(t.Context(), e.Admin))(t), ",") {
		create := must(createTable(t.Context(), e.Admin, name))(t)
		if name == "goose_lock" { // a migration without anything to do takes no lock
			continue
		}
		var rows string
		if err := e.Admin.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+name).Scan(&rows); err != nil {
			t.Fatal(err)
		}
		all[name] = rows + " rows: " + create
	}
	return all
}
