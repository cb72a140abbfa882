package devstack_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flashsale/internal/devstack"
)

func TestSecondStartSharesAndLastCloseStops(t *testing.T) {
	t.Parallel()
	// The path is deep, so that a Unix socket's absolute path would be too long. It has a blank, which breaks careless
	// shell scripts.
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 20), "with blank")
	first, second := mustStart(t, dir), mustStart(t, dir)
	if first.DSN() != second.DSN() || first.CacheAddr() != second.CacheAddr() {
		t.Errorf("two pairs of servers: %s %s, %s %s", first.DSN(), first.CacheAddr(), second.DSN(), second.CacheAddr())
	}
	must(t, first.Close())
	mustRespond(t, second)
	must(t, second.Close())
	mustNothingRuns(t, dir)
	if st := mustState(t, dir); st.MySQL.PID != 0 || st.Cache.PID != 0 {
		t.Errorf("after the last Close the state still names processes: %+v", st)
	}
	if err := pingCache(second.CacheAddr()); err == nil {
		t.Error("the cache responds after the last Close")
	}
}

func TestServersHaveExpectedUsersAndSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustStart(t, dir)
	accounts := mustQuery(t, s.DSN(), `SELECT user, host FROM mysql.user
		WHERE user NOT LIKE 'm%.%' AND user <> 'PUBLIC' ORDER BY host`) // less the servers' own, which are locked
	if diff := cmp.Diff([]string{"root 127.0.0.1", "root localhost"}, accounts); diff != "" {
		t.Errorf("accounts (-want +got):\n%s", diff)
	}
	settings := mustQuery(t, s.DSN(), `SELECT DATABASE(), @@bind_address, @@max_connections, @@innodb_lock_wait_timeout,
		@@innodb_rollback_on_timeout, @@innodb_flush_log_at_trx_commit, @@time_zone, @@log_bin, @@character_set_database,
		TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), NOW())`)
	if diff := cmp.Diff([]string{"flashsale 127.0.0.1 1000 3 1 1 +00:00 0 utf8mb4 0"}, settings); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	_, address, _ := strings.Cut(s.DSN(), "@")
	if pingMySQL(t.Context(), "root@"+address) == nil {
		t.Error("the database lets root in without a password")
	}
	info, err := os.Stat(filepath.Join(dir, "root-password"))
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the password file has mode %v, expected 0600", info.Mode())
	}
	st := mustState(t, dir)
	for _, pid := range []int{st.MySQL.PID, st.Cache.PID} {
		// Otherwise a Ctrl-C in the terminal would also reach the server.
		if group, err := syscall.Getpgid(pid); err != nil || group != pid {
			t.Errorf("process %d is in group %d, %v", pid, group, err)
		}
	}
}

func TestDataAndAddressesSurviveARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := mustStart(t, dir)
	mustExec(t, first.DSN(), "CREATE TABLE kept (n INT)", "INSERT INTO kept VALUES (42)")
	must(t, first.Close())
	second := mustStart(t, dir)
	if got := mustQuery(t, second.DSN(), "SELECT n FROM kept"); len(got) != 1 || got[0] != "42" {
		t.Errorf("after a restart the table holds %v, expected the row", got)
	}
	if first.DSN() != second.DSN() || first.CacheAddr() != second.CacheAddr() {
		t.Errorf("addresses changed: %s %s, then %s %s", first.DSN(), first.CacheAddr(), second.DSN(), second.CacheAddr())
	}
}

func TestLostPasswordIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := mustStart(t, dir)
	mustExec(t, first.DSN(), "CREATE TABLE kept (n INT)")
	must(t, first.Close())
	must(t, os.Remove(filepath.Join(dir, "root-password")))
	second := mustStart(t, dir)
	mustQuery(t, second.DSN(), "SELECT n FROM kept")
	if pingMySQL(t.Context(), first.DSN()) == nil {
		t.Error("the lost password still opens the database")
	}
}

func TestTakenPortIsAvoided(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, mustStart(t, dir).Close())
	st := mustState(t, dir)
	for _, port := range []int{st.MySQL.Port, st.Cache.Port} {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:"+strconv.Itoa(port))
		must(t, err)
		defer func() { must(t, l.Close()) }()
	}
	mustRespond(t, mustStart(t, dir))
	if now := mustState(t, dir); now.MySQL.Port == st.MySQL.Port || now.Cache.Port == st.Cache.Port {
		t.Errorf("ports %d and %d were taken, got %d and %d", st.MySQL.Port, st.Cache.Port, now.MySQL.Port, now.Cache.Port)
	}
}

func TestForeignCacheOnOurPortIsNotUsed(t *testing.T) {
	t.Parallel()
	foreign, err := devstack.StartCache(t.Context(), t.TempDir(), t.Logf)
	must(t, err)
	t.Cleanup(func() { must(t, foreign.Stop()) })
	_, port, err := net.SplitHostPort(foreign.Addr())
	must(t, err)
	number, err := strconv.Atoi(port)
	must(t, err)
	dir := t.TempDir()
	mustWriteState(t, dir, known{Cache: entry{Port: number}})
	s := mustStart(t, dir)
	mustRespond(t, s)
	if s.CacheAddr() == foreign.Addr() {
		t.Error("Start returned another directory's cache")
	}
}

// TestProcessesMayStartWhileOthersStop repeatedly lets the last Close of some processes overlap the Start of others.
func TestProcessesMayStartWhileOthersStop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			var out bytes.Buffer
			cmd := child(t, "comes and goes", dir)
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Run(); err != nil {
				t.Errorf("process %d: %v\n%s", i, err, out.String())
			}
		})
	}
	for range 2 { // goroutines of one process as well
		wg.Go(func() {
			if err := openAndClose(t.Context(), dir, 6); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	mustNothingRuns(t, dir)
}

func TestDirectoryDeletedWhileInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := mustStart(t, dir)
	old := mustState(t, dir)
	must(t, os.RemoveAll(dir))
	second := mustStart(t, dir)
	must(t, first.Close())
	mustRespond(t, second)
	if alive(old.MySQL.PID) || alive(old.Cache.PID) {
		t.Error("the servers of the deleted directory still run")
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	s, err := devstack.Start(ctx, devstack.Options{Dir: dir, Log: func(format string, args ...any) {
		t.Logf(format, args...)
		cancel() // at the first message: the cache runs, the database does not
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Start returned %v, %v, expected the context's error", s, err)
	}
	mustNothingRuns(t, dir)
	mustRespond(t, mustStart(t, dir)) // no unfinished directory prevents the next Start
}

func TestFailedStartShowsTheLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, mustStart(t, dir).Close())
	must(t, os.WriteFile(filepath.Join(dir, "mysql", "ibdata1"), []byte("not a tablespace"), 0o600))
	_, err := devstack.Start(t.Context(), devstack.Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "ended by itself") || !strings.Contains(err.Error(), "ibdata1") {
		t.Errorf("Start with a broken tablespace returned %v, expected the log's last lines", err)
	}
	mustNothingRuns(t, dir)
}

func TestUnusableDirectoryIsAnError(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"cache", "root-password/x", "use.lock/x", "state.json/x", "mysql-tmp"} {
		dir := t.TempDir()
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, file), nil, 0o600)) // a file for a directory, or the reverse
		if s, err := devstack.Start(t.Context(), devstack.Options{Dir: dir}); err == nil {
			t.Errorf("with the unusable file %s Start returned %v, expected an error", file, s)
		}
		mustNothingRuns(t, dir)
	}
}

func TestInstallIsSilentWhenNothingIsMissing(t *testing.T) {
	t.Parallel()
	must(t, devstack.Install(t.Context(), func(format string, args ...any) { t.Errorf("said "+format, args...) }))
}

// The stubs say what MariaDB and its installer said on a full tmpfs.
func TestFullDiskIsNamed(t *testing.T) {
	for name, text := range map[string]string{
		"mariadb-install-db": "2026-11-27 19:12:40 0 [ERROR] InnoDB: Error number 28 means 'No space left on device'",
		"mariadbd":           "2026-11-27 19:12:40 0 [ERROR] InnoDB: preallocating 12582912 bytes for file ./ibtmp1 failed with error 28",
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "servers")
			if name == "mariadbd" { // with data to start on
				must(t, os.MkdirAll(filepath.Join(dir, "mysql"), 0o700))
				must(t, os.WriteFile(filepath.Join(dir, "mysql", "aria_log_control"), nil, 0o600))
			}
			bin := t.TempDir()
			for _, program := range []string{"mariadbd", "mariadb-install-db", "my_print_defaults"} {
				must(t, os.WriteFile(filepath.Join(bin, program), []byte("#!/bin/sh\necho \""+text+"\"; exit 1\n"), 0o700))
			}
			t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
			_, err := devstack.Start(t.Context(), devstack.Options{Dir: dir, Log: t.Logf})
			if want := "devstack: the disk is full: " + dir; err == nil || err.Error() != want {
				t.Errorf("Start returned %v, expected %s", err, want)
			}
			mustNothingRuns(t, dir)
		})
	}
}

func TestStopRefusesWhileInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustStart(t, dir)
	if stopped, err := devstack.Stop(t.Context(), dir); stopped || !errors.Is(err, devstack.ErrInUse) {
		t.Errorf("Stop returned %v, %v, expected ErrInUse", stopped, err)
	}
	mustRespond(t, s)
	must(t, s.Close())
	if stopped, err := devstack.Stop(t.Context(), dir); stopped || err != nil {
		t.Errorf("after Close, Stop returned %v, %v, expected that nothing runs", stopped, err)
	}
}
