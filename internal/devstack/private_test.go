package devstack_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"flashsale/internal/devstack"
)

func TestKilledMySQLRestartsWithItsData(t *testing.T) {
	t.Parallel()
	m, err := devstack.StartMySQL(t.Context(), t.TempDir(), t.Logf)
	must(t, err)
	t.Cleanup(func() { must(t, m.Stop()) })
	dsn := m.DSN()
	mustExec(t, dsn, "CREATE TABLE kept (n INT)", "INSERT INTO kept VALUES (42)")
	must(t, m.Kill())
	if pingMySQL(t.Context(), dsn) == nil {
		t.Error("the killed database responds")
	}
	begun := time.Now()
	must(t, m.Restart(t.Context()))
	t.Logf("Restart took %v", time.Since(begun).Round(time.Millisecond))
	if got := mustQuery(t, dsn, "SELECT n FROM kept"); len(got) != 1 || got[0] != "42" || m.DSN() != dsn {
		t.Errorf("after a crash the table holds %v; DSN %s, was %s", got, m.DSN(), dsn)
	}
	if m.Restart(t.Context()) == nil {
		t.Error("a running server was restarted")
	}
	must(t, m.Stop())
	must(t, m.Stop())
	must(t, m.Restart(t.Context()))
	must(t, pingMySQL(t.Context(), dsn))
}

func TestPausedCacheHangsAndResumes(t *testing.T) {
	t.Parallel()
	c, err := devstack.StartCache(t.Context(), t.TempDir(), t.Logf)
	must(t, err)
	t.Cleanup(func() { must(t, c.Stop()) })
	must(t, pingCache(c.Addr()))
	must(t, c.Pause())
	if response, err := cacheSays(c.Addr(), "PING", 100*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the paused cache responded %q, %v, expected no response", response, err)
	}
	must(t, c.Resume())
	must(t, pingCache(c.Addr()))
	must(t, c.Pause()) // Cleanup stops a paused one
}

func TestKilledCacheRestartsEmpty(t *testing.T) {
	t.Parallel()
	c, err := devstack.StartCache(t.Context(), t.TempDir(), t.Logf)
	must(t, err)
	t.Cleanup(func() { must(t, c.Stop()) })
	addr := c.Addr()
	if response, err := cacheSays(addr, "SET k v", time.Second); err != nil || response != "+OK" {
		t.Fatalf("SET returned %q, %v, expected +OK", response, err)
	}
	must(t, c.Kill())
	must(t, c.Restart(t.Context()))
	if response, err := cacheSays(addr, "EXISTS k", time.Second); err != nil || response != ":0" {
		t.Errorf("after a crash EXISTS returned %q, %v, expected :0", response, err)
	}
}

func TestPrivateServersDieWithTheirProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	kill := mustChildReady(t, "private", dir)
	if pids := serversBelow(t, dir); len(pids) != 2 {
		t.Fatalf("processes %v run, want a database and a cache", pids)
	}
	kill()
	eventually(t, "the private servers die", func() bool { return len(serversBelow(t, dir)) == 0 })
}
