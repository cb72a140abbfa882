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
)

// fill reads a product from the ledger: one call for all callers in this process, and for all processes if the cache
// can hold a lock.
func (v *View) fill(ctx context.Context, id string, cacheWorks bool) (checkout.Lookup, error) {
	filled := v.filling.DoChan(id, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fillTimeout)
		defer cancel()
		exists := mayExist
		if cacheWorks {
			exists = v.exists(ctx, id)
		}
		if exists == unknown {
			return checkout.Lookup{}, checkout.ErrProductNotFound
		}
		if cacheWorks && v.isFilling(ctx, v.keyName(id, "fill")) {
			if p := v.awaitEntry(ctx, id); p != nil {
				return checkout.Lookup{Product: *p}, nil
			}
		}
		p, err := v.source.Product(ctx, id)
		if exists == listed && checkout.CodeOf(err) == checkout.CodeProductNotFound {
			v.forgetCatalogue(ctx) // an operator has deleted it; otherwise each request for it would ask the ledger
		}
		if err != nil {
			return checkout.Lookup{FromLedger: true}, err
		}
		if exists == probed {
			v.forgetCatalogue(ctx)
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

// isFilling reports whether another process is filling what the lock is for. If not, this process has the lock, or the
// cache fails.
func (v *View) isFilling(ctx context.Context, lock string) bool {
	locked, err := v.lock(ctx, lock, fillLockTTL)
	return err == nil && !locked
}

// lock takes a lock that expires by itself. It returns false if another process has the lock.
func (v *View) lock(ctx context.Context, name string, ttl time.Duration) (bool, error) {
	taken := false
	err := v.client.do(ctx, func(ctx context.Context, c valkey.Client) error {
		err := c.Do(ctx, c.B().Set().Key(name).Value("1").Nx().PxMilliseconds(ttl.Milliseconds()).Build()).Error()
		if valkey.IsValkeyNil(err) {
			taken = true
			return nil
		}
		return err
	})
	return !taken && err == nil, err
}
