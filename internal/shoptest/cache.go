package shoptest

import (
	"context"
	"testing"

	"github.com/valkey-io/valkey-go"

	"flashsale/internal/devstack"
)

// StartCache starts a cache that the test may kill, freeze and fill.
func StartCache(t testing.TB) *devstack.Cache {
	t.Helper()
	cache := Must(devstack.StartCache(context.Background(), t.TempDir(), t.Logf))(t)
	t.Cleanup(func() { _ = cache.Stop() })
	return cache
}

// StartDatabase starts a database server that the test may kill.
func StartDatabase(t testing.TB) *devstack.MySQL {
	t.Helper()
	database := Must(devstack.StartMySQL(context.Background(), t.TempDir(), t.Logf))(t)
	t.Cleanup(func() { _ = database.Stop() })
	return database
}

// CacheClient is a client for commands that only a test sends to a cache.
func CacheClient(t testing.TB, addr string) valkey.Client {
	t.Helper()
	c := Must(valkey.NewClient(valkey.ClientOption{InitAddress: []string{addr}, ForceSingleClient: true, DisableCache: true}))(t)
	t.Cleanup(c.Close)
	return c
}
