package shoptest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"flashsale/internal/lambdaemu"
	"flashsale/internal/ledgertest"
)

// Command is the path of the flashsale command.
func Command(t testing.TB) string {
	t.Helper()
	return filepath.Join(binaries(t), "flashsale")
}

// Function is the path of a function's binary, built as in template.yaml, but for this machine's processor.
func Function(t testing.TB, name string) string {
	t.Helper()
	return filepath.Join(binaries(t), name)
}

// racingFunction is the path of a function's binary with the race detector, if the test has it too; else it is Function.
func racingFunction(t testing.TB, name string) string {
	t.Helper()
	if !raceDetector {
		return Function(t, name)
	}
	dir := binaries(t)
	return filepath.Join(Must(buildRacing(ledgertest.Root(t), dir))(t), name)
}

// binaries is the directory with the command and the functions. It is named after the sources, so that all test
// packages of a run share one build; a lock lets the first one build while the others wait.
func binaries(t testing.TB) string {
	t.Helper()
	return Must(build(ledgertest.Root(t)))(t)
}

var (
	buildOnce sync.Once
	builtDir  string
	errBuild  error
)

func build(root string) (string, error) {
	buildOnce.Do(func() { builtDir, errBuild = buildAll(root) })
	return builtDir, errBuild
}

// buildRacing adds the functions with the race detector. They share the packages that `go test -race` compiles.
func buildRacing(root, dir string) (string, error) {
	unlock, err := lockBuilds(filepath.Join(root, ".local", "test-bin"))
	if err != nil {
		return "", err
	}
	defer unlock()
	racing := filepath.Join(dir, "race")
	if _, err := os.Stat(racing); err == nil {
		return racing, nil
	}
	fresh := racing + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "build", "-race", "-tags", "lambda.norpc", "-o", fresh+"/", "flashsale/functions/...").CombinedOutput() //nolint:gosec // G204: a path of its own
	if err != nil {
		return "", fmt.Errorf("building the functions with the race detector: %w: %s", err, out)
	}
	return racing, os.Rename(fresh, racing)
}

func buildAll(root string) (dir string, err error) {
	key, err := sourceKey(root)
	if err != nil {
		return "", fmt.Errorf("reading the sources: %w", err)
	}
	parent := filepath.Join(root, ".local", "test-bin")
	unlock, err := lockBuilds(parent)
	if err != nil {
		return "", err
	}
	defer unlock()
	dir = filepath.Join(parent, key)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	removeOld(parent)
	fresh := dir + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return "", err
	}
	if err := os.Mkdir(fresh, 0o750); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if err := lambdaemu.Build(ctx, fresh, ""); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(fresh, "flashsale"), "flashsale/cmd/flashsale").CombinedOutput() //nolint:gosec // G204: a path of its own
	if err != nil {
		return "", fmt.Errorf("building the flashsale command: %w: %s", err, out)
	}
	return dir, os.Rename(fresh, dir)
}

// lockBuilds makes a directory of builds, and keeps other processes from building in it until unlock.
func lockBuilds(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // G304: below the source tree
	if err != nil {
		return nil, err
	}
	unlock = func() { _ = lock.Close() } // which unlocks it
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// removeOld removes builds that no run can use any more.
func removeOld(parent string) {
	entries, _ := os.ReadDir(parent)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.IsDir() && time.Since(info.ModTime()) > time.Hour {
			_ = os.RemoveAll(filepath.Join(parent, e.Name()))
		}
	}
}

// sourceKey is a digest of everything that the binaries are built from.
func sourceKey(root string) (string, error) {
	digest := sha256.New()
	_, _ = fmt.Fprintln(digest, runtime.Version(), os.Getenv("GOFLAGS"))
	for _, part := range []string{"go.mod", "go.sum", "cmd", "functions", "internal", "pkg"} {
		err := filepath.WalkDir(filepath.Join(root, part), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path) //nolint:gosec // G304: below the source tree
			_, _ = fmt.Fprintf(digest, "%s %d\n", path, len(text))
			_, _ = digest.Write(text)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(digest.Sum(nil))[:16], nil
}
