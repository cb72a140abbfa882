package devstack_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestServersOfAKilledUserAreTakenOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustChildReady(t, "user", dir)()
	before := mustState(t, dir)
	s := mustStart(t, dir)
	mustRespond(t, s)
	if diff := cmp.Diff(before, mustState(t, dir)); diff != "" {
		t.Errorf("other servers than before (-before +after):\n%s", diff)
	}
	must(t, s.Close())
	mustNothingRuns(t, dir)
}

func TestUnrecordedServersAreReplaced(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		damage func(state string) error
	}{
		{"state lost", os.Remove},
		{"state wrong", func(state string) error { return os.WriteFile(state, []byte("{"), 0o600) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			mustChildReady(t, "user", dir)()
			before := serversBelow(t, dir)
			must(t, test.damage(filepath.Join(dir, "state.json")))
			s := mustStart(t, dir)
			mustRespond(t, s)
			after := serversBelow(t, dir)
			if len(before) != 2 || len(after) != 2 || slices.Contains(after, before[0]) || slices.Contains(after, before[1]) {
				t.Errorf("processes %v before, %v after", before, after)
			}
		})
	}
}

func TestUnresponsiveServerIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustChildReady(t, "user", dir)()
	before := mustState(t, dir)
	must(t, syscall.Kill(before.Cache.PID, syscall.SIGSTOP))
	s := mustStart(t, dir)
	mustRespond(t, s)
	after := mustState(t, dir)
	if after.Cache.PID == before.Cache.PID || after.MySQL != before.MySQL {
		t.Errorf("before %+v, after %+v: want another cache and the same database", before, after)
	}
}

func TestOtherProcessesAreNotSignalled(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		inDir  bool // the stranger works in the database's directory
		record func(stranger entry) entry
	}{
		{"works elsewhere", false, func(e entry) entry { return e }},
		{"started later", true, func(e entry) entry { e.StartTicks--; return e }},
		{"dead", false, func(e entry) entry { e.PID = 1 << 30; return e }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			must(t, mustStart(t, dir).Close())
			stranger := exec.CommandContext(context.Background(), "sleep", "600")
			if test.inDir {
				stranger.Dir = filepath.Join(dir, "mysql")
			}
			must(t, stranger.Start())
			t.Cleanup(func() {
				must(t, stranger.Process.Kill())
				_ = stranger.Wait() // "killed"
			})
			was := test.record(entry{PID: stranger.Process.Pid, StartTicks: startTicks(t, stranger.Process.Pid)})
			mustWriteState(t, dir, known{MySQL: was, Cache: was})
			s := mustStart(t, dir)
			mustRespond(t, s)
			mustWriteState(t, dir, known{MySQL: was, Cache: was}) // Close must not trust it either
			must(t, s.Close())
			if !alive(stranger.Process.Pid) || state(t, stranger.Process.Pid) != "S" {
				t.Error("the stranger was signalled")
			}
			left := slices.DeleteFunc(serversBelow(t, dir), func(pid string) bool { return pid == strconv.Itoa(stranger.Process.Pid) })
			if len(left) > 0 {
				t.Errorf("processes %v still run", left)
			}
		})
	}
}

// statFields are the fields of /proc/PID/stat from the third on.
func statFields(tb testing.TB, pid int) []string {
	tb.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(tb, err)
	return strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
}

func state(tb testing.TB, pid int) string { return statFields(tb, pid)[0] }

func startTicks(tb testing.TB, pid int) uint64 {
	tb.Helper()
	ticks, err := strconv.ParseUint(statFields(tb, pid)[19], 10, 64)
	must(tb, err)
	return ticks
}
