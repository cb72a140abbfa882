package stockview

import (
	"context"
	"time"

	"github.com/valkey-io/valkey-go"

	"flashsale/pkg/checkout"
)

const (
	fillTimeout = 8 * time.Second // the ledger has its own, shorter limits
	// Who does not get the lock looks for the entry a few times, and then asks the ledger itself.
	fillLock  = 300 * time.Millisecond
	fillLooks = 6
	fillPause = 10 * time.Millisecond

	restoreLock  = 3 * time.Second // also how often at most it is tried
	restoreLimit = 100_000         // keys; above, the database is asked for each
	restoreChunk = 1000
)

// fill gets a product from the ledger, once for all who wait for it in this process, and once for all processes if the
// cache answers.
func (v *View) fill(ctx context.Context, id string, locked bool) (checkout.Product, error) {
	filled := v.filling.DoChan(id, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fillTimeout)
		defer cancel()
		if locked && !v.lock(ctx, keyName(id, "fill"), fillLock) {
			if p := v.await(ctx, id); p != nil {
				return *p, nil
			}
		}
		p, err := v.source.RefreshProduct(ctx, id)
		if err != nil {
			return checkout.Product{}, err // one that does not exist costs a lookup by key each time: cheap enough
		}
		v.Put(ctx, p, nil)
		return p, nil
	})
	select {
	case r := <-filled:
		return r.Val.(checkout.Product), r.Err
	case <-ctx.Done():
		return checkout.Product{}, checkout.Busy(ctx.Err())
	}
}

// await looks for the entry that somebody else is filling.
func (v *View) await(ctx context.Context, id string) *checkout.Product {
	for range fillLooks {
		time.Sleep(fillPause) // between two looks
		if s, err := v.read(ctx, id, nil); err != nil || s.product != nil {
			return s.product
		}
	}
	return nil
}

// lock takes a lock that ends by itself; false if somebody has it. Without an answer everybody has it.
func (v *View) lock(ctx context.Context, name string, life time.Duration) bool {
	taken := false
	_ = v.client.do(ctx, func(ctx context.Context, c valkey.Client) error {
		err := c.Do(ctx, c.B().Set().Key(name).Value("1").Nx().PxMilliseconds(life.Milliseconds()).Build()).Error()
		if valkey.IsValkeyNil(err) {
			taken = true
			return nil
		}
		return err
	})
	return !taken
}

// unused reports whether the set proves that the key was never used. When the set is not what the product's row says,
// nothing is proven, and one caller mends it.
func (v *View) unused(ctx context.Context, p checkout.Product, s sight) bool {
	if s.member {
		return false
	}
	if s.count == p.KeyedHolds {
		return true
	}
	if p.KeyedHolds <= restoreLimit {
		_, _, _ = v.restoring.Do(p.ID, func() (any, error) { // what fails is tried again by a later request
			v.restore(ctx, p.ID, s.count > p.KeyedHolds)
			return nil, nil //nolint:nilnil // there is no result
		})
	}
	return false
}

// restore fills the set of used keys from the ledger, inside the request: work after the answer may never run. A key
// that is granted meanwhile can be lost when the set is made anew; then it is one short again, and proves nothing.
func (v *View) restore(ctx context.Context, id string, anew bool) {
	if !v.lock(ctx, keyName(id, "restore"), restoreLock) {
		return
	}
	keys, err := v.source.GrantedKeys(ctx, id, restoreLimit)
	if err != nil {
		v.log.Warn("restoring the used idempotency keys", "product", id, "error", err.Error())
		return
	}
	name := keyName(id, "keys")
	if anew {
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
		_ = v.client.do(ctx, func(ctx context.Context, c valkey.Client) error { // a chunk that is missing leaves the set short: no proof
			for _, r := range c.DoMulti(ctx,
				c.B().Sadd().Key(name).Member(members...).Build(),
				c.B().Pexpire().Key(name).Milliseconds(keysLife.Milliseconds()).Build()) {
				if err := r.Error(); err != nil {
					return err
				}
			}
			return nil
		})
	}
}
