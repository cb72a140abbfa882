package stockview

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/valkey-io/valkey-go"

	"flashsale/pkg/checkout"
)

const (
	// keysTTL is the TTL of the set of used keys after the latest hold. A set that expired is restored on demand.
	keysTTL = time.Hour
	// maxKeys limits the set: 2 million keys are 120 MB. For a product with more, the database is asked for each key.
	maxKeys = 2_000_000

	// A product that has changed no more often than this has no more holds. Its keys are read at once.
	restoreWhole      = 20_000
	restoreWholePause = 3 * time.Second // minimum interval between two attempts
	// For other products a step of the restoration reads the keys of the latest holds, those of other products included. The
	// first step is small and mends a lost write. The steps grow, until they reach the first hold or the proof is back.
	restoreFirst     = 2_000
	restoreLargest   = 50_000
	restoreGrowth    = 5
	restoreStepPause = 500 * time.Millisecond // minimum interval between two steps
	restoreEndPause  = 10 * time.Second       // minimum interval between the last step and a new first one; the cursor's TTL
	restoreChunk     = 1000                   // keys of one cache call
)

// keyUnused reports whether the set of used keys proves that the reader's key was never used. A set of another size than
// the product's row says proves nothing, and one caller restores it.
func (v *View) keyUnused(ctx context.Context, p checkout.Product, read entryRead) bool {
	if read.keyUsed {
		return false
	}
	if lost := v.keyLost.Load(); lost != nil && time.Since(*lost) < maxEntryTTL {
		return false // the entry may be older than the lost key, and so may its count
	}
	if read.usedKeys == p.KeyedHolds {
		return true
	}
	if p.KeyedHolds <= maxKeys {
		_, _, _ = v.restoring.Do(p.ID, func() (any, error) { // a later request retries what fails
			if err := v.restore(ctx, p, read.usedKeys > p.KeyedHolds); err != nil {
				v.log.Warn("restoring the used idempotency keys failed", "product", p.ID, "error", err.Error())
			}
			return nil, nil //nolint:nilnil // there is no result
		})
	}
	return false
}

// ForgetKeys implements checkout.StockView.
func (v *View) ForgetKeys(ctx context.Context, productID string) {
	if err := v.forgetKeys(ctx, productID); err != nil {
		v.lost(err)
	}
}

func (v *View) forgetKeys(ctx context.Context, productID string) error {
	return v.send(ctx, func(c valkey.Client) []valkey.Completed {
		return []valkey.Completed{c.B().Del().Key(v.keyName(productID, "keys"), v.keyName(productID, "restored")).Build()}
	})
}

// restore does one step towards a complete set of used keys. It runs before the response, because a Lambda function may
// be frozen after it. recreate deletes the set first; that can lose a key granted meanwhile, so the set proves nothing.
func (v *View) restore(ctx context.Context, p checkout.Product, recreate bool) error {
	whole := p.Version <= restoreWhole
	pause := restoreStepPause
	if whole {
		pause = restoreWholePause
	}
	// A cache that fails gives no lock. Otherwise every request would read the keys.
	if locked, _ := v.lock(ctx, v.keyName(p.ID, "restore"), pause); !locked {
		return nil
	}
	if recreate {
		if err := v.forgetKeys(ctx, p.ID); err != nil {
			return err
		}
	}
	if whole {
		keys, err := v.source.GrantedKeys(ctx, p.ID)
		if err != nil {
			return err
		}
		return v.addKeys(ctx, p.ID, keys)
	}
	at := v.readCursor(ctx, p.ID)
	recent, err := v.source.RecentKeys(ctx, p.ID, at.before, at.holds)
	if err != nil {
		return err
	}
	if err := v.addKeys(ctx, p.ID, recent.Keys); err != nil {
		return err // the next step is this one again
	}
	return v.writeCursor(ctx, p.ID, recent.First, min(at.holds*restoreGrowth, restoreLargest))
}

// restoreCursor is the next step of a restoration, which any process may do.
type restoreCursor struct {
	before checkout.ID // read the holds before this one; all bits set: the latest
	holds  int
}

// readCursor returns the next step. It is the first step if there is no cursor.
func (v *View) readCursor(ctx context.Context, id string) restoreCursor {
	first := restoreCursor{holds: restoreFirst}
	for i := range first.before {
		first.before[i] = 0xff
	}
	text := ""
	err := v.client.do(ctx, func(ctx context.Context, c valkey.Client) (err error) {
		text, err = c.Do(ctx, c.B().Get().Key(v.keyName(id, "restored")).Build()).ToString()
		if valkey.IsValkeyNil(err) {
			return nil
		}
		return err
	})
	at, before := first, []byte(nil)
	if n, _ := fmt.Sscanf(text, "%x %d", &before, &at.holds); err != nil || n != 2 || len(before) != len(at.before) ||
		at.holds < restoreFirst || at.holds > restoreLargest {
		return first
	}
	copy(at.before[:], before)
	return at
}

// writeCursor stores the next step, or after the last one the pause before a new first step.
func (v *View) writeCursor(ctx context.Context, id string, before *checkout.ID, holds int) error {
	return v.send(ctx, func(c valkey.Client) []valkey.Completed {
		if before == nil {
			return []valkey.Completed{
				c.B().Del().Key(v.keyName(id, "restored")).Build(),
				c.B().Set().Key(v.keyName(id, "restore")).Value("1").PxMilliseconds(restoreEndPause.Milliseconds()).Build(),
			}
		}
		return []valkey.Completed{
			c.B().Set().Key(v.keyName(id, "restored")).Value(fmt.Sprintf("%s %d", hex.EncodeToString(before[:]), holds)).
				PxMilliseconds(restoreEndPause.Milliseconds()).Build(),
		}
	})
}

// addKeys adds keys to the set. Without some of them the set stays short, and proves nothing.
func (v *View) addKeys(ctx context.Context, id string, keys []checkout.IdempotencyKey) error {
	name := v.keyName(id, "keys")
	for len(keys) > 0 {
		n := min(len(keys), restoreChunk)
		members := make([]string, n)
		for i := range members {
			members[i] = member(&keys[i])
		}
		keys = keys[n:]
		err := v.send(ctx, func(c valkey.Client) []valkey.Completed {
			return []valkey.Completed{
				c.B().Sadd().Key(name).Member(members...).Build(), c.B().Pexpire().Key(name).Milliseconds(keysTTL.Milliseconds()).Build(),
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// send makes a few commands in one call. It returns the first error.
func (v *View) send(ctx context.Context, commands func(c valkey.Client) []valkey.Completed) error {
	return v.client.do(ctx, func(ctx context.Context, c valkey.Client) error {
		for _, r := range c.DoMulti(ctx, commands(c)...) {
			if err := r.Error(); err != nil {
				return err
			}
		}
		return nil
	})
}

// member returns an idempotency key as a member of the set: half of its digest, which is enough to tell keys apart.
func member(key *checkout.IdempotencyKey) string {
	if key == nil {
		return ""
	}
	return string(key[:16])
}
