package devstack

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// serverNames are the file names that a server's executable may have.
var serverNames = []string{
	"mariadbd", "mysqld", "valkey-server", "valkey-check-rdb", "redis-server", "redis-check-rdb",
}

var (
	errNoDatabase = errors.New("no MariaDB or MySQL server is installed")
	errNoCache    = errors.New("no Valkey or Redis server is installed")
)

// programs are the executables of this machine.
type programs struct {
	mysqld    string // path of mariadbd or mysqld
	installDB string // path of mariadb-install-db; empty: mysqld is MySQL's
	cache     string // path of Valkey or Redis
	// cacheName is the argv[0] that makes the file a server. Debian and Ubuntu ship one file under several names:
	// called redis-check-rdb it checks a dump, called redis-server it serves. The package of the first name
	// (redis-tools, valkey-tools) has no system service; that of the second name does.
	cacheName string
}

func (p programs) isMariaDB() bool { return p.installDB != "" }

func (p programs) databaseName() string {
	if p.isMariaDB() {
		return "MariaDB"
	}
	return "MySQL"
}

// findDatabase prefers MariaDB.
func (p *programs) findDatabase(ctx context.Context) error {
	for _, name := range []string{"mariadbd", "mysqld"} {
		path, err := lookPath(name)
		if err != nil {
			continue
		}
		if name == "mysqld" && !strings.Contains(version(ctx, path, path), "MariaDB") {
			p.mysqld, p.installDB = path, ""
			return nil
		}
		// mariadb-install-db starts my_print_defaults, which Debian packages elsewhere.
		installDB, err := lookPath("mariadb-install-db")
		if err != nil {
			continue
		}
		if _, err := lookPath("my_print_defaults"); err == nil {
			p.mysqld, p.installDB = path, installDB
			return nil
		}
	}
	return errNoDatabase
}

var cacheVersion = regexp.MustCompile(`(?i)server v=\d`)

// findCache prefers Valkey, which the deployed system uses.
func (p *programs) findCache(ctx context.Context) error {
	for _, name := range []string{"valkey-server", "redis-server"} {
		for _, file := range []string{name, strings.Replace(name, "-server", "-check-rdb", 1)} {
			path, err := lookPath(file)
			if err == nil && cacheVersion.MatchString(version(ctx, path, name)) {
				p.cache, p.cacheName = path, name
				return nil
			}
		}
	}
	return errNoCache
}

// lookPath also looks in /usr/sbin, which is not in every user's PATH, and where Homebrew installs.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return filepath.Abs(path)
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/opt/homebrew/bin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", err
}

// version returns the program's own version line, or "".
func version(ctx context.Context, path, argv0 string) string {
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Args[0], cmd.Env = argv0, cleanEnv()
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return string(out)
}
