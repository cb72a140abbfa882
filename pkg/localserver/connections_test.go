package localserver

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const testLimit = 5

// warnings is how often the log says that the limit is reached.
func (s *testServer) warnings() int {
	return strings.Count(s.log.String(), "the limit of open connections is reached")
}

// opened is the number of connections that the server counts.
func (s *testServer) opened() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// idling is the number of connections that wait for another request.
func (s *testServer) idling() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.idle.Len()
}

// closed waits until the server has closed a connection.
func closed(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil || isTimeout(err) {
		t.Errorf("reading got %d bytes and %v, expected that the server has closed the connection", n, err)
	}
}

func isTimeout(err error) bool {
	network, ok := err.(net.Error) //nolint:errorlint // as a connection returns it
	return ok && network.Timeout()
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// At the limit, the connection that has been idle longest makes room.
func TestOldestIdleConnectionMakesRoom(t *testing.T) {
	t.Parallel()
	s := startServer(t, testLimit)
	var conns []net.Conn
	for i := range testLimit {
		conn := s.dial(t, get("/v1/nothing"))
		if got := status(conn); got != http.StatusNotFound {
			t.Fatalf("got %d, expected 404", got)
		}
		conns = append(conns, conn)
		eventually(t, "the connection is idle", func() bool { return s.idling() == i+1 })
	}
	if s.warnings() > 0 {
		t.Errorf("the log has %s, expected no warning below the limit", s.log.String())
	}
	send(t, conns[0], get("/v1/nothing")) // the first is the one used last
	if got := status(conns[0]); got != http.StatusNotFound {
		t.Errorf("got %d, expected 404", got)
	}
	eventually(t, "it is idle again", func() bool { return s.idling() == testLimit })
	for i := 1; i < testLimit; i++ {
		conn := s.dial(t, get("/v1/nothing"))
		if got := status(conn); got != http.StatusNotFound {
			t.Errorf("connection %d over the limit: got %d, expected 404", i, got)
		}
		closed(t, conns[i])
	}
	send(t, conns[0], get("/v1/nothing"))
	if got := status(conns[0]); got != http.StatusNotFound {
		t.Errorf("the connection that was used last: got %d, expected 404", got)
	}
	if got := s.warnings(); got != 1 {
		t.Errorf("the log has %d warnings, expected 1 for all: %s", got, s.log.String())
	}
}

// Connections that never send a request make room too, but each has a moment to send one.
func TestSilentConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	s := startServer(t, testLimit)
	start := time.Now()
	var silent []net.Conn
	for range 2*testLimit - 1 {
		silent = append(silent, s.dial(t, ""))
	}
	if got := status(s.dial(t, get("/v1/nothing"))); got != http.StatusNotFound {
		t.Errorf("got %d, expected 404", got)
	}
	if took := time.Since(start); took < grace {
		t.Errorf("a new connection was closed after %s, expected that it has %s to send its request", took, grace)
	}
	for _, conn := range silent[:testLimit] {
		closed(t, conn)
	}
	if got := s.warnings(); got != 1 {
		t.Errorf("the log has %d warnings, expected 1: %s", got, s.log.String())
	}
}

// A connection that serves a request is never closed for another one. The newcomer waits.
func TestRequestsAreNotCutShort(t *testing.T) {
	t.Parallel()
	s := startServer(t, testLimit)
	var busy []net.Conn
	for range testLimit {
		busy = append(busy, s.dial(t, get("/v1/orders/ord_00000000000000000000000000")))
		<-s.called
	}
	next := s.dial(t, get("/v1/nothing"))
	eventually(t, "the log says that it waits", func() bool { return s.warnings() == 1 })
	if got := s.opened(); got != testLimit {
		t.Errorf("%d connections are open, expected %d", got, testLimit)
	}
	close(s.release)
	for _, conn := range append(busy, next) {
		if got := status(conn); got != http.StatusOK && got != http.StatusNotFound {
			t.Errorf("got %d, expected the response of each request", got)
		}
	}
}

// A server ends although a connection waits for room.
func TestServerEndsAtTheLimit(t *testing.T) {
	t.Parallel()
	s := startServer(t, 1)
	first := s.dial(t, get("/v1/orders/ord_00000000000000000000000000"))
	<-s.called
	second := s.dial(t, get("/v1/nothing"))
	eventually(t, "the second connection waits", func() bool { return s.warnings() == 1 })
	s.stop()
	closed(t, second)
	close(s.release)
	if got := status(first); got != http.StatusOK {
		t.Errorf("got %d, expected that the request in progress gets its response", got)
	}
}

func TestConnectionLimitLeavesRoomForTheProcess(t *testing.T) {
	t.Parallel()
	if got := connectionLimit(); got < 1 || got > maxConnections {
		t.Errorf("got %d, expected 1 to %d", got, maxConnections)
	}
}
