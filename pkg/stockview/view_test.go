package stockview_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"flashsale/internal/devstack"
	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/stockview"
)

var cache *devstack.Cache // only for this package

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "stockview")
	if err == nil {
		cache, err = devstack.StartCache(context.Background(), dir, nil)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = cache.Stop()
	_ = os.RemoveAll(dir)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// source replaces the ledger, which is not tested here, and counts its calls.
type source struct {
	mu        sync.Mutex
	product   checkout.Product
	catalogue []checkout.Product // in order; nil: product alone
	keys      []checkout.IdempotencyKey
	slow      time.Duration
	reads     atomic.Int64
	lists     atomic.Int64
	pages     atomic.Int64
}

func (s *source) Product(context.Context, string) (checkout.Product, error) {
	s.reads.Add(1)
	time.Sleep(s.slow) // as slow as a database
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state(), nil
}

// Products lists the source's product, or those of catalogue if there is one.
func (s *source) Products(_ context.Context, after string, limit int) (page []checkout.Product, _ error) {
	s.pages.Add(1)
	time.Sleep(s.slow)
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.catalogue
	if all == nil {
		all = []checkout.Product{s.state()}
	}
	for _, p := range all {
		if p.ID > after && len(page) < limit {
			page = append(page, p)
		}
	}
	return page, nil
}

func (s *source) GrantedKeys(context.Context, string) ([]checkout.IdempotencyKey, error) {
	s.lists.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.keys), nil
}

// RecentKeys takes a key's place in the list as the id of its hold.
func (s *source) RecentKeys(_ context.Context, _ string, before checkout.ID, holds int) (checkout.RecentKeys, error) {
	s.lists.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	end := int(min(binary.BigEndian.Uint64(before[:]), uint64(len(s.keys))))
	start := max(end-holds, 0)
	recent := checkout.RecentKeys{Keys: slices.Clone(s.keys[start:end])}
	if start > 0 {
		recent.First = &checkout.ID{}
		binary.BigEndian.PutUint64(recent.First[:], uint64(start))
	}
	return recent, nil
}

// state is the product as the ledger returns it now.
func (s *source) state() checkout.Product {
	p := s.product
	p.AskedAt = time.Now()
	if p.AsOf.IsZero() {
		p.AsOf = p.AskedAt.UTC()
	}
	return p
}

// grant is a hold placed with a key. It has the product as the ledger returned it.
func (s *source) grant(key checkout.IdempotencyKey) checkout.Product {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, key)
	s.product.KeyedHolds++
	s.product.Version++
	s.product.ReservedStock++
	return s.state()
}

func newSource() *source {
	return &source{product: checkout.Product{ID: "p-" + uuid.NewString(), Stock: 1000, Version: 1, MaxQtyPerHold: 5}, slow: 5 * time.Millisecond}
}

// keyName is a key of the source's product in the cache.
func keyName(s *source, what string) string {
	return "flashsale:" + s.product.ID + ":{" + s.product.ID + "}:" + what
}

func newView(t *testing.T, s *source) *stockview.View {
	t.Helper()
	v := stockview.New(stockview.Options{Addr: cache.Addr(), Environment: s.product.ID, Source: s, Recorder: checkout.NoRecorder{}, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(v.Close)
	return v
}

func look(t *testing.T, v *stockview.View, s *source, key *checkout.IdempotencyKey) (checkout.Product, bool) {
	t.Helper()
	found, err := v.Lookup(context.Background(), s.product.ID, key)
	if err != nil {
		t.Error(err)
	}
	return found.Product, found.KeyUnused
}

func newKey() *checkout.IdempotencyKey {
	key, _ := checkout.ParseIdempotencyKey(uuid.NewString())
	return &key
}

// Writers in any order leave the newest state, and no reader sees the state go back in time. A round in which the cache
// timed out proves nothing, because the view then works without it. Such a round is repeated.
func TestNewestVersionWins(t *testing.T) {
	t.Parallel()
	for round := 1; ; round++ {
		failures, late := newestVersionRound(t)
		if !late || round == 20 {
			for _, failure := range failures {
				t.Error(failure)
			}
			return
		}
	}
}

func newestVersionRound(t *testing.T) (failures []string, late bool) {
	t.Helper()
	s, counts := newSource(), &ledgertest.Counts{}
	v := stockview.New(stockview.Options{Addr: cache.Addr(), Environment: s.product.ID, Source: s, Recorder: counts, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(v.Close)
	v.Put(context.Background(), s.state(), nil)
	const last = 400
	versions := rand.Perm(last)
	var writers, readers sync.WaitGroup
	var mu sync.Mutex
	done := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for seen := int64(0); ; {
				p, _ := look(t, v, s, nil)
				if p.Version < seen {
					mu.Lock()
					failures = append(failures, fmt.Sprintf("a reader saw version %d after %d", p.Version, seen))
					mu.Unlock()
				}
				seen = p.Version
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for w := range 8 {
		writers.Go(func() {
			for i := w; i < last; i += 8 {
				p := s.state()
				p.Version = int64(versions[i]) + 2
				v.Put(context.Background(), p, nil)
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	if p, _ := look(t, v, s, nil); p.Version != last+1 || s.reads.Load() != 0 {
		failures = append(failures, fmt.Sprintf("the cache has version %d after %d reads of the ledger, expected version %d without any", p.Version, s.reads.Load(), last+1))
	}
	return failures, counts.Of("cache_lookups_total/failure")+counts.Of("cache_lookups_total/skipped") > 0 || s.reads.Load() > 0
}

// A miss is filled once for all readers that wait, in two processes.
func TestConcurrentMissesShareOneFill(t *testing.T) {
	t.Parallel()
	s := newSource()
	s.slow = 30 * time.Millisecond
	views := []*stockview.View{newView(t, s), newView(t, s)}
	for _, v := range views { // connected, as in a running process
		for v.Ping(context.Background()) != nil { // a busy machine may take long to connect
			time.Sleep(50 * time.Millisecond)
		}
	}
	var wg sync.WaitGroup
	gate := make(chan struct{})
	for i := range 500 {
		wg.Go(func() {
			<-gate
			if p, _ := look(t, views[i%2], s, nil); p.ID != s.product.ID {
				t.Errorf("the lookup returned %+v, expected the product", p)
			}
		})
	}
	close(gate)
	wg.Wait()
	// Each of the two processes needs one fill. A busy machine, on which cache calls time out, needs more.
	if n := s.reads.Load(); n > 100 {
		t.Errorf("500 lookups at once read the ledger %d times, expected them to share a read", n)
	}
}

// A product that does not change costs one read per entry's lifetime, and no entry lives for two seconds.
func TestUnchangedProductCostsOneReadPerEntry(t *testing.T) {
	t.Parallel()
	s, counts := newSource(), &ledgertest.Counts{}
	v := stockview.New(stockview.Options{Addr: cache.Addr(), Environment: s.product.ID, Source: s, Recorder: counts, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(v.Close)
	start := time.Now()
	const runs = 4 * time.Second
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for time.Since(start) < runs {
				asked := time.Now() // before the read, so that a later delay does not make the entry look older
				p, _ := look(t, v, s, nil)
				if age := asked.Sub(p.AsOf); age > 2*time.Second {
					t.Errorf("the product is %s old, expected at most 2 s", age)
				}
			}
		})
	}
	wg.Wait()
	late := counts.Of("cache_lookups_total/failure") + counts.Of("cache_lookups_total/skipped") // on a busy machine
	if n := s.reads.Load(); n < 2 || n > 8+int64(late) {
		t.Errorf("the ledger was read %d times in %s (and the cache was late %v times), expected once per life of an entry", n, time.Since(start), late)
	}
}

func TestNotStartedEntryExpiresAtSaleStart(t *testing.T) {
	t.Parallel()
	s := newSource()
	v := newView(t, s)
	now := time.Now().UTC()
	starts := now.Add(300 * time.Millisecond)
	s.product.SaleStartsAt = &starts
	v.Put(context.Background(), s.state(), nil)
	for {
		asked := time.Now()
		p, _ := look(t, v, s, nil)
		if p.AsOf.Before(starts) && asked.Sub(starts) > 250*time.Millisecond {
			t.Fatalf("a lookup %s after the start shows a sale that has not started", asked.Sub(starts))
		}
		if !p.AsOf.Before(starts) {
			return
		}
	}
}

// The set of used keys never gives a false proof, whatever happens to it.
func TestUnusedKeyIsProven(t *testing.T) {
	t.Parallel()
	s, counts := newSource(), &ledgertest.Counts{}
	v := stockview.New(stockview.Options{Addr: cache.Addr(), Environment: s.product.ID, Source: s, Recorder: counts, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(v.Close)
	ctx := context.Background()
	used := make([]*checkout.IdempotencyKey, 20)
	for i := range used {
		used[i] = newKey()
		v.Put(ctx, s.grant(*used[i]), used[i])
	}
	check := func(when string, wantProof bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			_, unused := look(t, v, s, newKey())
			if unused == wantProof {
				break
			}
			if !wantProof || time.Now().After(deadline) { // a slow cache proves nothing, so try again
				t.Fatalf("%s: a fresh key is proven unused: %v, expected %v", when, unused, wantProof)
			}
		}
		for _, key := range used {
			if _, unused := look(t, v, s, key); unused {
				t.Fatalf("%s: a used key is proven unused", when)
			}
		}
	}
	check("complete", true)

	raw := rawClient(t)
	set := keyName(s, "keys")
	if err := raw.Do(ctx, raw.B().Del().Key(keyName(s, "entry"), set, keyName(s, "restore")).Build()).Error(); err != nil { // a flush, of this product
		t.Fatal(err)
	}
	flushed := time.Now()
	check("flushed", false)
	check("restored", true)
	// A slow cache may lose what was restored. Then they are read again, after the pause.
	if n, most := s.lists.Load(), 1+int64(time.Since(flushed)/stockview.RestoreWholePause); n < 1 || n > most {
		t.Errorf("all keys were read %d times, expected once, and at most %d times in %s", n, most, time.Since(flushed))
	}
	lost := newKey() // granted, but the write to the cache was lost
	afterLost := s.grant(*lost)
	used = append(used, lost)
	v.Put(ctx, afterLost, nil)
	check("one short", false)
	wait(t, raw, keyName(s, "restore"))
	check("one short", false)
	check("restored again", true)

	if err := raw.Do(ctx, raw.B().Sadd().Key(set).Member("garbage").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	wait(t, raw, keyName(s, "restore"))
	check("one too many", false)
	check("made anew", true)
}

// While keys are being granted, no used key is ever taken for unused.
func TestUnusedKeyUnderLoad(t *testing.T) {
	t.Parallel()
	s := newSource()
	v := newView(t, s)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				key := newKey()
				v.Put(context.Background(), s.grant(*key), key)
				if _, unused := look(t, v, s, key); unused {
					t.Error("a used key is proven unused")
				}
			}
		})
	}
	wg.Wait()
}
