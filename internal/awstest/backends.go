package awstest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/go-sql-driver/mysql"
)

// spare is the minimum number of idle database connections, so that consecutive statements get different ones.
const spare = 2

// backend is a database connection.
type backend struct {
	conn          net.Conn
	in            *bufio.Reader
	greeting      []byte
	inTransaction bool
	drop          func()
}

// borrow takes the connection that has been idle the longest, or opens one.
func (p *RDSProxy) borrow() (*backend, error) {
	p.mu.Lock()
	if len(p.idle) > spare {
		b := p.idle[0]
		p.idle = p.idle[1:]
		p.mu.Unlock()
		return b, nil
	}
	p.made++
	p.mu.Unlock()
	return p.dial()
}

func (p *RDSProxy) giveBack(b *backend) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, b)
}

// dial signs in with the driver, and then takes over the driver's connection.
func (p *RDSProxy) dial() (*backend, error) {
	cfg, heard := p.database.Clone(), &greeted{}
	cfg.DialFunc = func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		heard.Conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		return heard, err
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("preparing a connection of the database: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	owner, err := connector.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("connecting to the database: %w", err)
	}
	if err := heard.SetDeadline(time.Time{}); err != nil { // the driver's
		return nil, errors.Join(err, owner.Close())
	}
	return &backend{conn: heard, in: bufio.NewReader(heard.Conn), greeting: heard.greeting, drop: p.backends.add(owner)}, nil
}

// greeted is a connection that keeps the server's greeting.
type greeted struct {
	net.Conn
	greeting []byte
}

func (g *greeted) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	if g.greeting == nil && n > 4 {
		g.greeting = slices.Clone(b[4:n]) // complete: the server sends it at once and then waits
	}
	return n, err
}
