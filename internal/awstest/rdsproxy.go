package awstest

import (
	"bufio"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// RDSProxyOptions configure an RDSProxy.
type RDSProxyOptions struct {
	Account   *Account
	Authority *Authority
	// Database is the DSN for the real database. Clients sign in as the same user to the same database, with a token.
	// Its parameters replace the database's parameter group.
	Database string
	// User and Password turn the stand-in into the cluster itself: clients sign in with them instead of a token.
	User, Password string
	// WithoutTLS offers no TLS, unlike any RDS Proxy. Clients must refuse that.
	WithoutTLS bool
}

// MySQL's error numbers for refused clients.
const (
	erAccessDenied      = 1045
	erInsecureTransport = 3159
)

// RDSProxy stands in for RDS Proxy in front of one database. Each statement, or transaction, gets another database
// connection, so code that relies on session state fails here. A pin is recorded, and the client keeps its connection.
type RDSProxy struct {
	Addr string // localhost:port

	o        RDSProxyOptions
	server   *server
	database *mysql.Config
	tls      *tls.Config
	backends tracker

	mu       sync.Mutex
	idle     []*backend // longest idle first
	made     int
	logins   []string
	pins     []string
	refusals []string
	served   int
	tokens   int
}

// StartRDSProxy starts a stand-in that runs until the test ends.
func StartRDSProxy(tb testing.TB, o RDSProxyOptions) *RDSProxy {
	tb.Helper()
	p := &RDSProxy{o: o}
	var err error
	if p.database, err = mysql.ParseDSN(o.Database); err != nil {
		tb.Fatal(err)
	}
	if p.tls, err = o.Authority.server(); err != nil {
		tb.Fatal(err)
	}
	if p.server, err = listen(); err != nil {
		tb.Fatal(err)
	}
	p.Addr = p.server.addr
	p.server.start(p.serve)
	tb.Cleanup(func() {
		p.server.close()
		p.backends.close()
	})
	return p
}

// Pins returns the statements that would have pinned a connection, with the reason.
func (p *RDSProxy) Pins() []string {
	return locked(&p.mu, func() []string { return slices.Clone(p.pins) })
}

// Refusals returns the reasons for refusing clients.
func (p *RDSProxy) Refusals() []string {
	return locked(&p.mu, func() []string { return slices.Clone(p.refusals) })
}

// Logins returns the key ids that opened connections, in order.
func (p *RDSProxy) Logins() []string {
	return locked(&p.mu, func() []string { return slices.Clone(p.logins) })
}

// Served returns the number of forwarded commands, and of database connections that carried them.
func (p *RDSProxy) Served() (commands, connections int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.served, p.made
}

// Tokens returns how many passwords or tokens clients have sent, valid or not.
func (p *RDSProxy) Tokens() int { return locked(&p.mu, func() int { return p.tokens }) }

func locked[T any](mu *sync.Mutex, get func() T) T {
	mu.Lock()
	defer mu.Unlock()
	return get()
}

// serve serves one client.
func (p *RDSProxy) serve(conn net.Conn) {
	first, err := p.borrow()
	if err != nil {
		p.refuse(conn, 0, erAccessDenied, "08S01", err)
		return
	}
	greeting := first.greeting
	p.giveBack(first)
	secured, err := p.authenticate(conn, greeting)
	if secured != nil {
		defer func() { _ = secured.Close() }() // the client may have hung up
	}
	if err == nil {
		_ = p.relay(secured) // the client sees the error
	}
}

// refuse ends a handshake. Only the test sees the reason; the client gets the message of a real server.
func (p *RDSProxy) refuse(to io.Writer, sequence byte, number uint16, state string, reason error) {
	p.mu.Lock()
	p.refusals = append(p.refusals, reason.Error())
	p.mu.Unlock()
	_ = writePacket(to, errorPacket(sequence, number, state, "Access denied")) // the client may be gone
}

// authenticate runs the handshake: TLS first, then the token in clear text inside it.
func (p *RDSProxy) authenticate(conn net.Conn, greeting []byte) (net.Conn, error) {
	payload, capabilities, err := withTLS(greeting, !p.o.WithoutTLS)
	if err == nil {
		err = writePacket(conn, packet{0, payload})
	}
	if err != nil {
		return nil, err
	}
	asked, err := readPacket(conn)
	if err != nil {
		return nil, err
	}
	if len(asked.payload) != 32 { // more than a request for TLS
		err := errors.New("no TLS")
		p.refuse(conn, asked.sequence+1, erInsecureTransport, "HY000", err)
		return nil, err
	}
	secured := tls.Server(conn, p.tls)
	response, err := readPacket(secured)
	if err != nil {
		return secured, err
	}
	l, err := parseLogin(response.payload)
	if err == nil && l.capabilities&^capabilities != 0 {
		err = errors.New("the client wants a capability that was not offered")
	}
	if err != nil {
		return secured, err
	}
	password, err := p.ask(secured, response.sequence+1)
	if err != nil {
		return secured, err
	}
	key, err := p.check(l, password.payload)
	if err != nil {
		p.refuse(secured, password.sequence+1, erAccessDenied, "28000", err)
		return secured, err
	}
	p.mu.Lock()
	p.logins = append(p.logins, key)
	p.mu.Unlock()
	return secured, writePacket(secured, okPacket(password.sequence+1))
}

// ask requests the client's password or token, inside TLS.
func (p *RDSProxy) ask(secured net.Conn, sequence byte) (packet, error) {
	if p.o.Password == "" {
		if err := writePacket(secured, switchPacket(sequence)); err != nil {
			return packet{}, err
		}
		return readPacket(secured)
	}
	// Like a server without a cached password, it does not accept the client's response to the nonce.
	nonce := rand.Text()[:20]
	if err := writePacket(secured, packet{sequence, []byte("\xfecaching_sha2_password\x00" + nonce + "\x00")}); err != nil {
		return packet{}, err
	}
	if _, err := readPacket(secured); err != nil {
		return packet{}, err
	}
	if err := writePacket(secured, packet{sequence + 2, []byte{1, 4}}); err != nil { // request for the whole password
		return packet{}, err
	}
	return readPacket(secured)
}

// check verifies the sign-in, and returns the id of the key that signed the token. The token ends with a zero byte.
func (p *RDSProxy) check(l login, password []byte) (string, error) {
	p.mu.Lock()
	p.tokens++
	p.mu.Unlock()
	switch {
	case p.o.Password != "" && l.user == p.o.User && string(password) == p.o.Password+"\x00":
		return "", nil
	case p.o.Password != "":
		return "", errors.New("another user or password")
	case l.user != p.database.User || l.database != p.database.DBName:
		return "", fmt.Errorf("user %s, database %s", l.user, l.database)
	case l.capabilities&clientDeprecateEOF == 0:
		return "", errors.New("the client lacks CLIENT_DEPRECATE_EOF, which the database connection uses")
	case password[len(password)-1] != 0:
		return "", errors.New("the token does not end")
	}
	return p.o.Account.verifyToken(string(password[:len(password)-1]), "rds-db", p.Addr, map[string]string{"Action": "connect", "DBUser": l.user})
}

// relay forwards commands and responses until the client disconnects.
func (p *RDSProxy) relay(client net.Conn) error {
	in, out := bufio.NewReader(client), bufio.NewWriter(client)
	var held *backend // while a transaction is open
	defer func() {
		if held != nil {
			held.drop()
		}
	}()
	for {
		command, err := readPacket(in)
		if err != nil || command.payload[0] == comQuit {
			return err
		}
		p.mu.Lock()
		p.served++
		p.mu.Unlock()
		if held == nil {
			if held, err = p.borrow(); err != nil {
				return err
			}
		}
		if reason := pin(command.payload); reason != "" {
			return p.relayPinned(client, in, held, command, reason)
		}
		if err := writePacket(held.conn, command); err != nil {
			return err
		}
		held.inTransaction, err = forwardResponse(out, held.in, held.inTransaction)
		if err := errors.Join(err, out.Flush()); err != nil {
			return err
		}
		if !held.inTransaction {
			p.giveBack(held)
			held = nil
		}
	}
}

// relayPinned forwards everything on one database connection, and records further pins.
func (p *RDSProxy) relayPinned(client net.Conn, in io.Reader, b *backend, command packet, reason string) error {
	p.backends.group.Go(func() {
		_, _ = io.Copy(client, b.in) // until the connection is dropped
	})
	for {
		if reason != "" {
			p.mu.Lock()
			p.pins = append(p.pins, reason)
			p.mu.Unlock()
		}
		if err := writePacket(b.conn, command); err != nil {
			return err
		}
		var err error
		if command, err = readPacket(in); err != nil || command.payload[0] == comQuit {
			return err
		}
		reason = pin(command.payload)
	}
}
