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

// RDSProxyOptions are what an RDSProxy is made of.
type RDSProxyOptions struct {
	Account   *Account
	Authority *Authority
	// Database is the DSN that it signs in with to the database behind. Clients sign in as the same user to the same
	// database, with a token. What its parameters set stands for the database's parameter group.
	Database string
	// User and Password make it stand in for the cluster itself: that user signs in with that password, whoever signs in
	// at the back.
	User, Password string
	// WithoutTLS offers none, as no RDS Proxy does: what a client has to refuse.
	WithoutTLS bool
}

// Error numbers of a refusal.
const (
	erAccessDenied      = 1045
	erInsecureTransport = 3159
)

// RDSProxy is a proxy for one database. The connections of the database are handed from statement to statement, and to
// transactions as a whole; who relies on what an earlier statement left in its session goes wrong here. A pin is noted,
// and keeps the connection for its client until that hangs up.
type RDSProxy struct {
	Addr string // localhost:port

	o        RDSProxyOptions
	server   *server
	database *mysql.Config
	tls      *tls.Config
	backends tracker

	mu       sync.Mutex
	idle     []*backend // the longest at rest first
	made     int
	logins   []string
	pins     []string
	refusals []string
	served   int
	tokens   int
}

// StartRDSProxy starts one until the test ends.
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

// Pins are the statements that would have pinned a connection, with the reason.
func (p *RDSProxy) Pins() []string {
	return locked(&p.mu, func() []string { return slices.Clone(p.pins) })
}

// Refusals are the reasons for which clients were refused.
func (p *RDSProxy) Refusals() []string {
	return locked(&p.mu, func() []string { return slices.Clone(p.refusals) })
}

// Logins are the ids of the keys with which connections were opened, in their order.
func (p *RDSProxy) Logins() []string {
	return locked(&p.mu, func() []string { return slices.Clone(p.logins) })
}

// Served is how many commands were passed on, over how many connections of the database.
func (p *RDSProxy) Served() (commands, connections int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.served, p.made
}

// Tokens is how many passwords clients have sent, right or wrong.
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
		_ = p.relay(secured) // the client sees what is wrong
	}
}

// refuse ends a handshake. The reason is for the test: a client is told no more than a server would.
func (p *RDSProxy) refuse(to io.Writer, sequence byte, number uint16, state string, reason error) {
	p.mu.Lock()
	p.refusals = append(p.refusals, reason.Error())
	p.mu.Unlock()
	_ = writePacket(to, errorPacket(sequence, number, state, "Access denied")) // the client may be gone
}

// authenticate does the handshake: TLS first, then the token in clear text inside it.
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
	answer, err := readPacket(secured)
	if err != nil {
		return secured, err
	}
	l, err := parseLogin(answer.payload)
	if err == nil && l.capabilities&^capabilities != 0 {
		err = errors.New("the client wants what was not on offer")
	}
	if err != nil {
		return secured, err
	}
	password, err := p.ask(secured, answer.sequence+1)
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

// ask has the client send its password, or its token, inside TLS.
func (p *RDSProxy) ask(secured net.Conn, sequence byte) (packet, error) {
	if p.o.Password == "" {
		if err := writePacket(secured, switchPacket(sequence)); err != nil {
			return packet{}, err
		}
		return readPacket(secured)
	}
	// As a server that has not cached the user's password: what the client made of the nonce does not suffice.
	nonce := rand.Text()[:20]
	if err := writePacket(secured, packet{sequence, []byte("\xfecaching_sha2_password\x00" + nonce + "\x00")}); err != nil {
		return packet{}, err
	}
	if _, err := readPacket(secured); err != nil {
		return packet{}, err
	}
	if err := writePacket(secured, packet{sequence + 2, []byte{1, 4}}); err != nil { // more to say: the whole password
		return packet{}, err
	}
	return readPacket(secured)
}

// check returns the id of the key that signed the token, which ends with a zero byte here.
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
		return "", errors.New("a client of another kind than the one at the back")
	case password[len(password)-1] != 0:
		return "", errors.New("the token does not end")
	}
	return p.o.Account.verifyToken(string(password[:len(password)-1]), "rds-db", p.Addr, map[string]string{"Action": "connect", "DBUser": l.user})
}

// relay passes commands and answers on until the client hangs up.
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
		held.inTransaction, err = passAnswer(out, held.in, held.inTransaction)
		if err := errors.Join(err, out.Flush()); err != nil {
			return err
		}
		if !held.inTransaction {
			p.giveBack(held)
			held = nil
		}
	}
}

// relayPinned passes on whatever comes, on one connection of the database, and notes further pins.
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
