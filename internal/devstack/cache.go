package devstack

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cacheGrace is generous: a server that saves nothing stops in milliseconds.
const cacheGrace = 5 * time.Second

// newCache describes a Valkey or Redis below root; nothing runs yet.
func newCache(root string, p programs) (*server, error) {
	dir := filepath.Join(root, "cache")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the cache's directory: %w", err)
	}
	argv := func(port int) []string {
		// argv[0] matters: see programs.cacheName.
		return []string{
			p.cacheName, "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir,
			"--save", "", "--appendonly", "no", "--daemonize", "no",
		}
	}
	return &server{
		name: p.cacheName, path: p.cache, argv: argv, dir: dir,
		log: filepath.Join(root, "cache.log"), grace: cacheGrace, ready: cacheResponds,
	}, nil
}

// cacheResponds asks for the process id instead of PING. The cache has no password, so another process's server on the
// same port would also respond to a PING.
func cacheResponds(ctx context.Context, r running) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", r.addr())
	if err != nil {
		return fmt.Errorf("connect to the cache: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return fmt.Errorf("set the cache's deadline: %w", err)
		}
	}
	if _, err := io.WriteString(conn, "INFO server\r\n"); err != nil {
		return fmt.Errorf("ask the cache: %w", err)
	}
	in := bufio.NewReader(conn)
	head, err := in.ReadString('\n')
	if err != nil {
		return fmt.Errorf("read the cache's response: %w", err)
	}
	// A RESP bulk string: "$<length>\r\n<text>\r\n".
	length, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(head, "$")))
	if err != nil || length < 0 || length > 1<<16 {
		return fmt.Errorf("the cache responded %q", head)
	}
	info := make([]byte, length)
	if _, err := io.ReadFull(in, info); err != nil {
		return fmt.Errorf("read the cache's response: %w", err)
	}
	if !strings.Contains(string(info), fmt.Sprintf("process_id:%d\r\n", r.PID)) {
		return fmt.Errorf("another cache responds on %s", r.addr())
	}
	return nil
}
