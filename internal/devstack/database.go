package devstack

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	databaseName  = "flashsale"
	databaseGrace = 60 * time.Second // a clean shutdown writes dirty pages; after a kill the next start needs recovery
	initLimit     = 2 * time.Minute  // making a data directory takes about a second
)

// database is MariaDB or MySQL below one directory.
type database struct {
	server
	programs programs
	root     string // has the data, the password and the log
	password string
}

// newDatabase prepares the directory's password; nothing runs yet.
func newDatabase(root string, p programs) (*database, error) {
	password, err := readOrMakePassword(filepath.Join(root, "root-password"))
	if err != nil {
		return nil, err
	}
	db := &database{programs: p, root: root, password: password}
	db.server = server{
		name: p.databaseName(), path: p.mysqld, argv: db.argv, dir: filepath.Join(root, "mysql"),
		log: filepath.Join(root, "mysql.log"), grace: databaseGrace, ready: db.responds,
	}
	return db, nil
}

// argv gives the options that matter to this project's tests and measurements. The server reads no option file, so the
// rest are its defaults.
func (db *database) argv(port int) []string {
	argv := []string{
		db.path, "--no-defaults",
		"--datadir=" + db.dir, "--tmpdir=" + db.tmp(), "--init-file=" + db.initFile(),
		"--bind-address=127.0.0.1", fmt.Sprintf("--port=%d", port),
		// Relative to the data directory: the path of a Unix socket has at most 107 bytes, and ours may be deeper.
		"--socket=mysql.sock", "--pid-file=server.pid",
		"--skip-name-resolve", "--skip-log-bin", "--max-connections=1000", "--default-time-zone=+00:00",
		"--character-set-server=utf8mb4", "--innodb-buffer-pool-size=256M", "--innodb-flush-log-at-trx-commit=1",
		"--innodb-lock-wait-timeout=3", "--innodb-rollback-on-timeout=ON",
	}
	if os.Geteuid() == 0 {
		// Not user mysql: it could not reach a data directory below, say, /root.
		argv = append(argv, "--user=root")
	}
	if db.programs.isMariaDB() {
		return append(argv, "--performance-schema=OFF")
	}
	return append(argv, "--mysqlx=OFF")
}

// prepare creates everything the server needs in the directory. The server must not run.
func (db *database) prepare(ctx context.Context, log func(string, ...any)) error {
	if err := os.MkdirAll(db.tmp(), 0o700); err != nil {
		return fmt.Errorf("make the database's directory for temporary files: %w", err)
	}
	switch _, err := os.Stat(db.dir); {
	case errors.Is(err, os.ErrNotExist):
		log("making a new %s data directory in %s", db.name, db.dir)
		if err := db.initialise(ctx); err != nil {
			return err
		}
	case err != nil:
		return fmt.Errorf("look for the data directory: %w", err)
	}
	// Only MariaDB has Aria tables. Each server would refuse the other's files or, worse, convert them.
	if _, err := os.Stat(filepath.Join(db.dir, "aria_log_control")); (err == nil) != db.programs.isMariaDB() {
		return fmt.Errorf("the data in %s are another product's than %s: delete the directory or install that product", db.dir, db.name)
	}
	// MySQL refuses to start if another process now has the pid in a dead server's socket lock.
	for _, name := range []string{"mysql.sock", "mysql.sock.lock"} {
		if err := os.Remove(filepath.Join(db.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove a dead server's socket: %w", err)
		}
	}
	return db.writeInitFile()
}

// initialise creates the data directory under another name first, so that it is complete as soon as it exists.
func (db *database) initialise(ctx context.Context) error {
	const pattern = "mysql-new-"
	left, err := filepath.Glob(filepath.Join(db.root, pattern+"*"))
	if err != nil {
		return fmt.Errorf("look for unfinished data directories: %w", err)
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove an unfinished data directory: %w", err)
		}
	}
	fresh, err := os.MkdirTemp(db.root, pattern)
	if err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	datadir := "--datadir=" + fresh
	argv := []string{db.path, "--no-defaults", "--initialize-insecure", datadir}
	if os.Geteuid() == 0 {
		argv = append(argv, "--user=root")
	}
	if db.programs.isMariaDB() {
		// No --user: with it the script would change the owner of the installed package's files. --force: it does not
		// query the resolver.
		argv = []string{db.programs.installDB, "--no-defaults", "--force", "--skip-test-db", "--auth-root-socket-user=root", datadir}
	}
	ctx, cancel := context.WithTimeout(ctx, initLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // G204: the path comes from programs.go
	// TMPDIR, not --tmpdir: the script would split that at blanks.
	cmd.Dir, cmd.Env = db.root, append(cleanEnv(), "TMPDIR="+db.tmp())
	// The script runs a server. They are one process group, so that a timeout ends both.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		// The server's own messages; the script adds a page of advice.
		said, _, _ := bytes.Cut(out.Bytes(), []byte("Installation of system tables failed!"))
		return errors.Join(fmt.Errorf("initialise the data directory: %w; %s said:\n%s", err, argv[0], lastLines(said, 12)),
			os.RemoveAll(fresh))
	}
	if err := os.Rename(fresh, db.dir); err != nil {
		return fmt.Errorf("put the data directory in place: %w", err)
	}
	return nil
}

// tmp is the directory for temporary tables. It is not /tmp: a starting MariaDB deletes all files there that look like
// an earlier server's temporary tables (#sql-temptable-…), including those of running servers.
func (db *database) tmp() string { return filepath.Join(db.root, "mysql-tmp") }

func (db *database) initFile() string { return filepath.Join(db.root, "init.sql") }

// writeInitFile writes the SQL that the server runs at each start, before it accepts connections. The password is
// therefore never empty, and always the one in root-password, even if that file was deleted. Initialisation creates
// neither anonymous users nor a test database.
func (db *database) writeInitFile() error {
	var b strings.Builder
	// Connections over TCP are 'root'@'127.0.0.1', because names are not resolved; over the socket 'root'@'localhost'.
	for _, host := range []string{"localhost", "127.0.0.1"} {
		user := fmt.Sprintf("'root'@'%s'", host)
		fmt.Fprintf(&b, "CREATE USER IF NOT EXISTS %s IDENTIFIED BY '%s';\n", user, db.password)
		fmt.Fprintf(&b, "ALTER USER %s IDENTIFIED BY '%s';\n", user, db.password)
		fmt.Fprintf(&b, "GRANT ALL PRIVILEGES ON *.* TO %s WITH GRANT OPTION;\n", user)
	}
	return writeFile(db.initFile(), []byte(b.String()))
}

func (db *database) config(r running) *mysql.Config {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr = "root", db.password, "tcp", r.addr()
	return cfg
}

func (db *database) dsn(r running) string {
	cfg := db.config(r)
	cfg.DBName = databaseName
	return cfg.FormatDSN()
}

// responds connects with the password, which no other server knows, and creates the database if it is missing.
func (db *database) responds(ctx context.Context, r running) error {
	cfg := db.config(r)
	cfg.Logger = &mysql.NopLogger{} // a server that is not ready yet is expected
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return fmt.Errorf("configure the driver: %w", err)
	}
	pool := sql.OpenDB(connector)
	defer func() { _ = pool.Close() }()
	if _, err := pool.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS "+databaseName); err != nil {
		return fmt.Errorf("create database %s: %w", databaseName, err)
	}
	return nil
}

func readOrMakePassword(path string) (string, error) {
	b, err := os.ReadFile(path) //nolint:gosec // G304: the caller's own directory
	if err == nil && len(b) > 0 {
		return strings.TrimSpace(string(b)), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read the database password: %w", err)
	}
	password := rand.Text() // letters and digits: it needs no quoting in SQL
	return password, writeFile(path, []byte(password+"\n"))
}
