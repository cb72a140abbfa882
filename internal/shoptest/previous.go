package shoptest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
)

// PreviousCommand is the path of the flashsale command of the previous release: the commit that test/releases/previous
// names. It is built once, below .local/, from the history of this checkout.
func PreviousCommand(t testing.TB) string {
	t.Helper()
	return Must(buildPrevious(ledgertest.Root(t)))(t)
}

func buildPrevious(root string) (_ string, err error) {
	text, err := os.ReadFile(filepath.Join(root, "test", "releases", "previous")) //nolint:gosec // G304: below the source tree
	if err != nil {
		return "", fmt.Errorf("reading which release is the previous one: %w", err)
	}
	commit := strings.TrimSpace(string(text))
	parent := filepath.Join(root, ".local", "previous")
	unlock, err := lockBuilds(parent)
	if err != nil {
		return "", err
	}
	defer unlock()
	command := filepath.Join(parent, commit, "flashsale")
	if _, err := os.Stat(command); err == nil { //nolint:gosec // G703: a commit of this history
		return command, nil
	}
	source, err := os.MkdirTemp(parent, "source")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(source) }()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	const script = `git archive "$1" | tar -x -C "$2" && cd "$2" && go build -o "$3" ./cmd/flashsale`
	build := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", script, "bash", commit, source, command+".new") //nolint:gosec // G204: a commit of this history
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the previous release %s, which needs this repository's history (git fetch --unshallow): %w: %s", commit, err, out)
	}
	return command, os.Rename(command+".new", command) //nolint:gosec // G703: as above
}
