package devstack_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"

	"flashsale/internal/devstack"
)

// The test binary runs itself as other processes of a directory. childRole selects the role.
const (
	childRole = "DEVSTACK_TEST_CHILD"
	childDir  = "DEVSTACK_TEST_DIR"
)

func TestMain(m *testing.M) {
	// User settings that must not matter: with any of them the servers would not start.
	for k, v := range map[string]string{
		"MYSQL_HOME": "/nonexistent", "MYSQL_UNIX_PORT": "/nonexistent/sock", "MYSQL_TCP_PORT": "1",
		"MYSQL_GROUP_SUFFIX": "x", "MYSQLD_BOOTSTRAP": "/nonexistent/mariadbd", "TZ": "Asia/Tokyo",
	} {
		if err := os.Setenv(k, v); err != nil {
			panic(err)
		}
	}
	if role := os.Getenv(childRole); role != "" {
		if err := runChild(role, os.Getenv(childDir)); err != nil {
			fmt.Println("child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	tmp, err := os.MkdirTemp("", "devstack-test-")
	if err != nil {
		panic(err)
	}
	if err := os.Setenv("TMPDIR", tmp); err != nil { // where every test's TempDir is
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if pids, err := workingBelow(tmp); err != nil || len(pids) > 0 {
			fmt.Printf("the tests leave processes %v behind, %v\n", pids, err)
			code = 1
		}
		if err := os.RemoveAll(tmp); err != nil {
			fmt.Println(err)
			code = 1
		}
		os.Exit(code)
	}))
}

func runChild(role, dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	switch role {
	case "user": // uses the Stack until it is killed
		if _, err := devstack.Start(ctx, devstack.Options{Dir: dir}); err != nil {
			return err
		}
	case "private": // uses private servers until it is killed
		if _, err := devstack.StartMySQL(ctx, dir, nil); err != nil {
			return err
		}
		if _, err := devstack.StartCache(ctx, dir, nil); err != nil {
			return err
		}
	case "comes and goes":
		return openAndClose(ctx, dir, 6)
	}
	fmt.Println("ready")
	_, err := io.Copy(io.Discard, os.Stdin) // until the parent has ended
	return err
}

// openAndClose opens and closes the Stack a few times. Each time it checks that the servers work while it holds the
// Stack.
func openAndClose(ctx context.Context, dir string, times int) error {
	for range times {
		s, err := devstack.Start(ctx, devstack.Options{Dir: dir})
		if err != nil {
			return err
		}
		err = errors.Join(pingMySQL(ctx, s.DSN()), pingCache(s.CacheAddr()))
		if err := errors.Join(err, s.Close()); err != nil {
			return err
		}
	}
	return nil
}

// child is another process of the same directory.
func child(tb testing.TB, role, dir string) *exec.Cmd {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childRole+"="+role, childDir+"="+dir)
	return cmd
}

// mustChildReady starts a child and waits for its "ready". kill kills it as `kill -9` does.
func mustChildReady(tb testing.TB, role, dir string) (kill func()) {
	tb.Helper()
	cmd := child(tb, role, dir)
	_, err := cmd.StdinPipe()
	must(tb, err)
	out, err := cmd.StdoutPipe()
	must(tb, err)
	must(tb, cmd.Start())
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	tb.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready\n" {
		tb.Fatalf("the child said %q, %v", line, err)
	}
	return kill
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func mustStart(tb testing.TB, dir string) *devstack.Stack {
	tb.Helper()
	begun := time.Now()
	s, err := devstack.Start(tb.Context(), devstack.Options{Dir: dir, Log: tb.Logf})
	must(tb, err)
	tb.Logf("Start took %v", time.Since(begun).Round(time.Millisecond))
	tb.Cleanup(func() { must(tb, s.Close()) }) // a second Close is harmless
	return s
}

func mustRespond(tb testing.TB, s *devstack.Stack) {
	tb.Helper()
	must(tb, pingMySQL(tb.Context(), s.DSN()))
	must(tb, pingCache(s.CacheAddr()))
}

func pingMySQL(ctx context.Context, dsn string) error {
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return err
	}
	return errors.Join(db.PingContext(ctx), db.Close())
}

func pingCache(addr string) error {
	response, err := cacheSays(addr, "PING", 5*time.Second)
	if err == nil && response != "+PONG" {
		err = fmt.Errorf("the cache said %q", response)
	}
	return err
}

func cacheSays(addr, what string, limit time.Duration) (string, error) {
	conn, err := (&net.Dialer{Timeout: limit}).DialContext(context.Background(), "tcp", addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, what+"\r\n"); err != nil {
		return "", err
	}
	response, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(response), err
}

func mustExec(tb testing.TB, dsn string, statements ...string) {
	tb.Helper()
	db, err := sql.Open("mysql", dsn)
	must(tb, err)
	defer func() { must(tb, db.Close()) }()
	for _, s := range statements {
		_, err := db.ExecContext(tb.Context(), s)
		must(tb, err)
	}
}

// mustQuery returns a query's rows, columns joined by blanks.
func mustQuery(tb testing.TB, dsn, query string) []string {
	tb.Helper()
	db, err := sql.Open("mysql", dsn)
	must(tb, err)
	defer func() { must(tb, db.Close()) }()
	rows, err := db.QueryContext(tb.Context(), query)
	must(tb, err)
	defer func() { must(tb, rows.Close()) }()
	columns, err := rows.Columns()
	must(tb, err)
	var all []string
	for rows.Next() {
		row := make([]string, len(columns))
		to := make([]any, len(columns))
		for i := range row {
			to[i] = &row[i]
		}
		must(tb, rows.Scan(to...))
		all = append(all, strings.Join(row, " "))
	}
	must(tb, rows.Err())
	return all
}

// known is state.json.
type known struct {
	MySQL entry `json:"mysql"`
	Cache entry `json:"cache"`
}

type entry struct {
	PID        int    `json:"pid"`
	StartTicks uint64 `json:"start_ticks"`
	Port       int    `json:"port"`
}

func mustState(tb testing.TB, dir string) known {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "state.json"))
	must(tb, err)
	var st known
	must(tb, json.Unmarshal(b, &st))
	return st
}

func mustWriteState(tb testing.TB, dir string, st known) {
	tb.Helper()
	b, err := json.Marshal(st)
	must(tb, err)
	must(tb, os.WriteFile(filepath.Join(dir, "state.json"), b, 0o600))
}

// workingBelow lists the pids of the processes that work below dir. It shares no code with the package.
func workingBelow(dir string) ([]string, error) {
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	var found []string
	for _, link := range links {
		cwd, err := os.Readlink(link) // a zombie has none
		if err == nil && strings.HasPrefix(cwd, dir+"/") {
			found = append(found, filepath.Base(filepath.Dir(link)))
		}
	}
	return found, err
}

func serversBelow(tb testing.TB, dir string) []string {
	tb.Helper()
	found, err := workingBelow(dir)
	must(tb, err)
	return found
}

func mustNothingRuns(tb testing.TB, dir string) {
	tb.Helper()
	if pids := serversBelow(tb, dir); len(pids) > 0 {
		tb.Fatalf("processes %v still work in %s", pids, dir)
	}
}

// eventually waits for a condition that depends on another process or the kernel.
func eventually(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("never happened: %s", what)
		}
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }
