package stockview

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/valkey-io/valkey-go"
	"golang.org/x/sync/singleflight"

	"flashsale/pkg/checkout"
)

const (
	// An entry's life. Below two seconds on purpose: a sold-out entry may be written in the instant before a hold
	// expires, and its stock is promised back within two seconds of that. The spread keeps entries that were filled
	// together from ending together.
	shortestLife = 1500 * time.Millisecond
	longestLife  = 1900 * time.Millisecond
	// keysLife is how long the set of used keys outlives the last hold; it is restored when it is missed later.
	keysLife = 24 * time.Hour
)

var (
	//go:embed read.lua
	readText string
	//go:embed write.lua
	writeText   string
	readScript  = valkey.NewLuaScript(readText)
	writeScript = valkey.NewLuaScript(writeText)
)

// Source is where the view's content comes from: the ledger.
type Source interface {
	// RefreshProduct takes back what is due of a product and reads it. Codes: product_not_found.
	RefreshProduct(ctx context.Context, id string) (checkout.Product, error)
	// GrantedKeys lists the idempotency keys of the holds ever placed for a product, at most limit.
	GrantedKeys(ctx context.Context, productID string, limit int) ([]checkout.IdempotencyKey, error)
}

// Options are what a View is made of.
type Options struct {
	Addr string // host:port
	// SignIn returns what each new connection signs in with; the connections are TLS then. nil: neither.
	SignIn   func(ctx context.Context) (username, password string, err error)
	Source   Source
	Recorder checkout.Recorder
	Logger   *slog.Logger
}

// View implements checkout.StockView.
type View struct {
	client *client
	source Source
	rec    checkout.Recorder
	log    *slog.Logger

	reads     gatherer
	filling   singleflight.Group
	restoring singleflight.Group
}

var _ checkout.StockView = (*View)(nil)

// New makes a view; it connects on the first call.
func New(o Options) *View {
	return &View{client: newClient(o.Addr, o.SignIn, o.Logger), source: o.Source, rec: o.Recorder, log: o.Logger,
		reads: gatherer{next: map[string]*gathering{}}}
}

// Close closes all connections.
func (v *View) Close() { v.client.close() }

// Ping reports whether the cache answers.
func (v *View) Ping(ctx context.Context) error {
	return v.client.attempt(ctx, func(ctx context.Context, c valkey.Client) error { return c.Do(ctx, c.B().Ping().Build()).Error() })
}

// Look implements checkout.StockView.
func (v *View) Look(ctx context.Context, productID string, key *checkout.IdempotencyKey) (checkout.Product, bool, error) {
	s, err := v.read(ctx, productID, key)
	result := "hit"
	switch {
	case errors.Is(err, errSkipped):
		result = "skipped"
	case err != nil:
		result = "failure"
	case s.product == nil:
		result = "miss"
	}
	v.rec.Record(checkout.CacheLookups, 1, result)
	if s.product == nil {
		p, err := v.fill(ctx, productID, result == "miss")
		if err != nil {
			return checkout.Product{}, false, err
		}
		s.product = &p
	}
	unused := key != nil && (result == "hit" || result == "miss") && v.unused(ctx, *s.product, s)
	return *s.product, unused, nil
}

// Put implements checkout.StockView.
func (v *View) Put(ctx context.Context, p checkout.Product, granted *checkout.IdempotencyKey) {
	entry, err := json.Marshal(p)
	if err != nil {
		v.log.Error("writing an entry of the stock view", "error", err.Error()) // cannot be: plain fields
		return
	}
	version := strconv.FormatInt(p.Version, 10)
	args := []string{version, version + " " + string(entry), millis(life(p)), millis(longestLife), member(granted), millis(keysLife)}
	_ = v.client.do(ctx, func(ctx context.Context, c valkey.Client) error { // without the entry reads cost more, no promise is broken
		return writeScript.Exec(ctx, c, keyNames(p.ID), args).Error()
	})
}

// life is how long an entry lives. One that says that the sale has not started ends when it starts: nobody's clock but
// the database's, which AsOf is, decides that.
func life(p checkout.Product) time.Duration {
	d := shortestLife + rand.N(longestLife-shortestLife) //nolint:gosec // G404: a spread, not a secret
	if p.SaleStartsAt != nil && p.AsOf.Before(*p.SaleStartsAt) {
		d = max(min(d, p.SaleStartsAt.Sub(p.AsOf)), time.Millisecond)
	}
	return d
}

// sight is what one read of the cache shows.
type sight struct {
	product *checkout.Product // nil: no entry
	member  bool              // the key is in the set of used keys
	count   int64             // members of the set
}

func (v *View) read(ctx context.Context, id string, key *checkout.IdempotencyKey) (sight, error) {
	return v.reads.read(id, member(key), func(members []string) (seen shown, err error) {
		err = v.client.do(ctx, func(ctx context.Context, c valkey.Client) error {
			values, err := readScript.Exec(ctx, c, keyNames(id), append([]string{millis(longestLife)}, members...)).ToArray()
			if err != nil {
				return err
			}
			if text, err := values[0].ToString(); err == nil {
				seen.product = parseEntry(id, text)
			}
			seen.count, _ = values[1].ToInt64() // numbers by read.lua, one for each member
			for _, value := range values[2:] {
				used, _ := value.ToInt64()
				seen.used = append(seen.used, used == 1)
			}
			return nil
		})
		return seen, err
	})
}

// parseEntry reads "version json"; nil for what Put did not write.
func parseEntry(id, text string) *checkout.Product {
	version, entry, _ := strings.Cut(text, " ")
	var p checkout.Product
	if json.Unmarshal([]byte(entry), &p) != nil || p.ID != id || strconv.FormatInt(p.Version, 10) != version {
		return nil
	}
	return &p
}

// keyNames are the keys of a product, all in one slot of a cluster.
func keyNames(id string) []string { return []string{keyName(id, "entry"), keyName(id, "keys")} }

func keyName(id, what string) string { return "flashsale:{" + id + "}:" + what }

// member is how a key stands in the set: half of its digest, which is enough to tell keys apart.
func member(key *checkout.IdempotencyKey) string {
	if key == nil {
		return ""
	}
	return string(key[:16])
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
