package stockview

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
	"github.com/valkey-io/valkey-go"
	"golang.org/x/sync/singleflight"
)

const (
	// callTimeout limits one call of the cache, connecting included. A call that fails falls back to the database.
	callTimeout = 50 * time.Millisecond
	// After tripAfter failures in a row the breaker opens for openFor. Then one call probes the cache.
	tripAfter = 5
	openFor   = time.Second
	// connectTimeout limits a connection with TLS. A request waits at most callTimeout for it; the connection then
	// continues in the background, for the next request.
	connectTimeout = time.Second

	poolSize   = 64
	bufferSize = 16 << 10 // the library's default is 512 KiB, twice a connection
)

// errSkipped says that no call was made because the breaker is open.
var errSkipped = errors.New("cache call skipped: the circuit breaker is open")

// client is a connection pool behind a circuit breaker. The pool is made on first use, because making one connects.
type client struct {
	options valkey.ClientOption
	breaker *gobreaker.CircuitBreaker[any]
	cause   atomic.Pointer[string] // the latest failure, for the log
	replace bool                   // a lost connection replaces the pool: see leave

	connecting singleflight.Group
	mu         sync.Mutex
	pool       *pool // nil until connected
	closed     bool
}

// pool is a connection pool and the number of its calls in progress, which client.mu guards.
type pool struct {
	valkey.Client
	calls   int
	dropped bool // no new call uses it, and the last one closes it
}

func newClient(addr string, signIn func(context.Context) (string, string, error), log *slog.Logger) *client {
	c := &client{
		// A connection has one call at a time, with a deadline, so the library never starts its background reader. That
		// reader does not survive the freeze of a Lambda function. No call is retried: a write could happen twice.
		options: valkey.ClientOption{
			InitAddress: []string{addr}, ForceSingleClient: true, DisableCache: true, DisableRetry: true, DisableAutoPipelining: true,
			BlockingPoolSize: poolSize, ReadBufferEachConn: bufferSize, WriteBufferEachConn: bufferSize,
			Dialer: net.Dialer{Timeout: callTimeout}, ConnWriteTimeout: callTimeout, ClientSetInfo: valkey.DisableClientSetInfo,
		},
	}
	c.breaker = gobreaker.NewCircuitBreaker[any](gobreaker.Settings{
		Name: "cache", MaxRequests: 1, Timeout: openFor,
		// A cache that refuses writes still serves reads.
		IsSuccessful: func(err error) bool { return err == nil || refusal(err) != nil },
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= tripAfter },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			switch {
			case to == gobreaker.StateOpen && from == gobreaker.StateClosed:
				log.Warn("the cache does not respond; continuing without it", "error", *c.cause.Load())
			case to == gobreaker.StateClosed:
				log.Info("the cache responds again")
			}
		},
	})
	if signIn != nil {
		c.replace = true
		host, _, _ := net.SplitHostPort(addr) // a bad address makes the connection fail
		c.options.TLSConfig = &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
		c.options.Dialer.Timeout = connectTimeout
		c.options.ConnWriteTimeout = connectTimeout
		c.options.AuthCredentialsFn = func(valkey.AuthCredentialsContext) (valkey.AuthCredentials, error) {
			username, password, err := signIn(context.Background()) // the library passes no context
			return valkey.AuthCredentials{Username: username, Password: password}, err
		}
	}
	return c
}

// do makes one call within callTimeout. It ignores the caller's cancellation: a cancelled caller must not count as a
// cache failure, nor keep a known state from being stored.
func (c *client) do(ctx context.Context, call func(context.Context, valkey.Client) error) error {
	_, err := c.breaker.Execute(func() (any, error) {
		err := c.attempt(ctx, call)
		if err != nil {
			text := err.Error()
			c.cause.Store(&text)
		}
		return nil, err
	})
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return errSkipped
	}
	return err
}

// attempt makes one call, without the breaker.
func (c *client) attempt(ctx context.Context, call func(context.Context, valkey.Client) error) (err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	pool, err := c.enter(ctx)
	if err != nil {
		return err
	}
	lost := false
	defer func() { c.leave(pool, lost) }()
	err = call(ctx, pool)
	// A server that became a replica has a successor, which a new connection finds.
	_, responded := valkey.IsValkeyErr(err)
	lost = err != nil && (!responded || errors.Is(refusal(err), ErrReadOnly))
	return err
}

// enter returns the pool for a call that leave ends. One caller makes the pool for all waiting callers.
func (c *client) enter(ctx context.Context) (*pool, error) {
	for { // once more if another call has just dropped the new pool
		c.mu.Lock()
		if pool := c.pool; pool != nil {
			pool.calls++
			c.mu.Unlock()
			return pool, nil
		}
		c.mu.Unlock()
		select {
		case r := <-c.connecting.DoChan("", c.connect):
			if r.Err != nil {
				return nil, r.Err
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("connecting to the cache: %w", ctx.Err())
		}
	}
}

// connect makes the pool.
func (c *client) connect() (any, error) {
	made, err := valkey.NewClient(c.options)
	if err == nil && c.options.TLSConfig != nil {
		err = warm(made)
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to the cache: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		made.Close()
		return nil, errSkipped
	case c.pool != nil: // made just before this call began
		made.Close()
	default:
		c.pool = &pool{Client: made}
	}
	return nil, nil //nolint:nilnil // enter takes the pool from the client
}

// warm makes the pool's first connection for calls. The library's own first connection serves none, and a call connects
// within callTimeout or fails: where TLS takes longer, no call would ever succeed.
func warm(pool valkey.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	err := pool.Do(ctx, pool.B().Ping().Build()).Error()
	if err != nil {
		pool.Close()
	}
	return err
}

// leave ends a call. If it lost its connection, the next call connects again, where the client replaces pools. Other calls of
// the old pool finish first: a process that serves several requests would otherwise fail them all.
func (c *client) leave(p *pool, lost bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.calls--
	if lost && c.replace && c.pool == p {
		c.pool, p.dropped = nil, true
	}
	if p.dropped && p.calls == 0 {
		go p.Close() // it may wait for a response
	}
}

func (c *client) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.pool != nil {
		c.pool.Close()
		c.pool = nil
	}
}
