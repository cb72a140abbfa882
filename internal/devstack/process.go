package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process identifies one process of this boot. The kernel reuses pids, but not a pid with the same start time.
type process struct {
	PID        int    `json:"pid"`
	StartTicks uint64 `json:"start_ticks"` // field 22 of /proc/PID/stat: clock ticks since boot
}

// procStat is the part of /proc/PID/stat (proc(5)) that identifies a process and tells whether it still runs.
type procStat struct {
	state      byte
	parent     int
	threads    int
	startTicks uint64
}

func readProcStat(pid int) (procStat, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, err
	}
	// The second field is the command in parentheses, which may itself contain blanks and parentheses.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 {
		return procStat{}, fmt.Errorf("/proc/%d/stat has only %d fields", pid, len(fields)+2)
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return procStat{}, fmt.Errorf("parent of process %d: %w", pid, err)
	}
	threads, err := strconv.Atoi(fields[17])
	if err != nil {
		return procStat{}, fmt.Errorf("threads of process %d: %w", pid, err)
	}
	ticks, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return procStat{}, fmt.Errorf("start time of process %d: %w", pid, err)
	}
	return procStat{state: fields[0][0], parent: parent, threads: threads, startTicks: ticks}, nil
}

// ParentOf returns the current parent of a process, or 0 if it cannot be read.
func ParentOf(pid int) int {
	stat, err := readProcStat(pid)
	if err != nil {
		return 0
	}
	return stat.parent
}

// gone reports whether the process has ended with all its threads, so that its ports and file locks are free. It reaps
// the process if it was a child of this one: nothing else waits for a Stack's servers.
func (p process) gone() bool {
	if p.PID <= 0 {
		return true
	}
	st, err := readProcStat(p.PID)
	if err != nil || st.startTicks != p.StartTicks {
		return true
	}
	// The first thread of a killed process can be a zombie while others still hold its files.
	if (st.state != 'Z' && st.state != 'X') || st.threads > 1 {
		return false
	}
	_, _ = syscall.Wait4(p.PID, nil, syscall.WNOHANG, nil) // ECHILD: its parent must reap it
	return true
}

// worksIn reports whether the process runs with dir as its working directory.
func (p process) worksIn(dir string) bool {
	if p.gone() {
		return false
	}
	want, err := os.Stat(dir)
	if err != nil {
		return false
	}
	got, err := os.Stat(fmt.Sprintf("/proc/%d/cwd", p.PID))
	return err == nil && os.SameFile(want, got)
}

// signal sends sig to exactly this process. If it has ended, no process gets the signal.
func (p process) signal(sig syscall.Signal) error {
	// FindProcess opens a pidfd: if the check below still sees our process, the signal can reach no other.
	h, err := os.FindProcess(p.PID)
	if err != nil {
		return fmt.Errorf("find process %d: %w", p.PID, err)
	}
	defer func() { _ = h.Release() }()
	if p.gone() {
		return nil
	}
	if err := h.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to process %d: %w", sig, p.PID, err)
	}
	return nil
}

// end asks the process to end, and kills it after the grace period.
func (p process) end(grace time.Duration) error {
	if p.gone() {
		return nil
	}
	// A stopped process sees SIGTERM only after SIGCONT.
	if err := errors.Join(p.signal(syscall.SIGTERM), p.signal(syscall.SIGCONT)); err != nil {
		return err
	}
	if p.waitGone(grace) == nil {
		return nil
	}
	return p.kill()
}

// kill ends the process at once and waits until all of it is gone.
func (p process) kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	return p.waitGone(20 * time.Second) // the kernel may have to finish writing first
}

func (p process) waitGone(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := until(ctx, pollEvery, func() (bool, error) { return p.gone(), nil }); err != nil {
		return fmt.Errorf("process %d did not end within %v", p.PID, limit)
	}
	return nil
}

// command is a program to run: argv[0] may differ from the path.
type command struct {
	path string
	argv []string
	dir  string // the working directory, by which worksIn recognises the process
	log  string // file for stdout and stderr
}

// launch starts the command in a process group of its own, so that a Ctrl-C in the terminal reaches only this process.
// A tied process is killed when this process dies; any other outlives it.
func (c command) launch(tied bool) (process, error) {
	// The last run's log is kept: it may show why the server had to be started again.
	if err := os.Rename(c.log, c.log+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return process{}, fmt.Errorf("keep the last log: %w", err)
	}
	out, err := os.OpenFile(c.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return process{}, fmt.Errorf("open the log: %w", err)
	}
	defer func() { _ = out.Close() }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return process{}, fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	defer func() { _ = null.Close() }()
	attr := &os.ProcAttr{
		Dir: c.dir, Env: cleanEnv(), Files: []*os.File{null, out, out},
		Sys: &syscall.SysProcAttr{Setpgid: true},
	}
	if tied {
		return launchTied(c, attr)
	}
	h, err := os.StartProcess(c.path, c.argv, attr)
	if err != nil {
		return process{}, fmt.Errorf("start %s: %w", c.path, err)
	}
	defer func() { _ = h.Release() }()
	return identify(h.Pid)
}

// launchTied starts the command so that it is killed when this process dies.
func launchTied(c command, attr *os.ProcAttr) (p process, err error) {
	attr.Sys.Pdeathsig = syscall.SIGKILL
	var h *os.Process
	err = Tie(func() (err error) {
		if h, err = os.StartProcess(c.path, c.argv, attr); err != nil {
			return fmt.Errorf("start %s: %w", c.path, err)
		}
		p, err = identify(h.Pid)
		return err
	}, func() {
		if h != nil {
			_, _ = h.Wait() // its log tells how it ended
		}
	})
	return p, err
}

// Tie starts a child process that has a parent death signal (syscall.SysProcAttr.Pdeathsig). The kernel sends the signal
// when the thread that started the child ends, so start and wait run on one locked thread. wait returns when the child
// has ended; it runs even if start fails. Tie returns the error of start, without waiting.
func Tie(start func() error, wait func()) error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		started <- start()
		wait()
	}()
	return <-started
}

// identify is for a child that has not been waited for: its pid cannot belong to another process yet.
func identify(pid int) (process, error) {
	st, err := readProcStat(pid)
	if err != nil {
		return process{}, fmt.Errorf("identify the started process: %w", err)
	}
	return process{PID: pid, StartTicks: st.startTicks}, nil
}

// cleanEnv removes variables such as MYSQL_HOME, TMPDIR, TZ and LD_PRELOAD, and keeps the servers' messages in English.
func cleanEnv() []string {
	return []string{"PATH=" + os.Getenv("PATH") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin", "LC_ALL=C"}
}

// serversIn finds database and cache servers that work in dir, independent of state.json: the file may be lost, or its
// writer may have been killed. Other programs that work in dir, such as a shell, are not servers.
func serversIn(dir string) []process {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		exe, err := os.Readlink("/proc/" + e.Name() + "/exe")
		name := filepath.Base(strings.TrimSuffix(exe, " (deleted)")) // an upgrade deletes the file of a running server
		if err != nil || !slices.Contains(serverNames, name) {
			continue
		}
		if p, err := identify(pid); err == nil && p.worksIn(dir) {
			found = append(found, p)
		}
	}
	return found
}
