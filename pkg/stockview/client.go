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
	// callTimeout bounds one call of the cache, connecting included. It fails open: the database is asked instead.
	callTimeout = 50 * time.Millisecond
	// After so many failures in a row nobody asks the cache for openFor; then one caller tries.
	tripAfter = 5
	openFor   = time.Second
	// connectTimeout bounds a connection that has TLS to agree on. Nobody waits for it longer than callTimeout: it goes
	// on beside the request, for the next one.
	connectTimeout = time.Second

	poolSize   = 64
	bufferSize = 16 << 10 // the library's default is 512 KiB, twice a connection
)

// errSkipped is why a call was not made: the breaker is open.
var errSkipped = errors.New("the cache is being left alone")

// client is a connection pool that is made on first use, since making one connects, behind a breaker.
type client struct {
	options valkey.ClientOption
	breaker *gobreaker.CircuitBreaker[any]
	cause   atomic.Pointer[string] // of the latest failure, for the log

	connecting singleflight.Group
	mu         sync.Mutex
	pool       valkey.Client // nil until connected
	closed     bool
}

func newClient(addr string, signIn func(context.Context) (string, string, error), log *slog.Logger) *client {
	c := &client{
		// Each call takes a connection of its own and has a deadline, so the library never starts its background
		// reader, which does not survive a Lambda function's freeze. Nothing is retried: a write could be done twice.
		options: valkey.ClientOption{
			InitAddress: []string{addr}, ForceSingleClient: true, DisableCache: true, DisableRetry: true, DisableAutoPipelining: true,
			BlockingPoolSize: poolSize, ReadBufferEachConn: bufferSize, WriteBufferEachConn: bufferSize,
			Dialer: net.Dialer{Timeout: callTimeout}, ConnWriteTimeout: callTimeout, ClientSetInfo: valkey.DisableClientSetInfo,
		},
	}
	c.breaker = gobreaker.NewCircuitBreaker[any](gobreaker.Settings{
		Name: "cache", MaxRequests: 1, Timeout: openFor,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= tripAfter },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			switch {
			case to == gobreaker.StateOpen && from == gobreaker.StateClosed:
				log.Warn("the cache does not answer; going on without it", "error", *c.cause.Load())
			case to == gobreaker.StateClosed:
				log.Info("the cache answers again")
			}
		},
	})
	if signIn != nil {
		host, _, _ := net.SplitHostPort(addr) // else the connection fails, and says so
		c.options.TLSConfig = &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
		c.options.Dialer.Timeout = connectTimeout
		c.options.ConnWriteTimeout = connectTimeout
		c.options.AuthCredentialsFn = func(valkey.AuthCredentialsContext) (valkey.AuthCredentials, error) {
			username, password, err := signIn(context.Background()) // the library has no context here
			return valkey.AuthCredentials{Username: username, Password: password}, err
		}
	}
	return c
}

// do makes one call within callTimeout. The caller's cancellation does not count: who has gone away must not make
// the cache look broken, nor keep what is known from being stored.
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

// attempt makes one call without the breaker.
func (c *client) attempt(ctx context.Context, call func(context.Context, valkey.Client) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	pool, err := c.connect(ctx)
	if err != nil {
		return err
	}
	err = call(ctx, pool)
	if _, answered := valkey.IsValkeyErr(err); err != nil && !answered && c.options.TLSConfig != nil {
		c.drop(pool)
	}
	return err
}

// connect returns the pool, made by the first caller for all who wait.
func (c *client) connect(ctx context.Context) (valkey.Client, error) {
	c.mu.Lock()
	pool := c.pool
	c.mu.Unlock()
	if pool != nil {
		return pool, nil
	}
	made := c.connecting.DoChan("", func() (any, error) {
		pool, err := valkey.NewClient(c.options)
		if err == nil && c.options.TLSConfig != nil {
			err = warm(pool)
		}
		if err != nil {
			return nil, fmt.Errorf("connecting to the cache: %w", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.closed || c.pool != nil { // closed meanwhile, or made just before this flight began
			pool.Close()
			pool = c.pool
		} else {
			c.pool = pool
		}
		if pool == nil {
			return nil, errSkipped
		}
		return pool, nil
	})
	select {
	case r := <-made:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(valkey.Client), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("connecting to the cache: %w", ctx.Err())
	}
}

// warm makes the pool's first connection. The one that the library has made by now serves no call, and a call makes its
// own within callTimeout or not at all: where TLS takes longer, that would be never.
func warm(pool valkey.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	err := pool.Do(ctx, pool.B().Ping().Build()).Error()
	if err != nil {
		pool.Close()
	}
	return err
}

// drop gives a pool up that has lost a connection, so that the next caller connects anew, as at the start. A function
// has one call at a time: there are no others on it.
func (c *client) drop(pool valkey.Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pool == pool {
		c.pool = nil
		go pool.Close() // it may wait for an answer
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
