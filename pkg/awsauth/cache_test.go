package awsauth_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/valkey-io/valkey-go"

	"flashsale/internal/awstest"
	"flashsale/internal/ledgertest"
	"flashsale/pkg/awsauth"
	"flashsale/pkg/checkout"
	"flashsale/pkg/stockview"
)

// cached has a schema, and a stock view that signs in to a stand-in for ElastiCache.
type cached struct {
	*ledgertest.Env
	account *awstest.Account
	cache   *awstest.ElastiCache
	view    *stockview.View
	behind  string // the cache behind
	product string
	log     *lockedBuffer
}

// newCached signs in to the cache of that name as that user; change may alter what is signed.
func newCached(t *testing.T, change func(c *cached, name, user string) (n, u string)) *cached {
	t.Helper()
	c := &cached{Env: ledgertest.New(t), account: awstest.NewAccount(), product: "p-" + uuid.NewString(), log: &lockedBuffer{}}
	if c.behind = os.Getenv("CACHE_ADDR"); c.behind == "" {
		c.behind = ledgertest.Servers(t).CacheAddr()
	}
	c.MustPut(t, c.product, 10)
	name := "flashsale-vpc-" + uuid.NewString()
	user := name // as the template has it
	c.cache = awstest.StartElastiCache(t, awstest.ElastiCacheOptions{
		Account: c.account, Authority: authority, Cache: c.behind, Name: name, User: user, Access: cacheAccess(t),
	})
	if change != nil {
		name, user = change(c, name, user)
	}
	c.view = stockview.New(stockview.Options{
		Addr: c.cache.Addr, Environment: c.Environment(), SignIn: awsauth.Cache(c.account.Config(), name, user), Source: c.Env, Recorder: c.Counts,
		Logger: slog.New(slog.NewJSONHandler(c.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	t.Cleanup(c.view.Close)
	return c
}

func (c *cached) look(t *testing.T, key *checkout.IdempotencyKey) (p checkout.Product, unused bool, took time.Duration) {
	t.Helper()
	begun := time.Now()
	found, err := c.view.Lookup(context.Background(), c.product, key)
	if err != nil || found.Product.ID != c.product {
		t.Fatalf("the lookup returned %+v, %v, expected the product", found, err)
	}
	return found.Product, found.KeyUnused, time.Since(begun)
}

// lookups counts reads of the cache: hit, miss, failure or skipped.
func (c *cached) lookups(result string) int {
	return int(c.Counts.Of(checkout.CacheLookups.Name + "/" + result))
}

func newKey() *checkout.IdempotencyKey {
	key := checkout.IdempotencyKey(sha256.Sum256([]byte(uuid.NewString())))
	return &key
}

// behindBack sends a command about the product's set of used keys to the real cache, and lets the view restore the set.
func (c *cached) behindBack(t *testing.T, command string, args ...string) {
	t.Helper()
	direct := must(valkey.NewClient(valkey.ClientOption{InitAddress: []string{c.behind}, ForceSingleClient: true, DisableCache: true}))(t)
	defer direct.Close()
	key := "flashsale:" + c.Environment() + ":{" + c.product + "}:"
	for _, r := range direct.DoMulti(context.Background(),
		direct.B().Arbitrary(command).Keys(key+"keys").Args(args...).Build(), direct.B().Del().Key(key+"restore").Build()) {
		if err := r.Error(); err != nil {
			t.Fatal(err)
		}
	}
}

// The template's user may do everything that the stock view does: write entries, prove that a key was never used, and
// restore that proof.
func TestStockViewThroughElastiCache(t *testing.T) {
	t.Parallel()
	c := newCached(t, nil)
	_, _, cold := c.look(t, nil)
	_, _, second := c.look(t, nil)
	t.Logf("the first lookup took %s, the second %s; %d hits", cold.Round(10*time.Microsecond), second.Round(10*time.Microsecond), c.lookups("hit"))
	c.mustHitSoon(t)

	used := newKey()
	receipt := must(c.PlaceHold(context.Background(), checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: c.product, Qty: 1, TTL: time.Hour, Key: used}))(t)
	soon(t, "a write is seen, and a key that was never used is known to be", func() bool {
		c.view.Put(context.Background(), *receipt.Product, used)
		hits := c.lookups("hit")
		p, unused, _ := c.look(t, newKey())
		return c.lookups("hit") == hits+1 && p.Version == receipt.Product.Version && unused
	})
	if _, unused, _ := c.look(t, used); unused {
		t.Error("the key of a hold is proven unused, expected no proof")
	}
	for _, spoil := range [][]string{{"DEL"}, {"SADD", "another key"}} { // after the SADD the view restores the set
		c.behindBack(t, spoil[0], spoil[1:]...)
		if _, unused, _ := c.look(t, newKey()); unused {
			t.Error("a wrong set of used keys proves that a key is unused, expected no proof")
		}
		soon(t, "the set of used keys is restored", func() bool {
			_, unused, _ := c.look(t, newKey())
			return unused
		})
	}
	mustKeepSecrets(t, c.account, c.log.String())
	if refusals, denied := c.cache.Refusals(), c.cache.Denied(t); len(refusals)+len(denied) > 0 {
		t.Errorf("the cache refused %q and denied %q, expected neither", refusals, denied)
	}
	t.Logf("%d connections", len(c.cache.Logins()))
}

// soon retries until the condition holds: on a busy machine a call may take longer than the view waits for the cache.
func soon(t *testing.T, what string, right func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !right(); {
		if time.Now().After(deadline) {
			t.Fatalf("this did not happen in time: %s", what)
		}
	}
}

func (c *cached) mustHitSoon(t *testing.T) {
	t.Helper()
	soon(t, "the cache is used", func() bool {
		before := c.lookups("hit")
		c.look(t, nil)
		return c.lookups("hit") > before
	})
}

// A connection may take longer to open than a request waits for the cache. It then serves later requests. This holds for the
// first connection, and for one that replaces a lost one.
func TestSlowHandshakeContinuesInBackground(t *testing.T) {
	t.Parallel()
	c := newCached(t, nil)
	c.cache.SlowHandshake(200 * time.Millisecond)
	for _, connection := range []string{"first", "next"} {
		failed := c.lookups("failure")
		_, _, took := c.look(t, nil)
		if took > time.Second {
			t.Errorf("a lookup without a connection took %s", took)
		}
		if c.lookups("failure") == failed {
			t.Errorf("%s connection: the lookup waited for it", connection)
		}
		begun := time.Now()
		c.mustHitSoon(t)
		t.Logf("%s connection: a lookup without it took %s; a hit after %s, %d failures, %d skipped", connection, took.Round(time.Millisecond),
			time.Since(begun).Round(time.Millisecond), c.lookups("failure"), c.lookups("skipped"))
		c.cache.Disconnect()
	}
}

// A view that cannot sign in works without the cache, and its log shows no secret.
func TestViewWorksWhileElastiCacheRefusesIt(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(c *cached, name, user string) (n, u string)
		want   string
	}{
		{"token for another cache", func(_ *cached, _, user string) (n, u string) { return "elsewhere", user }, "not a token for"},
		{"another user", func(_ *cached, name, _ string) (n, u string) { return name, "admin" }, "user admin"},
		{"expired", func(c *cached, name, user string) (n, u string) {
			c.account.Advance(15 * time.Minute)
			return name, user
		}, "signed 15m"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newCached(t, test.change)
			soon(t, "it gives up on the cache for a while", func() bool {
				if p, unused, _ := c.look(t, newKey()); p.AvailableStock() != 10 || unused {
					t.Errorf("expected the ledger's product, got %+v, unused %v", p, unused)
				}
				return c.lookups("skipped") > 0
			})
			if n := c.lookups("hit"); n > 0 {
				t.Errorf("expected no hit, got %d", n)
			}
			soon(t, "the view says that it is refused", func() bool {
				err := c.view.Ping(context.Background())
				if err == nil {
					t.Fatal("expected the sign-in to be refused")
				}
				mustKeepSecrets(t, c.account, err.Error())
				return strings.Contains(err.Error(), "WRONGPASS")
			})
			mustKeepSecrets(t, c.account, c.log.String())
			if refusals := c.cache.Refusals(); !strings.Contains(refusals[0], test.want) {
				t.Errorf("the cache refused %q, expected a reason with %q", refusals, test.want)
			}
		})
	}
}

// A new connection signs in with the current credentials.
func TestNewCacheConnectionUsesCurrentCredentials(t *testing.T) {
	t.Parallel()
	account := awstest.NewAccount()
	signIn := awsauth.Cache(account.Config(), "cache", "user")
	for range 2 {
		user, token, err := signIn(context.Background())
		if err != nil || user != "user" || !strings.Contains(token, account.Current().AccessKeyID) {
			t.Errorf("signing in returned %s, %v, expected the user and a token with the current key", user, err)
		}
		account.Rotate()
	}
}

// The view never sends a token to a server that it does not trust.
func TestCacheTokenIsOnlySentOverTLS(t *testing.T) {
	t.Parallel()
	account := awstest.NewAccount()
	other := must(awstest.NewAuthority(t.TempDir()))(t)
	behind := os.Getenv("CACHE_ADDR")
	if behind == "" {
		behind = ledgertest.Servers(t).CacheAddr()
	}
	name := "untrusted-" + hex.EncodeToString([]byte(uuid.NewString()[:6]))
	cache := awstest.StartElastiCache(t, awstest.ElastiCacheOptions{
		Account: account, Authority: other, Cache: behind, Name: name, User: name, Access: cacheAccess(t),
	})
	view := stockview.New(stockview.Options{
		Addr: cache.Addr, SignIn: awsauth.Cache(account.Config(), name, name), Recorder: checkout.NoRecorder{}, Logger: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(view.Close)
	soon(t, "the server is not trusted", func() bool {
		err := view.Ping(context.Background())
		if err == nil {
			t.Fatal("expected no connection to an untrusted server")
		}
		return strings.Contains(err.Error(), "unknown authority")
	})
	if n := len(cache.Logins()) + len(cache.Refusals()); n > 0 {
		t.Errorf("%d tokens were sent, expected none", n)
	}
}

// lockedBuffer is a log that a test reads while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
