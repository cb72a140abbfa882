package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/prometheus/procfs"
	"github.com/valkey-io/valkey-go"
)

// Machine is what the figures were measured on.
type Machine struct {
	Processor string   `json:"processor"`
	Cores     int      `json:"cores"`
	MemoryGiB float64  `json:"memory_gib"`
	System    string   `json:"system"`
	Go        string   `json:"go"`
	Databases []string `json:"databases"`
	Cache     string   `json:"cache"`
	Revision  string   `json:"revision"` // of this program
	SyncMS    float64  `json:"sync_ms"`  // median time to get 4 KiB onto the disk of the working directory, which bounds a commit
}

// Describe finds out what this is. What cannot be found out is "unknown".
func Describe(ctx context.Context, dir string, databases []Database, cacheAddr string) (Machine, error) {
	m := Machine{
		Processor: "unknown", Cores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH,
		Go: runtime.Version(), Revision: revision(),
	}
	if fs, err := procfs.NewDefaultFS(); err == nil {
		if cpus, err := fs.CPUInfo(); err == nil && len(cpus) > 0 && cpus[0].ModelName != "" {
			m.Processor = cpus[0].ModelName
		}
		if memory, err := fs.Meminfo(); err == nil && memory.MemTotal != nil {
			m.MemoryGiB = float64(*memory.MemTotal) / (1 << 20) // given in KiB
		}
	}
	m.System += ", " + system()
	for _, d := range databases {
		m.Databases = append(m.Databases, d.Label+" ("+d.Setup+")")
	}
	var err error
	if m.Cache, err = cacheLabel(ctx, cacheAddr); err != nil {
		return m, err
	}
	m.SyncMS, err = syncTime(dir)
	return m, err
}

func system() string {
	name := "unknown"
	if text, err := os.ReadFile("/etc/os-release"); err == nil {
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
				name = strings.Trim(value, `"`)
			}
		}
	}
	if kernel, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		name += ", kernel " + strings.TrimSpace(string(kernel))
	}
	return name
}

func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	commit, changed := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = " with changes"
		}
	}
	return commit + changed
}

// LabelDatabase returns a database that knows what it is.
func LabelDatabase(ctx context.Context, dsn string) (_ Database, err error) {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return Database{}, fmt.Errorf("reading the DSN: %w", err)
	}
	cfg.DBName = "" // it need not exist
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return Database{}, fmt.Errorf("preparing the database connection: %w", err)
	}
	db := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, db.Close()) }()
	var version string
	if err := db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		return Database{}, fmt.Errorf("asking the database for its version: %w", err)
	}
	number, rest, _ := strings.Cut(version, "-")
	product := "MySQL"
	if strings.Contains(rest, "MariaDB") {
		product = "MariaDB"
	}
	d := Database{DSN: dsn, Label: product + " " + number}
	d.Setup, err = setup(ctx, db)
	return d, err
}

// setup names the settings that decide what a commit costs, and what fits into memory.
func setup(ctx context.Context, db *sql.DB) (string, error) {
	var pool float64
	var flush, binlog, instrumented int
	err := db.QueryRowContext(ctx, "SELECT @@innodb_buffer_pool_size / 1048576, @@innodb_flush_log_at_trx_commit, @@log_bin, @@performance_schema").
		Scan(&pool, &flush, &binlog, &instrumented)
	if err != nil {
		return "", fmt.Errorf("asking the database for its settings: %w", err)
	}
	onOff := []string{"off", "on"}
	return say("buffer pool %s MiB, innodb_flush_log_at_trx_commit %d, binary log %s, performance_schema %s",
		digits(pool), flush, onOff[binlog&1], onOff[instrumented&1]), nil
}

// cacheInfo returns the section "server" of the cache's INFO.
func cacheInfo(ctx context.Context, addr string) (_ map[string]string, err error) {
	client, err := valkey.NewClient(valkey.ClientOption{InitAddress: []string{addr}, ForceSingleClient: true, DisableCache: true})
	if err != nil {
		return nil, fmt.Errorf("connecting to the cache: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	text, err := client.Do(ctx, client.B().Info().Section("server").Build()).ToString()
	if err != nil {
		return nil, fmt.Errorf("asking the cache what it is: %w", err)
	}
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info, nil
}

func cacheLabel(ctx context.Context, addr string) (string, error) {
	info, err := cacheInfo(ctx, addr)
	if err != nil {
		return "", err
	}
	if version := info["valkey_version"]; version != "" {
		return "Valkey " + version, nil
	}
	return "Redis " + info["redis_version"], nil
}

// syncTime measures how long the disk takes.
func syncTime(dir string) (_ float64, err error) {
	file, err := os.CreateTemp(dir, "sync-*")
	if err != nil {
		return 0, fmt.Errorf("measuring the disk: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(filepath.Clean(file.Name()))) }()
	block := make([]byte, 4096)
	times := make([]float64, 101)
	for i := range times {
		start := time.Now()
		if _, err := file.Write(block); err != nil {
			return 0, fmt.Errorf("measuring the disk: %w", err)
		}
		if err := file.Sync(); err != nil {
			return 0, fmt.Errorf("measuring the disk: %w", err)
		}
		times[i] = ms(time.Since(start))
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}
