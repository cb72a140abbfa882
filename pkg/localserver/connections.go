package localserver

import (
	"container/list"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

const (
	// reservedFiles are the file descriptors that the process needs besides its clients' connections: for the database,
	// the cache, its own files and one connection that waits for room. It uses about 30.
	reservedFiles = 64
	// maxConnections limits the memory of idle connections where the system allows a million files.
	maxConnections = 10_000
	// grace is how long a new connection may take to send its first request before it counts as idle. A client sends it with
	// the last packet of the handshake or right after it.
	grace = 250 * time.Millisecond
	// warnInterval is the minimum interval between two warnings.
	warnInterval = time.Minute
)

// connectionLimit is the number of connections that the limit of open files leaves room for. Go has raised that limit to
// the highest value that the system allows; prlimit can lower it at any time.
func connectionLimit() int {
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) != nil {
		return maxConnections
	}
	return int(min(files.Cur-min(files.Cur/2, reservedFiles), maxConnections))
}

// connections is a listener that keeps its server's open connections below a limit. At the limit, a new connection takes
// the place of the one that has been idle longest. Without an idle one it waits.
//
// A listener that only counts would not do: clients keep idle connections for minutes, and nobody else would be served.
type connections struct {
	net.Listener
	limit func() int
	log   *slog.Logger

	changed   chan struct{} // has an element after a connection became idle or was closed
	closed    chan struct{}
	closeOnce sync.Once
	warned    time.Time // of Accept alone

	mu   sync.Mutex
	open map[net.Conn]*list.Element // nil: it serves a request
	// The connections without a request, in the order in which they began to wait for one.
	idle  list.List // after a request
	fresh list.List // before the first request
}

// waiting is an element of idle or fresh.
type waiting struct {
	conn  net.Conn
	since time.Time
}

func limitConnections(listener net.Listener, limit func() int, log *slog.Logger) *connections {
	return &connections{
		Listener: listener, limit: limit, log: log, open: map[net.Conn]*list.Element{},
		changed: make(chan struct{}, 1), closed: make(chan struct{}),
	}
}

// Accept implements net.Listener, for one caller at a time.
func (c *connections) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) { // something else needs more than reservedFiles
		c.warn()
		c.mu.Lock()
		c.closeIdle()
		c.mu.Unlock()
	}
	if err != nil {
		return nil, err // net/http tries again soon
	}
	if !c.awaitRoom() {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[conn] = c.fresh.PushBack(waiting{conn, time.Now()})
	return conn, nil
}

// Close implements net.Listener. It leaves the connections open.
func (c *connections) Close() error {
	c.closeOnce.Do(func() { close(c.closed) })
	return c.Listener.Close()
}

// awaitRoom waits until one more connection can be open. It returns false once the listener is closed.
func (c *connections) awaitRoom() bool {
	for {
		c.mu.Lock()
		full := len(c.open) >= c.limit()
		var pause time.Duration
		if full {
			pause = c.closeIdle()
		}
		c.mu.Unlock()
		if !full {
			return true
		}
		c.warn()
		timer := time.NewTimer(pause)
		select {
		case <-c.changed:
		case <-timer.C:
		case <-c.closed:
			timer.Stop()
			return false
		}
		timer.Stop()
	}
}

// closeIdle closes the connection that has been idle longest. If there is none, it returns the time after which a new
// connection may count as idle. The caller holds mu.
func (c *connections) closeIdle() (pause time.Duration) {
	from := &c.idle
	if from.Len() == 0 {
		from = &c.fresh
	}
	oldest := from.Front()
	if oldest == nil {
		return warnInterval
	}
	w := oldest.Value.(waiting)
	if from == &c.fresh {
		if left := grace - time.Since(w.since); left > 0 {
			return left
		}
	}
	c.forget(w.conn)
	_ = w.conn.Close() // its server notices, and has nothing left to do
	return 0
}

// track is the http.Server's ConnState.
func (c *connections) track(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.open[conn]; !known || state == http.StateNew {
		return // closed by closeIdle, or just added by Accept
	}
	c.forget(conn)
	switch state {
	case http.StateActive:
		c.open[conn] = nil
	case http.StateIdle:
		c.open[conn] = c.idle.PushBack(waiting{conn, time.Now()})
	}
}

// forget removes a connection. The caller holds mu.
func (c *connections) forget(conn net.Conn) {
	if element := c.open[conn]; element != nil {
		c.idle.Remove(element) // only the list that has the element removes it
		c.fresh.Remove(element)
	}
	delete(c.open, conn)
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// warn logs that the limit is reached, once in a while.
func (c *connections) warn() {
	if now := time.Now(); now.Sub(c.warned) >= warnInterval {
		c.warned = now
		c.log.Warn("the limit of open connections is reached; a new connection takes the place of an idle one, or waits. "+
			"Raise the limit of open files (ulimit -n) to serve more", "limit", c.limit())
	}
}
