package stockview_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"flashsale/internal/devstack"
	"flashsale/pkg/checkout"
	"flashsale/pkg/stockview"
)

// maxAge is the promise: no read is older.
const maxAge = 2 * time.Second

// A write waits in the socket of a frozen cache. When the cache runs on, the write says nothing any more.
func TestWriteStuckInAFrozenCacheStoresNothing(t *testing.T) {
	t.Parallel()
	private, err := devstack.StartCache(context.Background(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = private.Stop() })
	s := newSource()
	v := stockview.New(stockview.Options{
		Addr: private.Addr(), Environment: s.product.ID, Source: s, Recorder: checkout.NoRecorder{}, Logger: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(v.Close)
	atOnce := func(p checkout.Product, key *checkout.IdempotencyKey) { // fewer calls than open the circuit breaker
		var writers sync.WaitGroup
		for range 4 {
			writers.Go(func() { v.Put(context.Background(), p, key) })
		}
		writers.Wait()
	}
	atOnce(s.state(), nil) // connected, as in a running process

	if err := private.Pause(); err != nil {
		t.Fatal(err)
	}
	s.product.Version, s.product.ReservedStock = 2, s.product.Stock
	soldOut := s.state()
	atOnce(soldOut, newKey())
	s.product.Version, s.product.ReservedStock = 3, 0 // and this write is lost
	time.Sleep(time.Until(soldOut.AskedAt.Add(maxAge + 500*time.Millisecond)))
	if err := private.Resume(); err != nil {
		t.Fatal(err)
	}
	raw := clientOf(t, private.Addr())
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // the stuck write adds its key at once
		n, err := raw.Do(context.Background(), raw.B().Exists().Key(keyName(s, "keys")).Build()).AsInt64()
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the stuck write did not run (%v)", err)
		}
		if n == 1 {
			break
		}
	}
	for range 20 {
		asked := time.Now()
		if p, _ := look(t, v, s, nil); asked.Sub(p.AsOf) > maxAge || p.AvailableStock() == 0 {
			t.Fatalf("a read shows version %d, %s old, expected version 3 and at most %s", p.Version, asked.Sub(p.AsOf), maxAge)
		}
	}
}

// The time at which an entry expires is on the cache's own clock. A view that knows a wrong time, as in a function that
// was frozen, stores nothing false, and learns the right time from the response.
func TestEntryExpiresByTheTimeItsLedgerCallBegan(t *testing.T) {
	t.Parallel()
	for name, age := range map[string]time.Duration{"just read": 0, "a second ago": time.Second, "too old": 2 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSource()
			raw := rawClient(t)
			var left int64
			for deadline := time.Now().Add(10 * time.Second); ; { // a busy cache may lose a write
				state := s.state()
				state.AskedAt = state.AskedAt.Add(-age)
				newView(t, s).Put(context.Background(), state, nil) // a new view, which knows no time yet
				var err error
				if left, err = raw.Do(context.Background(), raw.B().Pttl().Key(keyName(s, "entry")).Build()).AsInt64(); err != nil {
					t.Fatal(err)
				}
				if left > 0 || age >= maxAge || time.Now().After(deadline) {
					break
				}
			}
			if longest := max(1900-age.Milliseconds(), -2); left > longest || (left < 0 && age == 0) {
				t.Errorf("the entry of a state that was asked for %s ago lives %d ms, expected at most %d", age, left, longest)
			}
		})
	}
}

// A view corrects a wrong time of the cache with the first response, whichever way it is wrong.
func TestWrongTimeOfTheCacheIsCorrected(t *testing.T) {
	t.Parallel()
	raw := rawClient(t)
	for _, off := range []time.Duration{-time.Hour, -time.Second, 0, time.Second, time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			t.Parallel()
			s := newSource()
			v := newView(t, s)
			var left int64
			for deadline := time.Now().Add(10 * time.Second); left <= 0 && time.Now().Before(deadline); { // a busy cache may lose a write
				v.SetClock(off)
				v.Put(context.Background(), s.state(), nil)
				var err error
				if left, err = raw.Do(context.Background(), raw.B().Pttl().Key(keyName(s, "entry")).Build()).AsInt64(); err != nil {
					t.Fatal(err)
				}
			}
			if left <= 0 || left > 1900 {
				t.Errorf("with a time that is off by %s, the entry lives %d ms, expected 1 to 1900", off, left)
			}
		})
	}
}
