package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// dbNow is the database's clock.
func dbNow(t *testing.T, env *ledgertest.Env) (now time.Time) {
	t.Helper()
	if err := env.Admin.QueryRowContext(t.Context(), "SELECT UTC_TIMESTAMP(6)").Scan(&now); err != nil {
		t.Fatal(err)
	}
	return now
}

// placeBehindLock asks for n holds, in a batch, of a product whose row is locked until the database's clock has passed until.
func placeBehindLock(t *testing.T, c *crowd, n int, until time.Time) (placed []ledger.Placed, unlocked time.Time) {
	t.Helper()
	unlock := c.lock(t, "products SET version = version + 1 WHERE id = 'free'")
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		placed = c.PlaceTogether(context.Background(), requests(n, "free", nil))
	}()
	waitForLockWait(t, c.Env)
	for !dbNow(t, c.Env).After(until) {
		time.Sleep(time.Millisecond) // between two looks
	}
	unlocked = dbNow(t, c.Env)
	unlock()
	<-returned
	return placed, unlocked
}

// A hold lasts from the moment when it is granted, after the wait for its product.
func TestHoldLastsFromItsGrant(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	for _, n := range []int{1, 3} {
		placed, unlocked := placeBehindLock(t, c, n, dbNow(t, c.Env).Add(300*time.Millisecond))
		for _, p := range placed {
			if p.Err != nil || p.Shared != (n > 1) {
				t.Fatalf("in a batch of %d, a hold shared its call: %v, error %v", n, p.Shared, p.Err)
			}
			h := p.Receipt.Hold
			if h.CreatedAt.Before(unlocked) || h.ExpiresAt.Sub(h.CreatedAt) != ttl {
				t.Errorf("granted after %v, the hold lasts from %v to %v, expected %v from the grant", unlocked, h.CreatedAt, h.ExpiresAt, ttl)
			}
			stored, err := c.Hold(t.Context(), checkout.Caller{}, h.ID)
			if err != nil || !stored.ExpiresAt.Equal(h.ExpiresAt) || !stored.CreatedAt.Equal(h.CreatedAt) {
				t.Errorf("the stored hold is %+v (%v), expected %+v", stored, err, h)
			}
		}
	}
	c.MustAudit(t)
}

func TestSaleEndsDuringTheWait(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	for _, n := range []int{1, 3} {
		ends := dbNow(t, c.Env).Add(300 * time.Millisecond)
		if _, _, err := c.PutProduct(t.Context(), checkout.ProductChange{ID: "free", SaleEndsAt: &checkout.Moment{At: &ends}}); err != nil {
			t.Fatal(err)
		}
		placed, _ := placeBehindLock(t, c, n, ends)
		for _, p := range placed {
			if !errors.Is(p.Err, checkout.ErrSaleEnded) {
				t.Errorf("a hold of a batch of %d whose sale ended during its wait got %v, expected sale_ended", n, p.Err)
			}
		}
	}
	c.MustAudit(t)
}

// mustHaveDue places holds of one unit of product p, and makes all active holds due.
func mustHaveDue(t *testing.T, env *ledgertest.Env, holds int) {
	t.Helper()
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for range holds / 10 {
				if _, err := env.PlaceHold(context.Background(), checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: "p", Qty: 1, TTL: ttl}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	exec(t, env.Admin, "UPDATE holds SET created_at = created_at - INTERVAL 10 MINUTE, expires_at = expires_at - INTERVAL 10 MINUTE WHERE status = 'active'")
}

// A read counts each due unit if the product is short of units, and only some while any hold fits: counting costs more than a hold.
func TestReadCountsAllDueUnitsOfAShortProduct(t *testing.T) {
	t.Parallel()
	const due = 80
	env := ledgertest.New(t)
	env.MustPut(t, "p", 1000)
	mustHaveDue(t, env, due)
	reserved := func(stock int64) int64 {
		if _, _, err := env.PutProduct(t.Context(), checkout.ProductChange{ID: "p", Stock: &stock}); err != nil {
			t.Fatal(err)
		}
		p, err := env.Product(t.Context(), "p")
		if err != nil {
			t.Fatal(err)
		}
		return p.ReservedStock
	}
	if n := reserved(1000); n != due-50 {
		t.Errorf("with stock for any hold, a read shows %d of %d due units as reserved, expected %d", n, due, due-50)
	}
	if n := reserved(due); n != 0 {
		t.Errorf("with all stock reserved, a read shows %d of %d due units as reserved, expected 0", n, due)
	}
	env.MustAudit(t)
}

// However many holds are due, their units serve who wants them: a hold and a late payment.
func TestAllDueStockIsReclaimed(t *testing.T) {
	t.Parallel()
	const due, wanted = 700, 600 // a routine reclaims 500 at a time
	for name, take := range map[string]func(*testing.T, *ledgertest.Env, checkout.ID){
		"hold": func(t *testing.T, env *ledgertest.Env, _ checkout.ID) {
			req := checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: "p", Qty: wanted, TTL: ttl}
			_, err := env.PlaceHold(t.Context(), req)
			for checkout.CodeOf(err) == checkout.CodeBusy { // a slow machine reclaims them in two calls
				_, err = env.PlaceHold(t.Context(), req)
			}
			if err != nil {
				t.Error(err)
			}
		},
		"late payment": func(t *testing.T, env *ledgertest.Env, late checkout.ID) {
			e := (&stage{Env: env, product: "p", id: late}).event(onSucceeded)
			e.Amount.Amount = 4999 * wanted
			r, err := env.ApplyEvent(t.Context(), e, window)
			if err != nil || r.Order.Status != checkout.OrderPaid {
				t.Errorf("got %+v (%v), expected a paid order", r.Order, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := ledgertest.New(t)
			limit := int64(wanted)
			env.MustPut(t, "p", due)
			if _, _, err := env.PutProduct(t.Context(), checkout.ProductChange{ID: "p", MaxQtyPerHold: &limit}); err != nil {
				t.Fatal(err)
			}
			late := ledgertest.NewID()
			if _, err := env.PlaceHold(t.Context(), checkout.HoldRequest{ID: late, ProductID: "p", Qty: wanted, TTL: ttl}); err != nil {
				t.Fatal(err)
			}
			if _, err := env.ReleaseHold(t.Context(), checkout.Caller{}, late); err != nil {
				t.Fatal(err)
			}
			mustHaveDue(t, env, due)
			if p, err := env.Product(t.Context(), "p"); err != nil || p.AvailableStock() != due {
				t.Errorf("with %d units due, a read shows %d available (%v)", due, p.AvailableStock(), err)
			}
			take(t, env, late)
			env.MustAudit(t)
		})
	}
}

// A read of a product does not depend on what a reclaim would do: it is possible with corrupt counters, and changes nothing.
func TestReadsReclaimNothing(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	exec(t, c.Admin, "UPDATE products SET reserved_stock = 0 WHERE id = 'locked'")
	before := dump(t, c.Env, "SELECT version, reserved_stock FROM products ORDER BY id")
	if p, err := c.Product(t.Context(), "locked"); err != nil || p.ReservedStock != 0 {
		t.Errorf("a product with corrupt counters reads %+v (%v)", p, err)
	}
	if after := dump(t, c.Env, "SELECT version, reserved_stock FROM products ORDER BY id"); after != before {
		t.Errorf("reading changed the products from %q to %q", before, after)
	}
}

// While the product changes all the time, each refusal shows the row that it follows from.
func TestRefusalsFollowFromWhatTheyShow(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	env.MustPut(t, "p", 3)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var changing, holding sync.WaitGroup
	changing.Go(func() { // the sale's window and the stock
		for i := 0; ctx.Err() == nil; i++ {
			change := checkout.ProductChange{ID: "p", SaleStartsAt: &checkout.Moment{}, SaleEndsAt: &checkout.Moment{}}
			now := time.Now().UTC()
			later, earlier := now.Add(time.Hour), now.Add(-time.Hour)
			switch i % 4 {
			case 0:
				change.SaleStartsAt.At = &later
			case 1:
				change.SaleEndsAt.At = &earlier
			}
			if _, _, err := env.PutProduct(context.Background(), change); err != nil {
				t.Error(err)
			}
		}
	})
	changing.Go(func() { // holds become due and are swept
		for ctx.Err() == nil {
			if _, err := env.ExpireDue(context.Background(), "p", checkout.DueBatch{Holds: 10, Orders: 10}); err != nil {
				t.Error(err)
			}
		}
	})
	refused := map[checkout.Code]int{}
	var mu sync.Mutex
	for range 6 {
		holding.Go(func() {
			for range ledgertest.Thorough(150, 1500) {
				_, err := env.PlaceHold(context.Background(), checkout.HoldRequest{ID: checkout.ID(uuid.Must(uuid.NewV7())), ProductID: "p", Qty: 1, TTL: 2 * time.Millisecond})
				var refusal *checkout.Error
				if errors.As(err, &refusal) {
					mu.Lock()
					refused[refusal.Code]++
					mu.Unlock()
					if refusal.Code == checkout.CodeSoldOut && (refusal.AvailableStock == nil || *refusal.AvailableStock >= 1) {
						t.Errorf("sold_out shows %v units", refusal.AvailableStock)
					}
				} else if err != nil {
					t.Error(err)
				}
			}
		})
	}
	holding.Wait()
	cancel()
	changing.Wait()
	t.Log(fmt.Sprint(refused))
	env.MustAudit(t)
}
