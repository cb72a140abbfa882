package bench

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/go-sql-driver/mysql"
)

// linkDelay is what a long link adds to each round trip.
const linkDelay = time.Millisecond

// link is a connection over which each round trip takes longer by delay: what comes first after something was sent is
// handed on that much later. All of it happens on the client's side, so that it costs no other process any work.
type link struct {
	net.Conn
	delay time.Duration
	asked bool // something was sent since the last answer
}

func (l *link) Write(b []byte) (int, error) {
	l.asked = true
	return l.Conn.Write(b)
}

func (l *link) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if l.asked {
		l.asked = false
		time.Sleep(l.delay)
	}
	return n, err
}

// SyscallConn is left out on purpose: the driver would look at the socket beside Read.

// dialLink dials with a delay; 0 for none.
func dialLink(delay time.Duration) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, network, addr)
		if err != nil || delay == 0 {
			return conn, err
		}
		return &link{Conn: conn, delay: delay}, nil
	}
}

// slowLink is the name under which the driver knows connections over linkDelay.
const slowLink = "benchlink"

func init() {
	mysql.RegisterDialContext(slowLink, func(ctx context.Context, addr string) (net.Conn, error) {
		return dialLink(linkDelay)(ctx, "tcp", addr)
	})
}

// overLink changes a DSN so that whoever opens it is that far away: no delay, or linkDelay.
func overLink(dsn string, delay time.Duration) (string, error) {
	if delay == 0 {
		return dsn, nil
	}
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return "", fmt.Errorf("reading the DSN: %w", err)
	}
	cfg.Net = slowLink
	return cfg.FormatDSN(), nil
}
