package shoptest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Desk is a directory to run the flashsale command in, without the configuration of the test's own environment.
type Desk struct {
	Dir string
	Env []string
}

// NewDesk creates a Desk with these variables.
func NewDesk(t testing.TB, env ...string) Desk {
	t.Helper()
	d := Desk{Dir: t.TempDir(), Env: env}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case "MYSQL_DSN", "CACHE_ADDR", "ADDR", "HOLD_TTL", "PAYMENT_WINDOW", "ORDER_LIMIT", "RETENTION", "WEBHOOK_SECRETS", "STRIPE_WEBHOOK_SECRETS", "LOG_LEVEL",
			"JWT_ISSUER", "JWT_AUDIENCE", "JWT_JWKS", "EDGE_SECRET":
		default:
			d.Env = append(d.Env, v)
		}
	}
	return d
}

// Command prepares the flashsale command.
func (d Desk) Command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(context.Background(), Command(t), args...) //nolint:gosec // G204: the command under test
	c.Dir, c.Env = d.Dir, d.Env
	return c
}

// Run runs the flashsale command to its end.
func (d Desk) Run(t testing.TB, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	c := d.Command(t, args...)
	c.Stdout, c.Stderr = &out, &err
	if e := c.Run(); e != nil {
		var failed *exec.ExitError
		if !errors.As(e, &failed) {
			t.Fatal(e)
		}
	}
	return c.ProcessState.ExitCode(), out.String(), err.String()
}

// Begin starts the flashsale command and returns what it prints, to both outputs.
func (d Desk) Begin(t testing.TB, args ...string) (*exec.Cmd, *Output) {
	t.Helper()
	command, out := d.Command(t, args...), &Output{}
	command.Stdout, command.Stderr = out, out
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return command, out
}

// Serve starts `flashsale run` below a shell, as make does, and waits until it responds. pid is the pid of the command,
// not of the shell.
func (d Desk) Serve(t testing.TB, addr string) (parent *exec.Cmd, pid int) {
	t.Helper()
	parent = exec.CommandContext(context.Background(), "sh", "-c", Command(t)+` run & echo "pid $!"; wait`) //nolint:gosec // G204: the command under test
	parent.Dir, parent.Env = d.Dir, slices.Concat(d.Env, []string{"ADDR=" + addr})
	stdout := Must(parent.StdoutPipe())(t)
	log := Must(os.OpenFile(filepath.Join(d.Dir, "run.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600))(t)
	parent.Stderr = log
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	_ = log.Close()
	lines := bufio.NewScanner(stdout)
	for pid == 0 && lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "pid "); ok {
			pid = int(Must(json.Number(text).Int64())(t))
		}
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	Eventually(t, "the server responds", func() bool {
		return d.recordedPID(addr) == pid && healthy(client, addr) // an earlier process may still have the address
	})
	return parent, pid
}

// recordedPID returns the pid in the directory's record of a running server.
func (d Desk) recordedPID(addr string) int {
	var record struct{ PID int }
	_, port, _ := net.SplitHostPort(addr)
	text, _ := os.ReadFile(filepath.Join(d.Dir, ".local", "run-"+port+".json")) //nolint:gosec // G304: below the Desk
	_ = json.Unmarshal(text, &record)
	return record.PID
}

func healthy(client *http.Client, addr string) bool {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+addr+"/healthz", nil)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// Processes lists the processes that work below the directory, such as the servers.
func (d Desk) Processes() (found []string) {
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		if cwd, err := os.Readlink(link); err == nil && strings.HasPrefix(cwd, d.Dir) {
			name, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "cmdline"))
			found = append(found, filepath.Dir(link)+" "+strings.ReplaceAll(string(name), "\x00", " "))
		}
	}
	return found
}

// FreeAddr is a loopback address whose port was free a moment ago.
func FreeAddr(t testing.TB) string {
	t.Helper()
	l := Must(new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0"))(t)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// Output is a buffer that a process writes to while a test reads it.
type Output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// String returns everything written so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
