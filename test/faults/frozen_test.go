package faults

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"flashsale/internal/shoptest"
)

// The cache is frozen for eight seconds while a product sells out and its units come back, under load. When the cache
// runs on, the writes that waited in its sockets change nothing: no read is older than two seconds, and no request is
// refused while units are free.
func TestCacheFrozenUnderLoadAndThawed(t *testing.T) {
	t.Parallel()
	const stock, frozen, maxAge = 200, 8 * time.Second, 2 * time.Second
	cache := shoptest.StartCache(t)
	s := shoptest.Open(t, stock, shoptest.Options{CacheAddr: cache.Addr()})
	var ids [stock]string
	responses := shoptest.AtOnce(stock-20, func(int) shoptest.Response { return s.PostHold(t, 1, "") }) // which opens connections
	for i, r := range responses {
		ids[i] = r.Text("id")
	}
	if err := cache.Pause(); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	// Writes go out into frozen sockets, before the circuit breaker opens.
	soldOut := s.Stock(t)
	soldOut.ReservedStock, soldOut.Version = soldOut.Stock, soldOut.Version+1 // as the hold that takes the rest would have it
	for range 8 {
		s.App.View.Put(context.Background(), soldOut, nil)
	}
	check := func(stop func() bool) { // 8 readers and a shopper, who gives back what they get
		var readers sync.WaitGroup
		for range 8 {
			readers.Go(func() {
				for !stop() {
					asked := time.Now()
					r := s.Do(t, http.MethodGet, "/v1/products/"+s.ProductID, "", nil)
					if asOf, err := time.Parse(time.RFC3339Nano, r.Text("as_of")); err != nil || asked.Sub(asOf) > maxAge {
						t.Errorf("a read %s after the freeze began is %s old (%v), expected at most %s: %+v", asked.Sub(begun), asked.Sub(asOf), err, maxAge, r)
						return
					}
				}
			})
		}
		readers.Go(func() {
			for !stop() {
				if r := s.PostHold(t, 1, ""); r.Status != http.StatusCreated {
					t.Errorf("a hold %s after the freeze began: got %+v, expected 201, as units are free", time.Since(begun), r)
					return
				}
				time.Sleep(100 * time.Millisecond) // the pace of a shopper
			}
		})
		readers.Wait()
	}
	for _, id := range ids[:100] { // units come back, and these writes are lost
		if r := s.Do(t, http.MethodDelete, "/v1/holds/"+id, "", nil); r.Status != http.StatusNoContent {
			t.Fatalf("a release got %+v", r)
		}
	}
	check(func() bool { return time.Since(begun) > frozen })
	if err := cache.Resume(); err != nil {
		t.Fatal(err)
	}
	check(func() bool { return time.Since(begun) > frozen+3*time.Second })
	waitForCache(t, s, "ok")
	hitsAgain(t, s)
	s.MustAudit(t)
}
