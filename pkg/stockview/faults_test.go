package stockview_test

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/valkey-io/valkey-go"

	"flashsale/internal/devstack"
	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/stockview"
)

func rawClient(t *testing.T) valkey.Client {
	t.Helper()
	return clientOf(t, cache.Addr())
}

// clientOf is a client for commands that only a test sends.
func clientOf(t *testing.T, addr string) valkey.Client {
	t.Helper()
	c, err := valkey.NewClient(valkey.ClientOption{InitAddress: []string{addr}, ForceSingleClient: true, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// wait waits until a key has ended.
func wait(t *testing.T, c valkey.Client, key string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		n, err := c.Do(context.Background(), c.B().Exists().Key(key).Build()).AsInt64()
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%s is still there (%v)", key, err)
		}
		if n == 0 {
			return
		}
	}
}

// A cache is down, then hangs, then works again. The view reads from the ledger, soon without waiting for the cache,
// and recovers by itself.
func TestCacheFails(t *testing.T) {
	t.Parallel()
	private, err := devstack.StartCache(context.Background(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = private.Stop() })
	s := newSource()
	counts := &ledgertest.Counts{}
	v := stockview.New(stockview.Options{Addr: private.Addr(), Environment: s.product.ID, Source: s, Recorder: counts, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(v.Close)
	for _, fault := range []struct {
		name     string
		do, undo func() error
	}{
		{"killed", private.Kill, func() error { return private.Restart(context.Background()) }},
		{"paused", private.Pause, private.Resume},
	} {
		look(t, v, s, nil)
		if err := fault.do(); err != nil {
			t.Fatal(err)
		}
		skipped, shortest := counts.Of("cache_lookups_total/skipped"), time.Hour
		for range 100 {
			failures, begun := counts.Of("cache_lookups_total/failure"), time.Now()
			if p, unused := look(t, v, s, newKey()); p.ID != s.product.ID || unused {
				t.Errorf("%s: got %+v, key unused %v; expected the ledger's product and no proof", fault.name, p, unused)
			}
			if counts.Of("cache_lookups_total/failure") > failures {
				shortest = min(shortest, time.Since(begun))
			}
		}
		if n := counts.Of("cache_lookups_total/skipped") - skipped; n < 50 {
			t.Errorf("%s: %v of 100 lookups skipped the cache, expected most of them", fault.name, n)
		}
		// The shortest of several calls, because a busy machine delays it least.
		if shortest > time.Second {
			t.Errorf("%s: each lookup waited for the cache for %s or more, expected 50 ms", fault.name, shortest)
		}
		if v.Ping(context.Background()) == nil {
			t.Errorf("%s: the cache responds to a ping, expected an error", fault.name)
		}
		if err := fault.undo(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); ; {
			before := s.reads.Load()
			look(t, v, s, nil)
			look(t, v, s, nil)
			if s.reads.Load() == before {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: lookups do not use the cache again", fault.name)
			}
		}
	}
}

// A server that accepts connections but never responds.
func TestCacheThatNeverResponds(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	s := newSource()
	v := stockview.New(stockview.Options{Addr: listener.Addr().String(), Environment: s.product.ID, Source: s, Recorder: checkout.NoRecorder{}, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(v.Close)
	start := time.Now()
	look(t, v, s, nil)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("the first lookup took %s, expected it to do without the cache", took)
	}
}

func BenchmarkLookup(b *testing.B) {
	for name, key := range map[string]*checkout.IdempotencyKey{"plain": nil, "keyed": newKey()} {
		b.Run(name, func(b *testing.B) {
			s := newSource()
			s.slow = 0
			v := stockview.New(stockview.Options{Addr: cache.Addr(), Environment: s.product.ID, Source: s, Recorder: checkout.NoRecorder{}, Logger: slog.New(slog.DiscardHandler)})
			defer v.Close()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Lookup(context.Background(), s.product.ID, key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
