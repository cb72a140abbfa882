package simulator

import (
	"bufio"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// Machine describes where the shoppers ran. Unknown fields are empty.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"` // that this process may use
	Memory int64  `json:"memory_bytes"`
	OS     string `json:"os"`
}

func thisMachine() Machine {
	kib, _ := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", "MemTotal", ":"), " kB"), 10, 64) // 0 elsewhere than on Linux
	m := Machine{
		CPU: field("/proc/cpuinfo", "model name", ":"), Cores: runtime.GOMAXPROCS(0), Memory: kib << 10,
		OS: strings.Trim(field("/etc/os-release", "PRETTY_NAME", "="), `"`),
	}
	if m.CPU == "" {
		m.CPU = runtime.GOARCH
	}
	if m.OS == "" {
		m.OS = runtime.GOOS
	}
	return m
}

// field returns the value of the first line that has the name, "" if there is none.
func field(path, name, separator string) string {
	file, err := os.Open(path) //nolint:gosec // G304: constants
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), separator); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// version is the commit that this program was built from, or the module's version.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	commit, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = ", with uncommitted changes"
		}
	}
	if commit == "" {
		return info.Main.Version
	}
	return "commit " + commit + modified
}
