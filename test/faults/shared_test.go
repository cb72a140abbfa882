package faults

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"flashsale/internal/shoptest"
)

// Two databases have a product with the same id and share a cache. Each sees its own.
func TestTwoDatabasesShareACache(t *testing.T) {
	t.Parallel()
	cache := shoptest.StartCache(t)
	soldOut := shoptest.Open(t, 1, shoptest.Options{CacheAddr: cache.Addr()})
	free := shoptest.Open(t, 1, shoptest.Options{CacheAddr: cache.Addr()})
	free.ProductID = soldOut.ProductID
	free.MustPut(t, free.ProductID, 1000)
	soldOut.MustHold(t, 1)
	for begun := time.Now(); time.Since(begun) < time.Second; {
		if r := soldOut.PostHold(t, 1, ""); r.Code() != "sold_out" {
			t.Fatalf("a hold of the sold-out product got %+v, expected sold_out", r)
		}
		if r := free.PostHold(t, 1, ""); r.Status != http.StatusCreated {
			t.Fatalf("a hold of the other database's product got %+v, expected 201: it has 1000 units", r)
		}
		if r := free.PostHold(t, 1, "key-of-a-shopper-of-both"); r.Status >= 300 {
			t.Fatalf("a hold with a key got %+v, expected 201 or 200", r)
		}
		if r := soldOut.PostHold(t, 1, "key-of-a-shopper-of-both"); r.Code() != "sold_out" {
			t.Fatalf("the same key in the other database got %+v, expected sold_out", r)
		}
	}
	for s, stock := range map[*shoptest.Shop]string{soldOut: `"stock":1,`, free: `"stock":1000,`} {
		if r := s.Do(t, http.MethodGet, "/v1/products/"+s.ProductID, "", nil); !contains(r, stock) {
			t.Errorf("a read got %+v, expected %s", r, stock)
		}
		s.MustAudit(t)
	}
}

func contains(r shoptest.Response, text string) bool {
	return r.Status == http.StatusOK && strings.Contains(r.Body, text)
}
