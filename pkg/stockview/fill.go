package stockview

import (
	"context"
	"time"

	"github.com/valkey-io/valkey-go"

	"flashsale/pkg/checkout"
)

const (
	fillTimeout = 8 * time.Second // the ledger has its own, shorter limits
	// A process that does not get the lock polls for the entry, and then asks the ledger itself.
	fillLockTTL = 300 * time.Millisecond
	fillPolls   = 6
	fillPause   = 10 * time.Millisecond

	restoreLockTTL = 3 * time.Second // also the minimum interval between attempts
	restoreLimit   = 100_000         // keys; with more, the database is asked for each key
	restoreChunk   = 1000
)

// fill reads a product from the ledger: one call for all callers in this process, and for all processes if the cache
// can hold a lock.
func (v *View) fill(ctx context.Context, id string, cacheWorks bool) (checkout.Lookup, error) {
	filled := v.filling.DoChan(id, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fillTimeout)
		defer cancel()
		if cacheWorks && v.unknown(ctx, id) {
			return checkout.Lookup{}, checkout.ErrProductNotFound
		}
		if cacheWorks && !v.lock(ctx, v.keyName(id, "fill"), fillLockTTL) {
			if p := v.awaitEntry(ctx, id); p != nil {
				return checkout.Lookup{Product: *p}, nil
			}
		}
		p, err := v.source.RefreshProduct(ctx, id)
		if err != nil {
			return checkout.Lookup{FromLedger: true}, err
		}
		v.Put(ctx, p, nil)
		return checkout.Lookup{Product: p, FromLedger: true}, nil
	})
	select {
	case r := <-filled:
		return r.Val.(checkout.Lookup), r.Err
	case <-ctx.Done():
		return checkout.Lookup{}, checkout.Busy(ctx.Err())
	}
}

// awaitEntry polls for the entry that another process is filling. It returns nil if the entry does not appear.
func (v *View) awaitEntry(ctx context.Context, id string) *checkout.Product {
	for range fillPolls {
		time.Sleep(fillPause)
		if read, err := v.read(ctx, id, nil); err != nil || read.product != nil {
			return read.product
		}
	}
	return nil
}

// lock takes a lock that expires by itself. It returns false if another process has the lock, and true if the cache
// fails.
func (v *View) lock(ctx context.Context, name string, ttl time.Duration) bool {
	taken := false
	_ = v.client.do(ctx, func(ctx context.Context, c valkey.Client) error {
		err := c.Do(ctx, c.B().Set().Key(name).Value("1").Nx().PxMilliseconds(ttl.Milliseconds()).Build()).Error()
		if valkey.IsValkeyNil(err) {
			taken = true
			return nil
		}
		return err
	})
	return !taken
}

// keyUnused reports whether the set of used keys proves that the reader's key was never used. A set of another size
// than the product's row says proves nothing, and one caller restores it.
func (v *View) keyUnused(ctx context.Context, p checkout.Product, read entryRead) bool {
	if read.keyUsed {
		return false
	}
	if read.usedKeys == p.KeyedHolds {
		return true
	}
	if p.KeyedHolds <= restoreLimit {
		_, _, _ = v.restoring.Do(p.ID, func() (any, error) { // a later request retries what fails
			v.restore(ctx, p.ID, read.usedKeys > p.KeyedHolds)
			return nil, nil //nolint:nilnil // there is no result
		})
	}
	return false
}

// restore fills the set of used keys from the ledger. It runs before the response, because a Lambda function may be
// frozen after it. recreate deletes the set first; that can lose a key granted meanwhile, so the set proves nothing.
func (v *View) restore(ctx context.Context, id string, recreate bool) {
	if !v.lock(ctx, v.keyName(id, "restore"), restoreLockTTL) {
		return
	}
	keys, err := v.source.GrantedKeys(ctx, id, restoreLimit)
	if err != nil {
		v.log.Warn("restoring the used idempotency keys failed", "product", id, "error", err.Error())
		return
	}
	name := v.keyName(id, "keys")
	if recreate {
		_ = v.client.do(ctx, func(ctx context.Context, c valkey.Client) error {
			return c.Do(ctx, c.B().Del().Key(name).Build()).Error()
		})
	}
	for len(keys) > 0 {
		n := min(len(keys), restoreChunk)
		members := make([]string, n)
		for i := range members {
			members[i] = member(&keys[i])
		}
		keys = keys[n:]
		_ = v.client.do(ctx, func(ctx context.Context, c valkey.Client) error { // a missing chunk leaves the set short: no proof
			for _, r := range c.DoMulti(ctx,
				c.B().Sadd().Key(name).Member(members...).Build(),
				c.B().Pexpire().Key(name).Milliseconds(keysTTL.Milliseconds()).Build()) {
				if err := r.Error(); err != nil {
					return err
				}
			}
			return nil
		})
	}
}
