package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"flashsale/internal/shoptest"
)

// `flashsale run` serves everybody although more clients keep their connections open than it may open files. Its log
// says so once.
func TestServesBesideIdleConnections(t *testing.T) {
	t.Parallel()
	const files, clients = 200, 260
	for name, text := range map[string]string{
		"after a request": "GET /v1/products HTTP/1.1\r\nHost: x\r\n\r\n",
		"silent":          "",
		"half a request":  "GET /v1/products HTTP/1.1\r\nHos",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shoptest.New(t, 10, shoptest.WithDefaults(t, shoptest.Options{}))
			addr := shoptest.FreeAddr(t)
			d := shoptest.NewDesk(t, "MYSQL_DSN="+s.AdminDSN, "CACHE_ADDR="+shoptest.WithDefaults(t, shoptest.Options{}).CacheAddr, "ADDR="+addr)
			command, out := d.Command(t, "run"), &shoptest.Output{}
			command.Path, command.Args = "/bin/sh", []string{"sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" run`, files), command.Path}
			command.Stdout, command.Stderr = out, out
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := errors.Join(command.Process.Signal(syscall.SIGTERM), command.Wait()); err != nil {
					t.Errorf("the server ended with %v: %s", err, out)
				}
			})
			s.URL = "http://" + addr
			shoptest.Eventually(t, "the server responds", func() bool {
				r, err := s.Try(http.MethodGet, "/healthz", "", nil)
				return err == nil && r.Status == http.StatusOK
			})

			for i := range clients {
				conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = conn.Close() })
				if _, err := io.WriteString(conn, text); err != nil {
					t.Fatal(err)
				}
				if strings.HasSuffix(text, "\r\n\r\n") {
					_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second)) // half of what a client in the queue would wait for
					response, err := http.ReadResponse(bufio.NewReader(conn), nil)
					if err != nil {
						t.Fatalf("client %d of %d got no response: %v", i+1, clients, err)
					}
					_ = response.Body.Close()
				}
			}
			for range 10 {
				fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
				s.Client = fresh
				s.MustHold(t, 1)
			}
			open, err := os.ReadDir(filepath.Join("/proc", fmt.Sprint(command.Process.Pid), "fd"))
			if err != nil || len(open) >= files {
				t.Errorf("the server has %d files open (%v), expected fewer than %d", len(open), err, files)
			}
			if n := strings.Count(out.String(), `"level":"WARN"`); n != 1 || !strings.Contains(out.String(), "the limit of open connections is reached") {
				t.Errorf("the log has %d warnings, expected 1 about the connections: %s", n, out)
			}
			if strings.Contains(out.String(), `"level":"ERROR"`) {
				t.Errorf("the log has an ERROR: %s", out)
			}
		})
	}
}
