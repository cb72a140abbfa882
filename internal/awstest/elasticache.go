package awstest

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valkey-io/valkey-go"
)

// ElastiCacheOptions configure an ElastiCache.
type ElastiCacheOptions struct {
	Account   *Account
	Authority *Authority
	Cache     string // address of the real cache
	Name      string // of the cache, as in tokens
	User      string // created in the real cache, and deleted when the test ends
	// Access is the user's access string: its commands and keys.
	Access string
}

// ElastiCache stands in for a serverless cache. Each connection signs in with HELLO and a token.
type ElastiCache struct {
	Addr string // localhost:port

	o        ElastiCacheOptions
	server   *server
	password string // of the user in the real cache
	tls      *tls.Config

	mu        sync.Mutex
	handshake time.Duration
	logins    []string
	refusals  []string
}

// StartElastiCache starts a stand-in that runs until the test ends.
func StartElastiCache(tb testing.TB, o ElastiCacheOptions) *ElastiCache {
	tb.Helper()
	c := &ElastiCache{o: o, password: hex.EncodeToString(random(16))}
	var err error
	if c.tls, err = o.Authority.server(); err != nil {
		tb.Fatal(err)
	}
	rule := append([]string{"ACL", "SETUSER", o.User, "reset", ">" + c.password}, strings.Fields(o.Access)...)
	if err := c.administer(rule...); err != nil {
		tb.Fatal(err)
	}
	if c.server, err = listen(); err != nil {
		tb.Fatal(err)
	}
	c.Addr = c.server.addr
	c.server.start(c.serve)
	tb.Cleanup(func() {
		c.server.close()
		if err := c.administer("ACL", "DELUSER", o.User); err != nil {
			tb.Errorf("cleaning up: %v", err)
		}
	})
	return c
}

// administer sends one command to the real cache.
func (c *ElastiCache) administer(command ...string) error {
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", c.o.Cache)
	if err != nil {
		return fmt.Errorf("connecting to the cache: %w", err)
	}
	defer func() { _ = conn.Close() }() // no longer needed
	if err := writeCommand(conn, command...); err != nil {
		return err
	}
	response, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && response[0] == '-' {
		err = fmt.Errorf("the cache refuses %s %s: %s", command[0], command[1], strings.TrimSpace(response))
	}
	return err
}

// SlowHandshake delays the TLS handshake of new connections by d, as distance or a small processor share would.
func (c *ElastiCache) SlowHandshake(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handshake = d
}

// Disconnect closes all connections, as ElastiCache does after 12 hours.
func (c *ElastiCache) Disconnect() { c.server.open.disconnect() }

// Logins returns the key ids that opened connections, in order.
func (c *ElastiCache) Logins() []string {
	return locked(&c.mu, func() []string { return slices.Clone(c.logins) })
}

// Refusals returns the reasons for refusing clients.
func (c *ElastiCache) Refusals() []string {
	return locked(&c.mu, func() []string { return slices.Clone(c.refusals) })
}

// Denied returns commands and keys that the user tried without permission, from the log of the real cache.
func (c *ElastiCache) Denied(tb testing.TB) []string {
	tb.Helper()
	behind, err := valkey.NewClient(valkey.ClientOption{InitAddress: []string{c.o.Cache}, ForceSingleClient: true, DisableCache: true})
	if err != nil {
		tb.Fatal(err)
	}
	defer behind.Close()
	entries, err := behind.Do(context.Background(), behind.B().Arbitrary("ACL", "LOG").Build()).ToArray()
	if err != nil {
		tb.Fatal(err)
	}
	var denied []string
	for _, e := range entries {
		entry, err := e.AsMap()
		if err != nil {
			tb.Fatal(err)
		}
		word := func(name string) string { m := entry[name]; s, _ := m.ToString(); return s } // every value is a string
		if word("username") == c.o.User {
			denied = append(denied, word("reason")+" "+word("object"))
		}
	}
	return denied
}

func (c *ElastiCache) serve(conn net.Conn) {
	time.Sleep(locked(&c.mu, func() time.Duration { return c.handshake }))
	client := tls.Server(conn, c.tls)
	defer func() { _ = client.Close() }() // the client may have hung up
	in := bufio.NewReader(client)
	hello, err := readCommand(in)
	if err != nil {
		return
	}
	key, err := c.check(hello)
	c.mu.Lock()
	if err != nil {
		c.refusals = append(c.refusals, err.Error())
	} else {
		c.logins = append(c.logins, key)
	}
	c.mu.Unlock()
	if err != nil {
		turnAway(client, in)
		return
	}
	behind, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", c.o.Cache)
	if err != nil {
		return
	}
	defer c.server.open.add(behind)()
	if writeCommand(behind, "HELLO", "3", "AUTH", c.o.User, c.password) != nil {
		return
	}
	c.server.open.group.Go(func() {
		_, _ = io.Copy(client, behind)
		_ = client.Close() // so that the client notices
	})
	_, _ = io.Copy(behind, in) // until the client hangs up
}

// check verifies the sign-in, and returns the id of the key that signed the token.
func (c *ElastiCache) check(hello []string) (string, error) {
	if len(hello) != 5 || !slices.Equal(hello[:3], []string{"HELLO", "3", "AUTH"}) {
		return "", errors.New("the first command is not HELLO 3 AUTH")
	}
	if hello[3] != c.o.User {
		return "", fmt.Errorf("user %s", hello[3])
	}
	return c.o.Account.verifyToken(hello[4], "elasticache", c.o.Name,
		map[string]string{"Action": "connect", "User": hello[3], "ResourceType": "ServerlessCache"})
}

// turnAway responds as a server does to a client that is not signed in.
func turnAway(client io.Writer, in *bufio.Reader) {
	response := "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
	for {
		if _, err := io.WriteString(client, response); err != nil {
			return
		}
		if _, err := readCommand(in); err != nil {
			return
		}
		response = "-NOAUTH Authentication required.\r\n"
	}
}

// Commands are arrays of bulk strings: https://valkey.io/topics/protocol/

func writeCommand(w io.Writer, words ...string) error {
	var text strings.Builder
	fmt.Fprintf(&text, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(&text, "$%d\r\n%s\r\n", len(word), word)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func readCommand(r *bufio.Reader) ([]string, error) {
	words, err := readLength(r, '*')
	if err != nil {
		return nil, err
	}
	command := make([]string, words)
	for i := range command {
		length, err := readLength(r, '$')
		if err != nil {
			return nil, err
		}
		word := make([]byte, length+len("\r\n"))
		if _, err := io.ReadFull(r, word); err != nil {
			return nil, err
		}
		command[i] = string(word[:length])
	}
	return command, nil
}

func readLength(r *bufio.Reader, kind byte) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(line[1:]))
	if err != nil || line[0] != kind || n < 0 || n > 1<<20 {
		return 0, fmt.Errorf("not a command: %q", line)
	}
	return n, nil
}
