package stockview_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/valkey-io/valkey-go"

	"flashsale/internal/devstack"
	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/stockview"
)

// sell lets a product have many keyed holds. The cache's set of used keys has all but those in lost.
func (s *source) sell(t *testing.T, raw valkey.Client, n int, lost ...int) {
	t.Helper()
	s.keys = make([]checkout.IdempotencyKey, n)
	members := make([]string, 0, n)
	missing := map[int]bool{}
	for _, i := range lost {
		missing[i] = true
	}
	for i := range s.keys {
		s.keys[i] = sha256.Sum256(binary.BigEndian.AppendUint64([]byte(s.product.ID), uint64(i)))
		if !missing[i] {
			members = append(members, string(s.keys[i][:16]))
		}
	}
	s.product.KeyedHolds, s.product.Version = int64(n), int64(n)
	for len(members) > 0 {
		chunk := min(len(members), 10_000)
		if err := raw.Do(context.Background(), raw.B().Sadd().Key(keyName(s, "keys")).Member(members[:chunk]...).Build()).Error(); err != nil {
			t.Fatal(err)
		}
		members = members[chunk:]
	}
}

// untilProven looks until a new key is proven unused. It checks that no granted key is, and returns how many lookups had no
// proof.
func untilProven(t *testing.T, v *stockview.View, s *source) (without int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; without++ {
		for _, i := range []int{0, len(s.keys) / 2, len(s.keys) - 1} {
			if _, unused := look(t, v, s, &s.keys[i]); unused {
				t.Fatalf("the key of hold %d is proven unused", i)
			}
		}
		if _, unused := look(t, v, s, newKey()); unused {
			return without
		}
		if time.Now().After(deadline) {
			t.Fatal("the proof does not come back")
		}
		time.Sleep(50 * time.Millisecond) // between two requests
	}
}

// A product has many more keys than one call lists. One lost write costs one step, an empty cache a few.
func TestSetOfManyKeysIsMended(t *testing.T) {
	t.Parallel()
	const many = 150_000
	for _, c := range []struct {
		name     string
		lost     []int
		mostList int64 // steps, if no cache call is late
	}{
		{"complete", nil, 0},
		{"the latest lost", []int{many - 1}, 1},
		{"some of the first lost", []int{0, 1, 70_000}, 6}, // 2,000 + 10,000 + 50,000 + …
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, counts := newSource(), &ledgertest.Counts{}
			s.sell(t, rawClient(t), many, c.lost...)
			v := stockview.New(stockview.Options{Addr: cache.Addr(), Environment: s.product.ID, Source: s, Recorder: counts, Logger: slog.New(slog.DiscardHandler)})
			t.Cleanup(v.Close)
			without := untilProven(t, v, s)
			late := int64(counts.Of("cache_lookups_total/failure") + counts.Of("cache_lookups_total/skipped"))
			t.Logf("%d lookups without a proof, %d steps, the cache was late %d times", without, s.lists.Load(), late)
			if n := s.lists.Load(); n > c.mostList+late+3 { // a step of which a call was late is done again
				t.Errorf("mending the set took %d steps, expected about %d", n, c.mostList)
			}
		})
	}
}

// Two writes in a row are lost: of the unit that came back, and of the hold that took it. The entry and the set are still
// those from before, and agree.
func TestKeyOfALostWriteIsNotProvenUnused(t *testing.T) {
	t.Parallel()
	private, err := devstack.StartCache(context.Background(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = private.Stop() })
	s, raw := newSource(), clientOf(t, private.Addr())
	v := stockview.New(stockview.Options{Addr: private.Addr(), Environment: s.product.ID, Source: s, Recorder: checkout.NoRecorder{}, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(v.Close)
	first, lost := newKey(), newKey()
	v.Put(context.Background(), s.grant(*first), first)
	if err := raw.Do(context.Background(), raw.B().Arbitrary("REPLICAOF", "127.0.0.1", "1").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	s.product.Version++ // a unit came back
	v.Put(context.Background(), s.state(), nil)
	v.Put(context.Background(), s.grant(*lost), lost)
	if p, unused := look(t, v, s, lost); unused {
		t.Errorf("the key of a hold is proven unused by version %d, expected no proof", p.Version)
	}
}

// A cache that refuses writes cannot be mended, so nobody tries.
func TestReadOnlyCacheIsNotRestored(t *testing.T) {
	t.Parallel()
	private, err := devstack.StartCache(context.Background(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = private.Stop() })
	s, raw := newSource(), clientOf(t, private.Addr())
	s.sell(t, raw, 10, 9)
	if err := raw.Do(context.Background(), raw.B().Arbitrary("REPLICAOF", "127.0.0.1", "1").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	v := stockview.New(stockview.Options{Addr: private.Addr(), Environment: s.product.ID, Source: s, Recorder: checkout.NoRecorder{}, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(v.Close)
	for range 50 {
		if _, unused := look(t, v, s, newKey()); unused {
			t.Error("a key is proven unused, expected no proof")
		}
	}
	if n := s.lists.Load(); n > 0 {
		t.Errorf("the keys were listed %d times, expected never", n)
	}
}

// Writes that share a call store the keys of all: afterwards an unused key is proven unused without the ledger's list. A round in
// which the cache timed out proves nothing, and is repeated.
func TestSharedWritesStoreAllKeys(t *testing.T) {
	t.Parallel()
	for round := 1; ; round++ {
		s, counts := newSource(), &ledgertest.Counts{}
		v := stockview.New(stockview.Options{Addr: cache.Addr(), Environment: s.product.ID, Source: s, Recorder: counts, Logger: slog.New(slog.DiscardHandler)})
		t.Cleanup(v.Close)
		var wg sync.WaitGroup
		for range 200 {
			key := newKey()
			granted := s.grant(*key)
			wg.Go(func() { v.Put(t.Context(), granted, key) })
		}
		wg.Wait()
		_, unused := look(t, v, s, newKey())
		if unused && s.lists.Load() == 0 {
			return
		}
		lost := 0.0
		for _, reason := range []string{"failure", "skipped", "late"} {
			lost += counts.Of("cache_writes_lost_total/" + reason)
		}
		if lost == 0 || round == 20 {
			t.Fatalf("after 200 keyed writes, a new key is proven unused: %v, with %d lists of the ledger and %.0f lost writes; expected the proof from the cache", unused, s.lists.Load(), lost)
		}
	}
}
