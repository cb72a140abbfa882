package ledger_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// calls is how often a routine had an outcome.
func calls(env *ledgertest.Env, routineAndOutcome string) float64 {
	return env.Counts.Of(checkout.LedgerCalls.Name + "/" + routineAndOutcome)
}

// A call that waits for a key of a batch may place its hold, and take the last unit, between the batch's COMMIT and its last read. The
// batch must not refuse that key then. It took few rounds to happen.
func TestBatchFindsAKeyThatIsUsedMeanwhile(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	second := secondProcess(t, env)
	for round := range 60 {
		product, key := fmt.Sprint("p", round), checkout.IdempotencyKey{byte(round), 5}
		env.MustPut(t, product, 2)
		batch := requests(3, product, func(i int, r *checkout.HoldRequest) {
			r.Qty = []int64{1, 2, 1}[i]
			if i == 2 {
				r.Key = &key
			}
		})
		again := request(product)
		again.Key = &key
		var placed []ledger.Placed
		var err error
		var callers sync.WaitGroup
		callers.Go(func() { placed = env.PlaceTogether(context.Background(), batch) })
		callers.Go(func() {
			time.Sleep(time.Duration(round%20) * 100 * time.Microsecond) // at another moment of the batch in each round
			_, err = second.PlaceHold(context.Background(), again)
		})
		callers.Wait()
		if err == nil && placed[2].Err != nil {
			t.Errorf("round %d: the key has a hold, and its other request got %v", round, placed[2].Err)
		}
	}
	env.MustAudit(t)
}

// Holds that a frozen call carries are refused by calls of their own. A later try of that call must not place them.
func TestFrozenBatchPlacesNothingThatWasRefused(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	env.MustPut(t, "p", 3)
	all := request("p")
	all.Qty = 3
	if _, err := env.PlaceHold(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	f := &freezer{routine: "place_holds", frozen: make(chan struct{})}
	l := f.open(t, env)
	f.freeze.Store(true)
	locked := begin(t, env)
	exec(t, locked, "SELECT id FROM products WHERE id = 'p' FOR UPDATE")
	late := requests(3, "p", nil)
	var callers sync.WaitGroup
	for i, r := range late {
		callers.Go(func() {
			if _, err := l.PlaceHold(context.Background(), r); checkout.CodeOf(err) != checkout.CodeSoldOut {
				t.Errorf("hold %d got %v, expected sold_out", i, err)
			}
		})
		for i == 0 && len(env.LockWaits(t)) == 0 { // the first is under way, the others wait for its end
			time.Sleep(time.Millisecond)
		}
	}
	<-f.frozen
	if err := locked.Rollback(); err != nil {
		t.Fatal(err)
	}
	callers.Wait()
	if _, err := env.ReleaseHold(t.Context(), checkout.Caller{}, all.ID); err != nil {
		t.Fatal(err)
	}
	for calls(env, "place_holds/busy")+calls(env, "place_holds/placed") == 0 { // until the frozen call has ended
		time.Sleep(time.Millisecond)
	}
	for i, r := range late {
		if _, err := env.Hold(t.Context(), checkout.Caller{}, r.ID); checkout.CodeOf(err) != checkout.CodeHoldNotFound {
			t.Errorf("the refused hold %d is stored (%v)", i, err)
		}
	}
	env.MustAudit(t)
}

// A request that a batch would leave out, because its key or its shopper is known, goes alone. So it does not make the batch of the
// others run twice.
func TestRepeatedRequestsSpoilNoBatch(t *testing.T) {
	t.Parallel()
	for name, limited := range map[string]bool{"key": false, "shopper": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, 100, 1)
			if !limited {
				s.setLimit(t, nil)
			}
			of := func(n int) checkout.HoldRequest {
				r := request(s.product)
				r.Key = &checkout.IdempotencyKey{byte(n)}
				if limited {
					r.Key, r.Shopper, r.MaxPerShopper = nil, shopper(n), &s.limit
				}
				return r
			}
			if _, err := s.PlaceHold(t.Context(), of(1)); err != nil {
				t.Fatal(err)
			}
			locked := begin(t, s.Env)
			exec(t, locked, "SELECT id FROM products WHERE id = ? FOR UPDATE", s.product)
			var callers sync.WaitGroup
			for n := range 12 {
				callers.Go(func() {
					_, err := s.PlaceHold(context.Background(), of(max(1, n-7))) // eight of them are of the known one
					if code := checkout.CodeOf(err); err != nil && (n > 8 || code != checkout.CodeShopperLimit) {
						t.Errorf("hold %d got %v", n, err)
					}
				})
			}
			for calls(s.Env, "place_hold/replayed")+calls(s.Env, "place_hold/shopper_limit") < 8 {
				time.Sleep(time.Millisecond)
			}
			if err := locked.Rollback(); err != nil {
				t.Fatal(err)
			}
			callers.Wait()
			if n := calls(s.Env, "place_holds/apart"); n != 0 {
				t.Errorf("%v batches left requests out, expected none", n)
			}
			s.MustAudit(t)
		})
	}
}

// The requests of one shopper wait for each other, and not in the places of the product.
func TestOneShopperDoesNotCrowdOutTheOthers(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 1)
	locked, first := begin(t, s.Env), shopper(1)
	exec(t, locked, "INSERT INTO shopper_products (shopper, product_id) VALUES (?, ?)", first[:], s.product)
	var callers sync.WaitGroup
	for range 30 {
		callers.Go(func() {
			if _, err := s.place(context.Background(), s.Ledger, first, 1); err != nil && checkout.CodeOf(err) != checkout.CodeShopperLimit && checkout.CodeOf(err) != checkout.CodeBusy {
				t.Error(err)
			}
		})
	}
	for len(s.LockWaits(t)) == 0 {
		time.Sleep(time.Millisecond)
	}
	other := request(s.product)
	other.Shopper, other.Price = shopper(2), nil // it shares no call, and needs a place of the product
	if _, err := s.PlaceHold(t.Context(), other); err != nil {
		t.Errorf("another shopper's hold: %v", err)
	}
	if waits := len(s.LockWaits(t)); waits != 1 {
		t.Errorf("%d calls of one shopper wait for its row, expected 1", waits)
	}
	if err := locked.Rollback(); err != nil {
		t.Fatal(err)
	}
	callers.Wait()
	s.MustAudit(t)
}
