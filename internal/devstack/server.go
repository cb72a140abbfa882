package devstack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	startLimit = 2 * time.Minute  // a database takes long to recover from a crash
	reuseLimit = 10 * time.Second // a running server that takes longer to respond counts as broken
	portTries  = 5
	portLow    = 20000 // to 29999: below Linux's ephemeral ports, so that no outgoing connection of
	portCount  = 10000 // another program sits on a port while its server is being restarted
)

// errPortTaken means that another program bound the port first.
var errPortTaken = errors.New("the port is in use")

// running is a server process and its port.
type running struct {
	process
	Port int `json:"port"`
}

func (r running) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(r.Port)) }

// server describes one private server: its command, and a check that it is ready.
type server struct {
	name  string // shown to people: "MariaDB"
	path  string
	argv  func(port int) []string
	dir   string // its working directory, used by no other server
	log   string
	grace time.Duration                              // the upper bound of a clean stop
	ready func(ctx context.Context, r running) error // nil: this process responds, and everything is set up
	tied  bool                                       // is killed when this process dies
}

// start starts the server on exactly this port and waits until it responds. It calls launched as soon as the process
// exists. When start fails the process has ended.
func (s *server) start(ctx context.Context, port int, launched func(running) error) (running, error) {
	p, err := command{path: s.path, argv: s.argv(port), dir: s.dir, log: s.log}.launch(s.tied)
	if err != nil {
		return running{}, err
	}
	r := running{process: p, Port: port}
	if err := launched(r); err != nil {
		return running{}, errors.Join(err, r.end(s.grace))
	}
	if err := s.await(ctx, r, startLimit); err != nil {
		// Read after the end: the last lines have the reason.
		stopped := r.end(s.grace)
		tail := s.logTail()
		if strings.Contains(tail, "Address already in use") {
			return running{}, fmt.Errorf("start %s on port %d: %w", s.name, port, errPortTaken)
		}
		return running{}, errors.Join(fmt.Errorf("start %s: %w; its log ends with:\n%s", s.name, err, tail), stopped)
	}
	return r, nil
}

// startAnywhere starts the server on the preferred port, or on another if that is 0 or taken. Another program may bind
// a free port first; startAnywhere then tries the next one.
func (s *server) startAnywhere(ctx context.Context, preferred int, launched func(running) error) (running, error) {
	for port, try := preferred, 0; ; port, try = 0, try+1 {
		if port == 0 {
			var err error
			if port, err = freePort(ctx); err != nil {
				return running{}, err
			}
		}
		r, err := s.start(ctx, port, launched)
		if err == nil || !errors.Is(err, errPortTaken) || try == portTries {
			return r, err
		}
	}
}

// await waits until the server is ready or has ended, at most for the limit.
func (s *server) await(ctx context.Context, r running, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	err := until(ctx, pollEvery, func() (bool, error) {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		if last = s.ready(try, r); last == nil {
			return true, nil
		}
		if r.gone() {
			return false, errors.New("it ended by itself")
		}
		return false, nil
	})
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("no response from %s: %w (last: %w)", r.addr(), err, last)
	}
	return err
}

func (s *server) logTail() string {
	const lines = 12
	b, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return lastLines(b, lines)
}

// lastLines returns the last lines of a program's output, for an error message.
func lastLines(b []byte, n int) string {
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return "  " + strings.Join(all[max(0, len(all)-n):], "\n  ")
}

func freePort(ctx context.Context) (int, error) {
	var last error
	for range 50 {
		n, err := rand.Int(rand.Reader, big.NewInt(portCount))
		if err != nil {
			return 0, fmt.Errorf("choose a port: %w", err)
		}
		port := portLow + int(n.Int64())
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			last = err
			continue
		}
		return port, l.Close()
	}
	return 0, fmt.Errorf("find a free port: %w", last)
}
