package stockview_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/stockview"
)

// shop is a source with a catalogue, and a view of it with keys of its own.
type shop struct {
	*source
	view   *stockview.View
	counts *ledgertest.Counts
	prefix string
}

func newShop(t *testing.T, ids ...string) *shop {
	t.Helper()
	s := &shop{source: newSource(), counts: &ledgertest.Counts{}, prefix: uuid.NewString()}
	s.catalogue = []checkout.Product{}
	for _, id := range ids {
		s.add(id)
	}
	s.view = stockview.New(stockview.Options{
		Addr: cache.Addr(), Environment: s.prefix, Source: s, Recorder: s.counts, Logger: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(s.view.Close)
	return s
}

// add adds a product, in the order of the ids.
func (s *shop) add(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.state()
	p.ID = id
	at, _ := slices.BinarySearchFunc(s.catalogue, p, func(a, b checkout.Product) int { return strings.Compare(a.ID, b.ID) })
	s.catalogue = slices.Insert(s.catalogue, at, p)
}

// Product finds the products of the catalogue only.
func (s *shop) Product(ctx context.Context, id string) (checkout.Product, error) {
	s.reads.Add(1)
	time.Sleep(s.slow)
	page, _ := s.Products(ctx, "", 1<<20)
	s.pages.Add(-1)
	for _, p := range page {
		if p.ID == id {
			p.AskedAt = time.Now()
			return p, nil
		}
	}
	return checkout.Product{}, checkout.ErrProductNotFound
}

// late counts cache calls that timed out on a busy machine: the ledger is then asked.
func (s *shop) late() int64 {
	return int64(s.counts.Of("cache_lookups_total/failure") + s.counts.Of("cache_lookups_total/skipped") + s.counts.Of("cache_writes_lost_total"))
}

// flood calls do from 16 goroutines for a while, and returns how often.
func flood(d time.Duration, do func(n int64)) (calls int64, seconds float64) {
	var wg sync.WaitGroup
	var n atomic.Int64
	begun := time.Now()
	for range 16 {
		wg.Go(func() {
			for time.Since(begun) < d {
				do(n.Add(1))
			}
		})
	}
	wg.Wait()
	return n.Load(), time.Since(begun).Seconds()
}

// Whatever unknown products are asked for, the ledger lists its products about once a second.
func TestUnknownProductsCostOneListASecond(t *testing.T) {
	t.Parallel()
	s := newShop(t, "a", "b")
	_, _ = s.view.Lookup(context.Background(), "connects", nil)
	reads, pages, late := s.reads.Load(), s.pages.Load(), s.late()
	calls, seconds := flood(3*time.Second, func(n int64) {
		if _, err := s.view.Lookup(context.Background(), fmt.Sprintf("unknown-%d", n), nil); checkout.CodeOf(err) != checkout.CodeProductNotFound {
			t.Errorf("an unknown product: got %v, expected product_not_found", err)
		}
	})
	reads, pages, late = s.reads.Load()-reads, s.pages.Load()-pages, s.late()-late
	t.Logf("%d lookups in %.1f s, %d lists, %d products read, the cache was late %d times", calls, seconds, pages, reads, late)
	lists, probes := int64(1+seconds/1.4), int64(2+seconds)
	if pages > lists+late || reads > probes+2*late {
		t.Errorf("%d lookups of unknown products cost %d lists and %d reads, expected at most %d and %d (the cache was late %d times)",
			calls, pages, reads, lists, probes, late)
	}
}

func TestNewProductIsVisibleWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	s := newShop(t, "a")
	for _, id := range []string{"b", "0", "a-b"} {
		_, _ = s.view.Lookup(context.Background(), id, nil) // unknown, so the catalogue is fresh
		s.add(id)
		added := time.Now()
		for {
			asked := time.Now()
			_, err := s.view.Lookup(context.Background(), id, nil)
			page, listErr := s.view.Products(context.Background(), "", 100)
			if listErr != nil {
				t.Fatal(listErr)
			}
			if err == nil && slices.ContainsFunc(page, func(p checkout.Product) bool { return p.ID == id }) {
				break
			}
			if asked.Sub(added) > maxAge {
				t.Fatalf("product %s, added %s ago: %v, listed %d products, expected it to be found", id, asked.Sub(added), err, len(page))
			}
		}
	}
}

// A deleted product costs no more than any unknown one.
func TestDeletedProductIsForgotten(t *testing.T) {
	t.Parallel()
	s := newShop(t, "a", "b")
	if _, err := s.view.Products(context.Background(), "", 10); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.catalogue = s.catalogue[:1]
	s.mu.Unlock()
	reads := int64(0)
	for deleted := time.Now(); time.Since(deleted) < 3*time.Second; {
		before := s.reads.Load()
		if _, err := s.view.Lookup(context.Background(), "b", nil); checkout.CodeOf(err) != checkout.CodeProductNotFound {
			t.Fatalf("a deleted product: got %v, expected product_not_found", err)
		}
		reads += s.reads.Load() - before
	}
	if late := s.late(); reads > 6+late {
		t.Errorf("lookups of a deleted product for three seconds cost %d reads, expected at most 6 (the cache was late %d times)", reads, late)
	}
}

// A product is found as soon as it is added, while there are few requests for unknown ones.
func TestNewProductsAreFoundAtOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t, "a")
	late := s.late()
	for i := range 20 {
		id := fmt.Sprintf("new-%d", i)
		s.add(id)
		_, err := s.view.Lookup(context.Background(), id, nil)
		page, listErr := s.view.Products(context.Background(), "", 100)
		if s.late() > late { // then it may take two seconds, and a late write may come at any time
			return
		}
		if err != nil || listErr != nil || len(page) != i+2 {
			t.Fatalf("product %s: %v; the list has %d products (%v), expected it to be found and listed", id, err, len(page), listErr)
		}
	}
}

// Every page is the one that the ledger would return.
func TestPagesOfTheCatalogue(t *testing.T) {
	t.Parallel()
	ids := []string{"-", "0", "0-", "a", "a-", "a-1", "a0", "aa", "ab", "b", "z", "zz"}
	s := newShop(t, ids...)
	pages, late := s.pages.Load(), s.late()
	begun := time.Now()
	for range 2 { // from the ledger, then from the cache
		for _, after := range append([]string{"", "--", "a--", "c", "zzz"}, ids...) {
			for _, limit := range []int{1, 2, 5, 100} {
				want, _ := s.Products(context.Background(), after, limit)
				s.pages.Add(-1)
				got, err := s.view.Products(context.Background(), after, limit)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(checkout.Product{}, "AskedAt"), cmpopts.EquateEmpty()); diff != "" {
					t.Fatalf("%d products after %q differ (-expected +got):\n%s", limit, after, diff)
				}
			}
		}
	}
	if n, limit := s.pages.Load()-pages, int64(1+time.Since(begun).Seconds()/1.4)+s.late()-late; n > limit {
		t.Errorf("the pages cost %d calls of the ledger, expected at most %d", n, limit)
	}
}

// A catalogue that is gone, damaged, or too large is never believed.
func TestCatalogueWithoutProof(t *testing.T) {
	t.Parallel()
	ctx, raw := context.Background(), rawClient(t)
	found := func(t *testing.T, s *shop, when string) {
		t.Helper()
		for _, id := range []string{"a", "b"} {
			if found, err := s.view.Lookup(ctx, id, nil); err != nil || found.Product.ID != id {
				t.Errorf("%s: looking up %s returned %+v (%v), expected it", when, id, found, err)
			}
		}
		if page, err := s.view.Products(ctx, "", 10); err != nil || len(page) < 2 {
			t.Errorf("%s: the list has %d products (%v), expected 2", when, len(page), err)
		}
	}
	for name, damage := range map[string][]string{
		"gone":              nil,
		"another type":      {"SET", "x"},
		"without a head":    {"ZADD", "0", "a 1 {}"},
		"far in the future": {"ZADD", "0", "!99999999999999 "},
		"a head of words":   {"ZADD", "0", "!soon "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, "a", "b")
			_, _ = s.view.Lookup(ctx, "unknown", nil)
			key := "flashsale:" + s.prefix + ":catalogue"
			commands := [][]string{{"DEL", key}}
			if damage != nil {
				commands = append(commands, append([]string{damage[0], key}, damage[1:]...))
			}
			for _, words := range commands {
				if err := raw.Do(ctx, raw.B().Arbitrary(words...).Build()).Error(); err != nil {
					t.Fatal(err)
				}
			}
			found(t, s, name)
		})
	}
	t.Run("too large", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, "a", "b")
		for i := range 5001 {
			s.catalogue = append(s.catalogue, s.catalogue[1])
			s.catalogue[i+2].ID = fmt.Sprintf("c%05d", i)
		}
		for range 2 {
			found(t, s, "too large")
			if _, err := s.view.Lookup(ctx, "c05000", nil); err != nil {
				t.Errorf("the last product: %v, expected it", err)
			}
			if _, err := s.view.Lookup(ctx, "unknown", nil); checkout.CodeOf(err) != checkout.CodeProductNotFound {
				t.Errorf("an unknown product: %v, expected product_not_found", err)
			}
		}
	})
}
