package main

import (
	"context"
	"errors"
	"fmt"
	stdnet "net"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"
	"github.com/shirou/gopsutil/v4/process"
)

// database is a server to measure on.
type database struct {
	dsn      string // an administrator's
	label    string // such as "MariaDB 10.11.19"
	settings string // those that a figure depends on
}

// identify asks a database server for its version and its settings.
func identify(ctx context.Context, dsn string) (_ database, err error) {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return database{}, fmt.Errorf("reading the DSN: %w", err)
	}
	cfg.DBName = "information_schema" // every server has it; the one of the DSN need not exist
	admin, err := connect(cfg.FormatDSN(), 1)
	if err != nil {
		return database{}, err
	}
	defer func() { err = errors.Join(err, admin.Close()) }()
	d := database{dsn: dsn}
	var pool, flush, binlog, instrumented int
	err = admin.QueryRowContext(ctx, `SELECT VERSION(), CAST(@@innodb_buffer_pool_size / 1048576 AS SIGNED),
		@@innodb_flush_log_at_trx_commit, @@log_bin, @@performance_schema`).Scan(&d.label, &pool, &flush, &binlog, &instrumented)
	if err != nil {
		return d, fmt.Errorf("asking the database server for its settings: %w", err)
	}
	d.settings = fmt.Sprintf("buffer pool %d MiB, innodb_flush_log_at_trx_commit %d, log_bin %d, performance_schema %d", pool, flush, binlog, instrumented)
	version, rest, _ := strings.Cut(d.label, "-")
	if d.label = "MySQL " + version; strings.Contains(rest, "MariaDB") {
		d.label = "MariaDB " + version
	}
	return d, nil
}

// machine describes this machine in a line.
func machine() string {
	model, system, gib := "unknown processor", runtime.GOOS, 0.0
	if info, err := cpu.Info(); err == nil && len(info) > 0 {
		model = info[0].ModelName
	}
	if memory, err := mem.VirtualMemory(); err == nil {
		gib = float64(memory.Total) / (1 << 30)
	}
	if info, err := host.Info(); err == nil {
		system = info.Platform + " " + info.PlatformVersion + ", kernel " + info.KernelVersion
	}
	return fmt.Sprintf("%d × %s, %.1f GiB, %s/%s, %s, %s", runtime.NumCPU(), model, gib, runtime.GOOS, runtime.GOARCH, system, runtime.Version())
}

// commit names the source that this program was built from.
func commit() string {
	commit := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			} else if s.Key == "vcs.modified" && s.Value == "true" {
				commit += " with changes"
			}
		}
	}
	return commit
}

// usage is CPU time over a period, all in seconds.
type usage struct {
	took       float64
	ours, self float64 // of the measured processes and this one; of this one alone
	others     float64 // of all other processes, and what a hypervisor took
}

// busyShare is the share of the CPU above which the report warns.
const busyShare = 0.10

func (u usage) othersShare() float64 {
	if u.took == 0 {
		return 0
	}
	return max(u.others, 0) / u.took / float64(runtime.NumCPU())
}

// watch starts to count CPU time, and returns the function that stops. pids are the measured processes.
func watch(pids ...int32) func() usage {
	start, before := time.Now(), cpuTimes(pids)
	return func() usage {
		after := cpuTimes(pids)
		ours := after.ours - before.ours
		return usage{
			took: time.Since(start).Seconds(), ours: ours, self: after.self - before.self, others: after.others - before.others - ours,
		}
	}
}

// cpuTimes reads the clocks of the processes. In others it returns the clock of the whole machine, without interrupts:
// the kernel charges them to no process.
func cpuTimes(pids []int32) usage {
	var u usage
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var r syscall.Rusage
		if syscall.Getrusage(who, &r) == nil {
			u.self += time.Duration(r.Utime.Nano() + r.Stime.Nano()).Seconds()
		}
	}
	u.ours = u.self
	for _, pid := range pids {
		if p, err := process.NewProcess(pid); err == nil {
			if t, err := p.Times(); err == nil {
				u.ours += t.User + t.System
			}
		}
	}
	if all, err := cpu.Times(false); err == nil && len(all) > 0 {
		u.others = all[0].User + all[0].Nice + all[0].System + all[0].Steal
	}
	return u
}

// warnIfBusy looks at the machine for a second before anything is measured.
func (o *options) warnIfBusy(ctx context.Context) error {
	stop := watch()
	if err := sleep(ctx, time.Second); err != nil {
		return err
	}
	if share := stop().othersShare(); share > busyShare {
		progress("WARNING: other processes use %.0f %% of this machine's CPU now. Stop them, or the figures are worth little.", 100*share)
	}
	return nil
}

// listener returns the process that listens on a loopback address, or 0 if this user cannot see it. The report then
// counts its CPU time with the other processes.
func listener(ctx context.Context, addr string) int32 {
	_, text, err := stdnet.SplitHostPort(addr)
	if err != nil {
		return 0
	}
	port, _ := strconv.ParseUint(text, 10, 16)
	sockets, _ := net.ConnectionsWithContext(ctx, "tcp")
	for _, s := range sockets {
		if s.Status == "LISTEN" && uint64(s.Laddr.Port) == port {
			return s.Pid
		}
	}
	return 0
}

// memory returns the resident memory of a process in MiB.
func memory(pid int) (float64, error) {
	p, err := process.NewProcess(int32(pid)) //nolint:gosec // G115: Linux's pids fit
	if err != nil {
		return 0, err
	}
	info, err := p.MemoryInfo()
	if err != nil {
		return 0, err
	}
	return float64(info.RSS) / (1 << 20), nil
}
