package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// packages provide a server: the first set that apt-get can install.
type packages struct {
	advice string // shown when apt-get cannot install it
	brew   string // advice on macOS
	sets   [][]string
}

// Packages with a system service come last, so that nothing starts, now or at boot, that the user did not ask for.
// mariadb-server-core has the server and its installer; mariadb-client-core has my_print_defaults, which the installer
// needs. For the cache see programs.cacheName.
var (
	databasePackages = packages{
		advice: "install mariadb-server-core and mariadb-client-core, or set MYSQL_DSN",
		brew:   "run `brew install mariadb`, or set MYSQL_DSN",
		sets: [][]string{
			{"mariadb-server-core", "mariadb-client-core"},
			{"mariadb-server-core-10.6", "mariadb-client-core-10.6"}, // Ubuntu 22.04
			{"mysql-server-core"},                                    // where a MySQL client is in MariaDB's way
			{"mysql-server-core-8.0"},                                // Ubuntu 22.04 and 24.04
			{"mariadb-server"},
		},
	}
	cachePackages = packages{
		advice: "install valkey-server or redis-server, or set CACHE_ADDR",
		brew:   "run `brew install valkey`, or set CACHE_ADDR",
		sets:   [][]string{{"valkey-tools"}, {"redis-tools"}, {"valkey-server"}, {"redis-server"}},
	}
)

// aptLockLimit is how long to wait for another user of apt.
const aptLockLimit = 5 * time.Minute

// Install installs a database server and a cache server with apt-get (and sudo if needed) where they are missing. It
// takes a few milliseconds if they are present. It reports to log, which may be nil.
func Install(ctx context.Context, log func(format string, args ...any)) error {
	_, err := install(ctx, log)
	return err
}

func install(ctx context.Context, log func(string, ...any)) (programs, error) {
	var p programs
	if err := p.findDatabase(ctx); err != nil {
		if err := aptInstall(ctx, err, databasePackages, p.findDatabase, log); err != nil {
			return p, err
		}
	}
	if err := p.findCache(ctx); err != nil {
		if err := aptInstall(ctx, err, cachePackages, p.findCache, log); err != nil {
			return p, err
		}
	}
	return p, nil
}

// aptInstall installs sets of packages until find succeeds. When ctx ends, it asks apt-get to stop.
func aptInstall(
	ctx context.Context, missing error, want packages, find func(context.Context) error, log func(string, ...any),
) error {
	if runtime.GOOS == "darwin" {
		return fmt.Errorf("%w: %s", missing, want.brew)
	}
	apt, err := findApt()
	if err != nil {
		return fmt.Errorf("%w, and %w: %s", missing, err, want.advice)
	}
	// One install at a time. The lock is in /tmp whatever TMPDIR says, so that all processes use the same one. It is
	// per user, because a sticky directory may forbid opening another user's file. Between users apt's own locks
	// decide.
	lock, err := openLock(fmt.Sprintf("/tmp/flashsale-install-%d.lock", os.Getuid()))
	if err != nil {
		return err
	}
	defer func() { _ = lock.close() }()
	if err := lock.lock(ctx, syscall.LOCK_EX); err != nil {
		return err
	}
	if find(ctx) == nil {
		return nil // another process has just installed it
	}
	var failed error
	for _, update := range []bool{false, true} {
		if update {
			// The lists may be missing, or so old that they name files that no longer exist.
			report(log, "%v: asking apt-get for its current packages", missing)
			failed = errors.Join(failed, apt.update(ctx))
		}
		for _, set := range want.sets {
			// --no-remove: never at the expense of installed packages, such as another MySQL.
			args := append([]string{"install", "--yes", "--no-install-recommends", "--no-remove"}, set...)
			if !apt.possible(ctx, args) {
				continue // not available, or in conflict
			}
			report(log, "%v: installing %s with apt-get", missing, strings.Join(set, " and "))
			if err := apt.run(ctx, args...); err != nil {
				failed = errors.Join(failed, err)
				continue
			}
			if find(ctx) == nil {
				return nil
			}
		}
	}
	if failed == nil {
		failed = errors.New("apt-get has no package for it")
	}
	return fmt.Errorf("%w, and it could not be installed (%s): %w", missing, want.advice, failed)
}

// aptGet runs apt-get, through sudo if this process is not root.
type aptGet struct {
	path string
	sudo string // empty: this process is root
}

func findApt() (aptGet, error) {
	path, err := lookPath("apt-get")
	if err != nil {
		return aptGet{}, errors.New("there is no apt-get here")
	}
	if os.Geteuid() == 0 {
		return aptGet{path: path}, nil
	}
	sudo, err := lookPath("sudo")
	if err != nil {
		return aptGet{}, errors.New("you are not root and there is no sudo")
	}
	return aptGet{path: path, sudo: sudo}, nil
}

// possible simulates apt-get, which needs no rights.
func (a aptGet) possible(ctx context.Context, args []string) bool {
	return aptGet{path: a.path}.run(ctx, append(args, "--simulate")...) == nil
}

// update waits while another process updates, as a machine does by itself soon after boot. apt-get waits for the lock
// on packages, but fails at once on this one.
func (a aptGet) update(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, aptLockLimit)
	defer cancel()
	var last error
	err := until(ctx, time.Second, func() (bool, error) {
		last = a.run(ctx, "update")
		busy := last != nil && strings.Contains(last.Error(), "/var/lib/apt/lists/lock")
		return !busy, nil
	})
	if last != nil {
		return last
	}
	return err
}

func (a aptGet) run(ctx context.Context, args ...string) error {
	// With SYSTEMD_OFFLINE systemctl ignores a package script's request to start its service. A policy-rc.d file would
	// do the same, but if a crash left it behind it would stop all later services.
	argv := []string{
		"env", "DEBIAN_FRONTEND=noninteractive", "SYSTEMD_OFFLINE=1", "LC_ALL=C",
		a.path, "-o", fmt.Sprintf("DPkg::Lock::Timeout=%.0f", aptLockLimit.Seconds()),
	}
	if a.sudo != "" {
		argv = append([]string{a.sudo}, argv...) // it asks for a password on the terminal, not on stdin
	}
	argv = append(argv, args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // G204: apt-get, with packages of this file
	// An interrupted dpkg leaves half a package, so apt-get is asked, not killed. If sudo does not allow even that,
	// wait for its end.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Minute
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("apt-get %s: %w; it said:\n%s", args[0], err, lastLines(out.Bytes(), 8))
	}
	return nil
}

// report tells the user, if there is a log.
func report(log func(string, ...any), format string, args ...any) {
	if log != nil {
		log(format, args...)
	}
}
