package shoptest

import (
	"context"
	"strings"
	"testing"

	"flashsale/pkg/ledger"
)

// BreakRoutine replaces texts in a routine of the Shop's schema: old, new, old, new, and so on.
func (s *Shop) BreakRoutine(t testing.TB, routine string, replace ...string) {
	t.Helper()
	text := ledger.InstalledText(routine)
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			t.Fatalf("%s.sql no longer contains %q: the defect cannot be made", routine, replace[i])
		}
		text = strings.ReplaceAll(text, replace[i], replace[i+1])
	}
	s.DropRoutine(t, routine)
	s.MustExec(t, text)
}

// DropRoutine drops a routine of the Shop's schema.
func (s *Shop) DropRoutine(t testing.TB, routine string) {
	t.Helper()
	s.MustExec(t, "DROP PROCEDURE "+ledger.InstalledName(routine))
}

// MustExec executes a statement as the administrator.
func (s *Shop) MustExec(t testing.TB, statement string, args ...any) {
	t.Helper()
	if _, err := s.Admin.ExecContext(context.Background(), statement, args...); err != nil {
		t.Fatalf("%.80s: %v", statement, err)
	}
}
