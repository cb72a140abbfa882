package awstest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// server listens on loopback and serves each connection in its own goroutine until it is closed.
type server struct {
	listener net.Listener
	addr     string // localhost:port
	open     tracker
}

func listen() (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it returns at once
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return &server{listener: listener, addr: net.JoinHostPort("localhost", port)}, nil
}

func (s *server) start(serve func(net.Conn)) {
	s.open.group.Go(func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return // closed
			}
			s.open.group.Go(func() {
				defer s.open.add(conn)()
				serve(conn)
			})
		}
	})
}

// close closes all connections and waits for their goroutines.
func (s *server) close() {
	_ = s.listener.Close() // fails only if it is closed already
	s.open.close()
}

// tracker closes connections, and waits for the goroutines that use them.
type tracker struct {
	group sync.WaitGroup

	mu     sync.Mutex
	open   map[io.Closer]bool
	closed bool
}

// add registers c and returns a function that closes and removes it.
func (t *tracker) add(c io.Closer) func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = map[io.Closer]bool{}
	}
	t.open[c] = true
	if t.closed { // too late: its next use fails
		_ = c.Close()
	}
	return func() {
		t.mu.Lock()
		delete(t.open, c)
		t.mu.Unlock()
		_ = c.Close() // the other side may have closed it
	}
}

// disconnect closes everything that is open now.
func (t *tracker) disconnect() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.open {
		_ = c.Close() // as above
	}
}

func (t *tracker) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.disconnect()
	t.group.Wait()
}
