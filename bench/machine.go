package main

import (
	"context"
	"errors"
	"fmt"
	stdnet "net"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/host"
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
	err = admin.QueryRowContext(ctx, `SELECT
		CONCAT(IF(VERSION() LIKE '%MariaDB%', 'MariaDB ', 'MySQL '), SUBSTRING_INDEX(VERSION(), '-', 1)),
		CONCAT('buffer pool ', @@innodb_buffer_pool_size DIV 1048576, ' MiB, innodb_flush_log_at_trx_commit ', @@innodb_flush_log_at_trx_commit,
			', log_bin ', @@log_bin, ', performance_schema ', @@performance_schema)`).Scan(&d.label, &d.settings)
	if err != nil {
		err = fmt.Errorf("asking the database server for its settings: %w", err)
	}
	return d, err
}

// machine describes this machine, and the source of this program, in a line.
func machine() string {
	model, system, source := "unknown processor", runtime.GOOS, ""
	if info, err := cpu.Info(); err == nil && len(info) > 0 {
		model = info[0].ModelName
	}
	if info, err := host.Info(); err == nil {
		system = info.Platform + " " + info.PlatformVersion + ", kernel " + info.KernelVersion
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if strings.HasPrefix(setting.Key, "vcs.") {
				source += " " + setting.Key + "=" + setting.Value
			}
		}
	}
	return fmt.Sprintf("%d × %s, %s, %s%s", runtime.NumCPU(), model, system, runtime.Version(), source)
}

// usage is CPU time over a period, all in seconds.
type usage struct {
	took     float64
	measured float64 // of the measured processes
	others   float64 // of all processes but those and this one, and what a hypervisor took
}

// busyShare is the share of the CPU above which the report warns.
const busyShare = 0.10

func (u usage) othersShare() float64 { return max(u.others, 0) / u.took / float64(runtime.NumCPU()) }

// watch starts to count CPU time, and returns the function that stops. pids are the measured processes.
func watch(pids ...int32) func() usage {
	read := func() (measured, others float64) {
		measured = cpuOf(pids...)
		// Without interrupts: the kernel charges them to no process.
		if all, err := cpu.Times(false); err == nil && len(all) > 0 {
			others = all[0].User + all[0].Nice + all[0].System + all[0].Steal - measured - cpuOf(int32(os.Getpid())) //nolint:gosec // G115: Linux's pids fit
		}
		return measured, others
	}
	start := time.Now()
	measured, others := read()
	return func() usage {
		measuredNow, othersNow := read()
		return usage{took: time.Since(start).Seconds(), measured: measuredNow - measured, others: othersNow - others}
	}
}

// cpuOf returns the CPU time of processes, without those that this user cannot see.
func cpuOf(pids ...int32) (seconds float64) {
	for _, pid := range pids {
		if p, err := process.NewProcess(pid); err == nil {
			if t, err := p.Times(); err == nil {
				seconds += t.User + t.System
			}
		}
	}
	return seconds
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
	_, port, err := stdnet.SplitHostPort(addr)
	if err != nil {
		return 0
	}
	sockets, _ := net.ConnectionsWithContext(ctx, "tcp")
	for _, s := range sockets {
		if s.Status == "LISTEN" && strconv.Itoa(int(s.Laddr.Port)) == port {
			return s.Pid
		}
	}
	return 0
}
