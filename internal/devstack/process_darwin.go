package devstack

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// States of a process, from <sys/proc.h>.
const (
	stopped = 4
	zombie  = 5
)

func readProcStat(pid int) (procStat, error) {
	p, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return procStat{}, fmt.Errorf("read process %d: %w", pid, err)
	}
	start := p.Proc.P_starttime
	return procStat{
		dead: p.Proc.P_stat == zombie, stopped: p.Proc.P_stat == stopped, parent: int(p.Eproc.Ppid), threads: 1,
		startTicks: uint64(start.Sec)*1_000_000 + uint64(start.Usec), //nolint:gosec // G115: times after 1970
	}, nil
}

// workingDir asks lsof, which macOS has: without cgo no system call tells it.
func workingDir(pid int) (os.FileInfo, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "/usr/sbin/lsof", "-a", "-p", strconv.Itoa(pid), "-d", "cwd", "-Fn").Output() //nolint:gosec // G204: a number
	if err != nil {
		return nil, fmt.Errorf("ask lsof for the directory of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(out)) {
		if path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "n"); ok {
			return os.Stat(path)
		}
	}
	return nil, fmt.Errorf("lsof does not know the directory of process %d", pid)
}

// serverPIDs lists the processes whose executable has the name of a server.
func serverPIDs() []int {
	all, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return nil
	}
	var found []int
	for _, p := range all {
		if slices.Contains(serverNames, unix.ByteSliceToString(p.Proc.P_comm[:])) {
			found = append(found, int(p.Proc.P_pid))
		}
	}
	return found
}

// DieWithParent does nothing: macOS has no parent death signal. A child whose parent was killed (SIGKILL) runs on.
func DieWithParent(*syscall.SysProcAttr, syscall.Signal) {}
