package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

// process identifies one process of this boot. The kernel reuses pids, but not a pid with the same start time.
type process struct {
	PID        int    `json:"pid"`
	StartTicks uint64 `json:"start_ticks"` // the start time in the system's own unit
}

// procStat identifies a process and tells whether it still runs.
type procStat struct {
	dead       bool // ended, and not reaped yet
	stopped    bool // by SIGSTOP
	parent     int
	threads    int
	startTicks uint64
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
	if !st.dead || st.threads > 1 {
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
	got, err := workingDir(p.PID)
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

// launchTied starts the command so that it is killed when this process dies; see DieWithParent.
func launchTied(c command, attr *os.ProcAttr) (p process, err error) {
	DieWithParent(attr.Sys, syscall.SIGKILL)
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

// Tie starts a child process that has a parent death signal (DieWithParent). The kernel sends the signal
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
	var found []process
	for _, pid := range serverPIDs() {
		if p, err := identify(pid); err == nil && p.worksIn(dir) {
			found = append(found, p)
		}
	}
	return found
}
