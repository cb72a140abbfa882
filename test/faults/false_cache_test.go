package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/valkey-io/valkey-go"

	"flashsale/internal/shoptest"
	"flashsale/pkg/checkout"
)

// falseCache is a cache whose entries a test writes.
type falseCache struct {
	valkey.Client
	addr string
}

func newFalseCache(t *testing.T) falseCache {
	t.Helper()
	cache := shoptest.StartCache(t)
	return falseCache{shoptest.CacheClient(t, cache.Addr()), cache.Addr()}
}

func entryOf(s *shoptest.Shop) string { return cacheKey(s, "entry") }

// lie writes a false entry with a newer version than the true one. withEnd gives it the usual lifetime.
func (c falseCache) lie(t *testing.T, s *shoptest.Shop, about func(*checkout.Product), withEnd bool) {
	t.Helper()
	p := s.Stock(t)
	about(&p)
	p.Version += 1000
	entry := fmt.Sprintf(`%d {"id":%q,"name":%q,"price":{"amount":%d,"currency":%q},"stock":%d,"reserved_stock":%d,"sold_stock":%d,`+
		`"keyed_holds":%d,"version":%d,"max_qty_per_hold":%d,"as_of":%q}`, p.Version, p.ID, p.Name, p.Price.Amount, p.Price.Currency,
		p.Stock, p.ReservedStock, p.SoldStock, p.KeyedHolds, p.Version, p.MaxQtyPerHold, p.AsOf.Format(time.RFC3339Nano))
	commands := []valkey.Completed{c.B().Set().Key(entryOf(s)).Value(entry).Build()}
	if withEnd {
		commands = append(commands, c.B().Pexpire().Key(entryOf(s)).Milliseconds(1800).Build())
	}
	for _, r := range c.DoMulti(context.Background(), commands...) {
		if err := r.Error(); err != nil {
			t.Fatal(err)
		}
	}
}

// A false entry about the stock lasts no longer than any entry, and it grants no hold.
func TestCacheWithFalseStock(t *testing.T) {
	t.Parallel()
	cache := newFalseCache(t)
	available := func(n int64) func(*checkout.Product) {
		return func(p *checkout.Product) { p.Stock, p.ReservedStock, p.SoldStock = n, 0, 0 }
	}
	for _, withEnd := range []bool{true, false} {
		t.Run(fmt.Sprintf("1000 available when sold out, with an end %v", withEnd), func(t *testing.T) {
			s := shoptest.Open(t, 3, shoptest.Options{CacheAddr: cache.addr})
			s.MustHold(t, 3)
			cache.lie(t, s, available(1000), withEnd)
			for _, a := range shoptest.AtOnce(50, func(int) shoptest.Response { return s.PostHold(t, 1, "") }) {
				if a.Code() != "sold_out" {
					t.Errorf("a hold of a sold-out product got %+v, expected sold_out", a)
				}
			}
			seesWithin(t, s, 2*time.Second, 0)
			s.MustAudit(t)
		})
		t.Run(fmt.Sprintf("sold out when not, with an end %v", withEnd), func(t *testing.T) {
			s := shoptest.Open(t, 3, shoptest.Options{CacheAddr: cache.addr})
			s.MustHold(t, 1)
			cache.lie(t, s, available(0), withEnd)
			for start, asked := time.Now(), time.Now(); s.PostHold(t, 1, "").Status != http.StatusCreated; asked = time.Now() {
				if asked.Sub(start) > 2*time.Second {
					t.Fatal("a request two seconds later is still refused, expected the false entry to have expired")
				}
			}
			seesWithin(t, s, 2*time.Second, 1)
			s.MustAudit(t)
		})
	}
}

// A false price sells nothing at that price.
func TestCacheWithFalsePrice(t *testing.T) {
	t.Parallel()
	cache := newFalseCache(t)
	for _, price := range []checkout.Money{{Amount: 1, Currency: "USD"}, {Amount: 4999, Currency: "EUR"}, {Amount: -1, Currency: "USD"}, {Amount: 4999, Currency: "€uro"}} {
		t.Run(fmt.Sprintf("another price, %d %s", price.Amount, price.Currency), func(t *testing.T) {
			s := shoptest.Open(t, 3, shoptest.Options{CacheAddr: cache.addr})
			cache.lie(t, s, func(p *checkout.Product) { p.Price = price }, true)
			id := s.MustOrder(t, 2)
			if o := shoptest.Must(s.Order(t.Context(), checkout.Caller{}, id))(t); o.Amount != (checkout.Money{Amount: 2 * 4999, Currency: "USD"}) {
				t.Errorf("the order is %+v, expected the ledger's price", o)
			}
			s.MustAudit(t)
		})
	}
}

// An unreadable entry counts as a cache miss.
func TestCacheWithGarbage(t *testing.T) {
	t.Parallel()
	cache := newFalseCache(t)
	s := shoptest.Open(t, 3, shoptest.Options{CacheAddr: cache.addr})
	for _, garbage := range []string{"", "x", "9999999 {", "9999999 {}", "1e300 {}"} {
		if err := cache.Do(context.Background(), cache.B().Set().Key(entryOf(s)).Value(garbage).PxMilliseconds(1800).Build()).Error(); err != nil {
			t.Fatal(err)
		}
		seesWithin(t, s, 2*time.Second, 3)
	}
	for _, key := range []string{"entry", "keys"} { // of another type
		name := cacheKey(s, key)
		for _, r := range cache.DoMulti(context.Background(), cache.B().Del().Key(name).Build(), cache.B().Lpush().Key(name).Element("x").Build()) {
			if err := r.Error(); err != nil {
				t.Fatal(err)
			}
		}
	}
	a := s.PostHold(t, 3, "key-in-a-broken-cache")
	if again := s.PostHold(t, 3, "key-in-a-broken-cache"); a.Status != http.StatusCreated || again.Status != http.StatusOK {
		t.Errorf("a hold and its repetition got %+v and %+v, expected 201 and 200", a, again)
	}
	s.MustAudit(t)
}

// seesWithin waits until a reader sees the available stock. A request sent after the limit must see it.
func seesWithin(t *testing.T, s *shoptest.Shop, limit time.Duration, available int64) {
	t.Helper()
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		var p struct {
			Available *int64 `json:"available_stock"`
		}
		asked := time.Now()
		r := s.Do(t, http.MethodGet, "/v1/products/"+s.ProductID, "", nil)
		if err := json.Unmarshal([]byte(r.Body), &p); err == nil && p.Available != nil && *p.Available == available {
			return
		}
		if asked.Sub(start) > limit {
			t.Fatalf("a request after %s got %s, expected %d available", limit, r.Body, available)
		}
	}
}
