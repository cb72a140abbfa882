package ledger_test

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
)

// proxy forwards between a client and the server, and can lose a response.
type proxy struct {
	addr   string
	mu     sync.Mutex
	marker []byte // nil: forward everything
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: listener.Addr().String()}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			backend, err := net.Dial("tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			go p.serve(client, backend)
		}
	}()
	return p
}

// cutResponseTo closes the connection instead of forwarding the response to the next request that contains marker.
func (p *proxy) cutResponseTo(marker string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.marker = []byte(marker)
}

func (p *proxy) serve(client, backend net.Conn) {
	cut := make(chan struct{})
	var once sync.Once
	go func() { // responses
		defer func() { _, _ = client.Close(), backend.Close() }()
		buf := make([]byte, 64<<10)
		for {
			n, err := backend.Read(buf)
			if err != nil {
				return
			}
			select {
			case <-cut: // the server has responded, so it has committed, but the client never learns it
				return
			default:
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 64<<10)
	for { // requests
		n, err := client.Read(buf)
		if err != nil {
			_ = backend.Close()
			return
		}
		p.mu.Lock()
		if p.marker != nil && bytes.Contains(buf[:n], p.marker) {
			p.marker = nil
			once.Do(func() { close(cut) })
		}
		p.mu.Unlock()
		if _, err := io.Copy(backend, bytes.NewReader(buf[:n])); err != nil {
			return
		}
	}
}
