package deploy

import (
	"os/exec"
	"strings"
	"testing"

	"flashsale/internal/ledgertest"
)

// API Gateway verifies tokens, so the functions' zips do without a JWT library.
func TestFunctionsLinkNoJWTLibrary(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "./functions/...")
	list.Dir = ledgertest.Root(t)
	out, err := list.Output()
	if err != nil || !strings.Contains(string(out), "flashsale/pkg/lambdaserver") {
		t.Fatalf("go list: got %v, expected the packages of the functions", err)
	}
	for _, name := range []string{"golang-jwt", "keyfunc", "jwkset", "flashsale/pkg/signin"} {
		if strings.Contains(string(out), name) {
			t.Errorf("a function links %s, which only the local server needs", name)
		}
	}
}
