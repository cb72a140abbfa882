package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// caller sends requests over one connection of its own, one at a time. net/http's client uses more CPU for a request than
// the server under test does, on the same machine; this one writes the request in one piece and reads the answer with
// net/http's parser, and is not for anything but measuring.
type caller struct {
	addr   string
	conn   net.Conn
	reader *bufio.Reader
	out    []byte
	in     []byte
}

// header is one header field of a request.
type header struct{ name, value string }

const (
	callLimit   = 10 * time.Second
	answerLimit = 64 << 10
)

// newCallers makes one for each worker; they connect on their first request.
func newCallers(url string, n int) ([]*caller, func()) {
	callers := make([]*caller, n)
	for i := range callers {
		callers[i] = &caller{addr: strings.TrimPrefix(url, "http://")}
	}
	return callers, func() {
		for _, c := range callers {
			c.close()
		}
	}
}

func (c *caller) close() {
	if c.conn != nil {
		_ = c.conn.Close() // nothing is under way
		c.conn = nil
	}
}

// do sends a request with a JSON body (nil for none), and returns the status and the body of the answer, which is valid
// until the next call. After an error the next call connects anew.
func (c *caller) do(method, path string, body []byte, headers ...header) (status int, answer []byte, err error) {
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.conn == nil {
		conn, err := (&net.Dialer{Timeout: callLimit}).DialContext(context.Background(), "tcp", c.addr) // bounded by its timeout
		if err != nil {
			return 0, nil, fmt.Errorf("connecting to the server: %w", err)
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	if err := c.conn.SetDeadline(time.Now().Add(callLimit)); err != nil {
		return 0, nil, fmt.Errorf("sending a request: %w", err)
	}
	if _, err := c.conn.Write(c.message(method, path, body, headers)); err != nil {
		return 0, nil, fmt.Errorf("sending a request: %w", err)
	}
	response, err := http.ReadResponse(c.reader, &http.Request{Method: method}) //nolint:bodyclose // body does
	if err != nil {
		return 0, nil, fmt.Errorf("reading an answer: %w", err)
	}
	answer, err = c.body(response)
	return response.StatusCode, answer, err
}

func (c *caller) message(method, path string, body []byte, headers []header) []byte {
	b := c.out[:0]
	b = append(b, method...)
	b = append(append(b, ' '), path...)
	b = append(append(b, " HTTP/1.1\r\nHost: "...), c.addr...)
	if body != nil {
		b = append(b, "\r\nContent-Type: application/json\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(len(body)), 10)
	}
	for _, h := range headers {
		b = append(append(b, "\r\n"...), h.name...)
		b = append(append(b, ": "...), h.value...)
	}
	b = append(append(b, "\r\n\r\n"...), body...)
	c.out = b
	return b
}

// body reads the rest of an answer, so that the connection can take the next request.
func (c *caller) body(response *http.Response) ([]byte, error) {
	defer func() { _ = response.Body.Close() }()
	c.in = c.in[:0]
	for {
		if len(c.in) == cap(c.in) {
			c.in = append(c.in, 0)[:len(c.in)]
		}
		n, err := response.Body.Read(c.in[len(c.in):cap(c.in)])
		c.in = c.in[:len(c.in)+n]
		switch {
		case errors.Is(err, io.EOF):
			if response.Close {
				c.close()
			}
			return c.in, nil
		case err != nil:
			return nil, fmt.Errorf("reading an answer: %w", err)
		case len(c.in) > answerLimit:
			return nil, fmt.Errorf("reading an answer: over %d bytes", answerLimit)
		}
	}
}

// expect returns an error unless the status is the wanted one.
func expect(want, status int, answer []byte, err error) error {
	if err == nil && status != want {
		err = fmt.Errorf("the server answered %d, expected %d: %s", status, want, answer)
	}
	return err
}
