package devstack

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// readProcStat reads /proc/PID/stat; see proc(5).
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
	ticks, err := strconv.ParseUint(fields[19], 10, 64) // clock ticks since boot
	if err != nil {
		return procStat{}, fmt.Errorf("start time of process %d: %w", pid, err)
	}
	state := fields[0][0]
	return procStat{
		dead: state == 'Z' || state == 'X', stopped: state == 'T', parent: parent, threads: threads, startTicks: ticks,
	}, nil
}

func workingDir(pid int) (os.FileInfo, error) { return os.Stat(fmt.Sprintf("/proc/%d/cwd", pid)) }

// serverPIDs lists the processes whose executable has the name of a server.
func serverPIDs() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		exe, err := os.Readlink("/proc/" + e.Name() + "/exe")
		name := filepath.Base(strings.TrimSuffix(exe, " (deleted)")) // an upgrade deletes the file of a running server
		if err == nil && slices.Contains(serverNames, name) {
			found = append(found, pid)
		}
	}
	return found
}

// DieWithParent lets the kernel send sig to the child when its parent dies. Start the child with Tie.
func DieWithParent(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }
