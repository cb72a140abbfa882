package bench

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/prometheus/procfs"
)

// The processes that share a machine, as the report names them.
const (
	theServer    = "server"
	theDatabase  = "database"
	theCache     = "cache"
	theGenerator = "load generator"
)

// crew are the processes that work for a case. Those on other machines, or that may not be looked at, are not in it.
type crew struct {
	pids   map[string]int
	unseen []string // who is not, and why
}

// newCrew finds the processes: the load generator is this one; serverPID is 0 when there is no server.
func newCrew(dsn, cacheAddr string, serverPID int) crew {
	c := crew{pids: map[string]int{theGenerator: os.Getpid()}}
	if serverPID != 0 {
		c.pids[theServer] = serverPID
	}
	see := func(name, addr string) {
		pid, err := listenerOf(addr)
		if err == nil {
			_, err = cpuTime(pid)
		}
		if err != nil {
			c.unseen = append(c.unseen, fmt.Sprintf("CPU of the %s: %s", name, err))
			return
		}
		c.pids[name] = pid
	}
	if cfg, err := mysql.ParseDSN(dsn); err == nil {
		see(theDatabase, cfg.Addr)
	}
	see(theCache, cacheAddr)
	return c
}

// watch begins to count; the function that it returns says how many cores each kept busy since then.
func (c crew) watch() func() map[string]float64 {
	start, before := time.Now(), c.times()
	return func() map[string]float64 {
		took, after := time.Since(start).Seconds(), c.times()
		cores := map[string]float64{}
		for name, t := range after {
			if earlier, ok := before[name]; ok {
				cores[name] = (t - earlier) / took
			}
		}
		return cores
	}
}

func (c crew) times() map[string]float64 {
	times := map[string]float64{}
	for name, pid := range c.pids {
		if t, err := cpuTime(pid); err == nil {
			times[name] = t
		}
	}
	return times
}

// cpuTime is how many seconds of CPU a process has used.
func cpuTime(pid int) (float64, error) {
	stat, err := statOf(pid)
	if err != nil {
		return 0, err
	}
	return stat.CPUTime(), nil
}

// memory is what a process has in memory (RSS), in bytes.
func memory(pid int) (int, error) {
	stat, err := statOf(pid)
	if err != nil {
		return 0, err
	}
	return stat.ResidentMemory(), nil
}

func statOf(pid int) (procfs.ProcStat, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return procfs.ProcStat{}, fmt.Errorf("looking at process %d: %w", pid, err)
	}
	stat, err := p.Stat()
	if err != nil {
		return procfs.ProcStat{}, fmt.Errorf("looking at process %d: %w", pid, err)
	}
	return stat, nil
}

// listenerOf finds the process that listens on a loopback address: its socket's inode is among its open files.
func listenerOf(addr string) (int, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, fmt.Errorf("%s is not host:port", addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return 0, fmt.Errorf("%s is another machine's, as far as this one can tell", addr)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%s is not host:port", addr)
	}
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, fmt.Errorf("there is no /proc: %w", err)
	}
	inodes := map[string]bool{}
	const listening = 0x0A
	for _, table := range []func() (procfs.NetTCP, error){fs.NetTCP, fs.NetTCP6} { //nolint:staticcheck // SA1019: netlink would be one more dependency, for this one look
		sockets, err := table()
		if err != nil {
			continue // without IPv6 there is no second table
		}
		for _, s := range sockets {
			if s.St == listening && s.LocalPort == port {
				inodes[fmt.Sprintf("socket:[%d]", s.Inode)] = true
			}
		}
	}
	all, err := fs.AllProcs()
	if err != nil {
		return 0, fmt.Errorf("looking for who listens on %s: %w", addr, err)
	}
	for _, p := range all {
		targets, err := p.FileDescriptorTargets()
		if err != nil {
			continue // somebody else's, or gone
		}
		for _, target := range targets {
			if inodes[strings.TrimSpace(target)] {
				return p.PID, nil
			}
		}
	}
	return 0, fmt.Errorf("no process that this user may look at listens on %s", addr)
}
