package stockview

import (
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/valkey-io/valkey-go"
	"golang.org/x/sync/singleflight"

	"flashsale/pkg/checkout"
)

const (
	// An entry expires this long after the ledger was asked for its state. That is less than two seconds: a sold-out state
	// may be read just before a hold expires, and its stock is promised back within two seconds. The spread keeps entries
	// filled together from expiring together.
	minEntryTTL = 1500 * time.Millisecond
	maxEntryTTL = 1900 * time.Millisecond
)

var (
	//go:embed read.lua
	readText string
	//go:embed write.lua
	writeText   string
	readScript  = valkey.NewLuaScript(readText)
	writeScript = valkey.NewLuaScript(writeText)
)

// Source provides the view's content: the ledger.
type Source interface {
	// Product reads a product, without the units that are due. Codes: product_not_found.
	Product(ctx context.Context, id string) (checkout.Product, error)
	// Products lists products by id, starting after the given one.
	Products(ctx context.Context, after string, limit int) ([]checkout.Product, error)
	// GrantedKeys lists the idempotency keys of all holds of a product.
	GrantedKeys(ctx context.Context, productID string) ([]checkout.IdempotencyKey, error)
	// RecentKeys reads a number of holds before a hold, the latest first, and lists the keys of those of a product.
	RecentKeys(ctx context.Context, productID string, before checkout.ID, holds int) (checkout.RecentKeys, error)
}

// Options configure a View.
type Options struct {
	Addr string // host:port
	// Environment is in the name of every key, so that several databases can share a cache. Processes of one database
	// share their entries if it is the same.
	Environment string
	// SignIn returns the credentials of a new connection, which then uses TLS. nil: no credentials and no TLS.
	SignIn   func(ctx context.Context) (username, password string, err error)
	Source   Source
	Recorder checkout.Recorder
	Logger   *slog.Logger
}

// View implements checkout.StockView.
type View struct {
	client *client
	clock  cacheClock
	prefix string // of every key
	source Source
	rec    checkout.Recorder
	log    *slog.Logger

	refusing atomic.Bool               // the latest write was refused
	keyLost  atomic.Pointer[time.Time] // when the latest write of a used key was lost; nil: never

	asked     asked
	reads     *batcher[string, cacheRead] // the items are members of the set of used keys to look up
	writes    *batcher[state, struct{}]
	filling   singleflight.Group
	restoring singleflight.Group
}

var _ checkout.StockView = (*View)(nil)

// New makes a view. It connects on the first call.
func New(o Options) *View {
	return &View{
		client: newClient(o.Addr, o.SignIn, o.Logger), prefix: "flashsale:" + o.Environment + ":", source: o.Source,
		rec: o.Recorder, log: o.Logger, reads: newBatcher[string, cacheRead](false), writes: newBatcher[state, struct{}](true),
	}
}

// Close closes all connections.
func (v *View) Close() { v.client.close() }

// Lookup implements checkout.StockView.
func (v *View) Lookup(ctx context.Context, productID string, key *checkout.IdempotencyKey) (checkout.Lookup, error) {
	read, err := v.read(ctx, productID, key)
	result := "hit"
	switch {
	case errors.Is(err, errSkipped):
		result = "skipped"
	case err != nil:
		result = "failure"
	case read.product == nil:
		result = "miss"
	}
	v.rec.Record(checkout.CacheLookups, 1, result)
	var found checkout.Lookup
	if read.product != nil {
		found.Product = *read.product
	} else if found, err = v.fill(ctx, productID, result == "miss"); err != nil {
		return found, err
	}
	found.KeyUnused = key != nil && (result == "hit" || result == "miss") && v.keyUnused(ctx, found.Product, read)
	return found, nil
}

// Put implements checkout.StockView. Concurrent calls for a product share a write of its latest state.
func (v *View) Put(ctx context.Context, p checkout.Product, granted *checkout.IdempotencyKey) {
	if p.KeyedHolds > maxKeys {
		granted = nil
	}
	_, _, err := v.writes.do(p.ID, []state{{p, member(granted)}}, func(states []state) (struct{}, error) {
		return struct{}{}, v.store(ctx, states)
	})
	if err != nil && granted != nil {
		lost := time.Now()
		v.keyLost.Store(&lost)
	}
}

// state is what one caller of Put knows.
type state struct {
	product checkout.Product
	usedKey string // a member of the set of used keys, or ""
}

// store writes the latest of some states of a product, and all their keys. It fails if the cache does not respond.
func (v *View) store(ctx context.Context, states []state) error {
	p := states[0].product
	var usedKeys []string
	for _, s := range states {
		if s.usedKey != "" {
			usedKeys = append(usedKeys, s.usedKey)
		}
		if s.product.Version > p.Version || s.product.Version == p.Version && s.product.AskedAt.After(p.AskedAt) {
			p = s.product
		}
	}
	text, err := formatEntry(p)
	if err != nil {
		v.log.Error("formatting a cache entry failed", "error", err.Error()) // cannot happen: plain fields
		return err
	}
	ttl := entryTTL(p).Milliseconds()
	expires := v.clock.at(p.AskedAt) + ttl
	status, err := v.write(ctx, p, text, expires, usedKeys)
	if status == writeLate {
		// Either the state is old, or the view did not know the cache's time. The write has returned it.
		if again := v.clock.at(p.AskedAt) + ttl; max(again-expires, expires-again) > clockTolerance {
			status, err = v.write(ctx, p, text, again, usedKeys)
		}
	}
	if status == writeLate {
		v.rec.Record(checkout.LostWrites, 1, "late")
	}
	return err
}

// What write.lua did with an entry.
const (
	writeLate   = -1
	writeOlder  = 0
	writeStored = 1
)

// clockTolerance, in milliseconds, is more than two readings of the cache's clock differ.
const clockTolerance = 100

// write calls write.lua once, with the time at which the entry expires.
func (v *View) write(ctx context.Context, p checkout.Product, text string, expires int64, usedKeys []string) (status int64, err error) {
	args := append([]string{
		strconv.FormatInt(p.Version, 10), text, strconv.FormatInt(expires, 10), millis(maxEntryTTL), millis(keysTTL),
	}, usedKeys...)
	err = v.client.do(ctx, func(ctx context.Context, c valkey.Client) error {
		values, err := writeScript.Exec(ctx, c, v.keyNames(p.ID), args).AsIntSlice()
		if err != nil {
			return err
		}
		status = values[0]
		v.clock.set(values[1], time.Now())
		return nil
	})
	if err != nil { // a lost write only makes reads cost more
		v.lost(err)
	} else if status != writeLate {
		v.noteStored()
	}
	return status, err
}

// entryTTL returns the TTL of a product's entry. An entry that says "not started" expires when the sale starts, by the
// database's clock.
func entryTTL(p checkout.Product) time.Duration {
	d := minEntryTTL + rand.N(maxEntryTTL-minEntryTTL) //nolint:gosec // G404: a spread, not a secret
	if p.SaleStartsAt != nil && p.AsOf.Before(*p.SaleStartsAt) {
		d = max(min(d, p.SaleStartsAt.Sub(p.AsOf)), time.Millisecond)
	}
	return d
}

// cacheRead is what one read of the cache returns.
type cacheRead struct {
	product  *checkout.Product // nil: no usable entry
	usedKeys int64             // size of the set of used keys
	used     []bool            // per key that was looked up: the set has it
}

// entryRead is one reader's part of a cacheRead.
type entryRead struct {
	product  *checkout.Product // nil: no usable entry
	usedKeys int64             // size of the set of used keys
	keyUsed  bool              // the reader's key is in the set
}

// read reads the entry of a product and whether the key is used. Concurrent readers of a product share a read.
func (v *View) read(ctx context.Context, id string, key *checkout.IdempotencyKey) (entryRead, error) {
	var keys []string
	if key != nil {
		keys = []string{member(key)}
	}
	result, position, err := v.reads.do(id, keys, func(keys []string) (cacheRead, error) { return v.readEntry(ctx, id, keys) })
	if err != nil {
		return entryRead{}, err
	}
	return entryRead{result.product, result.usedKeys, key != nil && position < len(result.used) && result.used[position]}, nil
}

func (v *View) readEntry(ctx context.Context, id string, keys []string) (result cacheRead, err error) {
	err = v.client.do(ctx, func(ctx context.Context, c valkey.Client) error {
		values, err := readScript.Exec(ctx, c, v.keyNames(id), append([]string{millis(maxEntryTTL)}, keys...)).ToArray()
		if err != nil {
			return err
		}
		received := time.Now()
		if text, err := values[0].ToString(); err == nil {
			result.product = parseEntry(id, text)
		}
		now, _ := values[1].ToInt64() // read.lua returns numbers from here on
		v.clock.set(now, received)
		result.usedKeys, _ = values[2].ToInt64()
		for _, value := range values[3:] {
			used, _ := value.ToInt64()
			result.used = append(result.used, used == 1)
		}
		return nil
	})
	return result, err
}

// keyNames returns the cache keys of a product. The braces put them into one slot of a cluster.
func (v *View) keyNames(id string) []string {
	return []string{v.keyName(id, "entry"), v.keyName(id, "keys")}
}

func (v *View) keyName(id, what string) string { return v.prefix + "{" + id + "}:" + what }

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
