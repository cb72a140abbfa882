package shoptest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flashsale/internal/ledgertest"
)

// BreakRoutine replaces texts in a routine of the Shop's schema: old, new, old, new, and so on.
func (s *Shop) BreakRoutine(t testing.TB, routine string, replace ...string) {
	t.Helper()
	text := string(Must(os.ReadFile(filepath.Join(ledgertest.Root(t), "pkg", "ledger", "routines", routine+".sql")))(t)) //nolint:gosec // G304: below the source tree
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			t.Fatalf("%s.sql no longer contains %q: the defect cannot be made", routine, replace[i])
		}
		text = strings.ReplaceAll(text, replace[i], replace[i+1])
	}
	s.MustExec(t, "DROP PROCEDURE "+routine)
	s.MustExec(t, text)
}

// MustExec executes a statement as the administrator.
func (s *Shop) MustExec(t testing.TB, statement string, args ...any) {
	t.Helper()
	if _, err := s.Admin.ExecContext(context.Background(), statement, args...); err != nil {
		t.Fatalf("%.80s: %v", statement, err)
	}
}
