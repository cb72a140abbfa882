package stockview

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"testing"

	"github.com/valkey-io/valkey-go"

	"flashsale/internal/ledgertest"
)

// This test is inside the package because it has to be in the middle of a call.

// A call that loses its connection replaces the pool. A call that is in progress at that moment still succeeds, and a later
// one uses the new pool.
func TestLostConnectionFailsNoOtherCall(t *testing.T) {
	t.Parallel()
	addr := os.Getenv("CACHE_ADDR")
	if addr == "" {
		addr = ledgertest.Servers(t).CacheAddr()
	}
	c := newClient(addr, nil, slog.New(slog.DiscardHandler))
	c.replace = true // as where the view signs in
	t.Cleanup(c.close)
	ping := func(pool valkey.Client) error { // without attempt's limit; a slow machine may exceed the library's own, too
		for {
			err := pool.Do(context.Background(), pool.B().Ping().Build()).Error()
			if network := net.Error(nil); !errors.As(err, &network) || !network.Timeout() {
				return err
			}
		}
	}
	use := func(call func(valkey.Client) error) (used valkey.Client, err error) {
		for used == nil { // a slow machine may need several tries to connect
			err = c.attempt(t.Context(), func(_ context.Context, pool valkey.Client) error {
				used = pool
				return call(pool)
			})
		}
		return used, err
	}
	lost := errors.New("the connection is lost")
	old, err := use(func(pool valkey.Client) error {
		if broken, err := use(func(valkey.Client) error { return lost }); broken != pool || !errors.Is(err, lost) {
			t.Errorf("another call used the pool %p and returned %v, expected the same pool %p and its own error", broken, err, pool)
		}
		for range 100 { // closing the pool would take a moment
			if err := ping(pool); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Errorf("a call in progress returned %v when another one lost its connection, expected no error", err)
	}
	next, err := use(ping)
	if err != nil || next == old {
		t.Errorf("the next call used the pool %p and returned %v, expected a new pool and no error", next, err)
	}
	if old.(*pool).calls != 0 || !old.(*pool).dropped {
		t.Errorf("the old pool has %d calls, dropped: %v, expected none, and dropped", old.(*pool).calls, old.(*pool).dropped)
	}
}
