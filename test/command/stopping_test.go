package command

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"flashsale/internal/shoptest"
)

// A closed terminal and an impatient operator must not leave a database behind.
func TestEverySignalStopsTheServers(t *testing.T) {
	t.Parallel()
	for name, signals := range map[string][]syscall.Signal{
		"closed terminal":  {syscall.SIGHUP},
		"Ctrl-C repeated":  {syscall.SIGINT, syscall.SIGINT, syscall.SIGINT},
		"different stops":  {syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM},
		"a reader's death": {syscall.SIGPIPE, syscall.SIGTERM},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := startRun(t)
			for _, s := range signals {
				if err := syscall.Kill(d.pid, s); err != nil {
					t.Fatal(err)
				}
			}
			_ = d.parent.Wait()
			if left := d.Processes(); len(left) > 0 {
				t.Errorf("processes %v are left, expected none", left)
			}
		})
	}
}

// In `flashsale product list | head`, head may end first.
func TestClosedPipeStopsTheServers(t *testing.T) {
	t.Parallel()
	d := shoptest.NewDesk(t)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command := d.Command(t, "product", "list")
	stderr := &shoptest.Output{}
	command.Stdout, command.Stderr = writer, stderr
	_ = reader.Close()
	err = command.Run()
	_ = writer.Close()
	if err == nil || command.ProcessState.ExitCode() != 3 || strings.Contains(stderr.String(), "pipe") {
		t.Errorf("the command ended with %v, expected a quiet exit 3, said\n%s", err, stderr)
	}
	if left := d.Processes(); len(left) > 0 {
		t.Errorf("processes %v are left, expected none", left)
	}
}

func TestStopAndClean(t *testing.T) {
	t.Parallel()
	d := startRun(t)
	says := func(code int, part string, args ...string) {
		t.Helper()
		got, stdout, stderr := d.Run(t, args...)
		if got != code || !strings.Contains(stdout+stderr, part) {
			t.Errorf("%v: exit %d, expected %d and %q, said\n%s%s", args, got, code, part, stdout, stderr)
		}
	}
	says(1, "runs on "+d.addr, "clean")
	if a := d.shop.Do(t, http.MethodGet, "/v1/products/demo", "", nil); a.Status != http.StatusOK {
		t.Errorf("after a refused clean the product is %+v", a)
	}
	says(0, "Stopped the server on "+d.addr, "stop")
	_ = d.parent.Wait()
	if left := d.Processes(); len(left) > 0 {
		t.Errorf("after stop processes %v are left, expected none", left)
	}
	says(0, "Nothing runs", "stop")
	d.serve(t)
	if err := syscall.Kill(d.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = d.parent.Wait()
	if len(d.Processes()) == 0 {
		t.Error("the servers are gone: the next stop tests nothing")
	}
	says(0, "Stopped the private database and cache", "stop")
	says(0, "Deleted .local/ of this directory.\n", "clean")
	if left := d.Processes(); len(left) > 0 {
		t.Errorf("after clean processes %v are left, expected none", left)
	}
	if _, err := os.Stat(filepath.Join(d.Dir, ".local")); !os.IsNotExist(err) {
		t.Errorf("after clean .local is there: %v", err)
	}
}

func TestRunRestartsKilledServers(t *testing.T) {
	t.Parallel()
	d := startRun(t)
	d.killServers(t)
	shoptest.Eventually(t, "the health is ok again", func() bool {
		return len(d.Processes()) >= 2 && d.shop.Do(t, http.MethodGet, "/healthz", "", nil).Status == http.StatusOK
	})
	d.shop.MustOrder(t, 1)
	d.stop(t, 1)
}

// A database that cannot start again ends the run with a reason, and the cache with it.
func TestRunEndsWithoutItsDatabase(t *testing.T) {
	t.Parallel()
	d := startRun(t)
	if err := os.WriteFile(filepath.Join(d.Dir, ".local", "servers", "mysql", "ibdata1"), []byte("not a tablespace"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.killServers(t)
	_ = d.parent.Wait()
	log := string(shoptest.Must(os.ReadFile(filepath.Join(d.Dir, "run.log")))(t))
	if !strings.Contains(log, "flashsale: devstack: restart the private servers: start MariaDB") && !strings.Contains(log, "flashsale: devstack: restart the private servers: start MySQL") {
		t.Errorf("expected the reason for the end in\n%s", log)
	}
	if left := d.Processes(); len(left) > 0 {
		t.Errorf("processes %v are left, expected none", left)
	}
}

func (r *running) killServers(t *testing.T) {
	t.Helper()
	var servers struct{ MySQL, Cache struct{ PID int } }
	if err := json.Unmarshal(shoptest.Must(os.ReadFile(filepath.Join(r.Dir, ".local", "servers", "state.json")))(t), &servers); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{servers.MySQL.PID, servers.Cache.PID} {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
}
