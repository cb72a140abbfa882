package ledger_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
)

// together runs n calls at the same instant.
func together(n int, call func()) {
	gate := make(chan struct{})
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			<-gate
			call()
		})
	}
	close(gate)
	wg.Wait()
}

// Several callers have one key, on a product with enough stock for one of them. A caller may look the key up before the
// first call commits, and read the product after it. It must still not be refused as sold out.
func TestOneKeyOnTheLastUnit(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	for round := range ledgertest.Thorough(40, 100) {
		product := fmt.Sprintf("last-unit-%d", round)
		env.MustPut(t, product, 1)
		key := checkout.IdempotencyKey{byte(round), 1}
		seen := []*checkout.Money{nil, {Amount: 4999, Currency: "USD"}}[round%2]
		var holds sync.Map
		together(16, func() {
			request := checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: product, Qty: 1, TTL: ttl, Key: &key, Price: seen}
			receipt, err := env.PlaceHold(context.Background(), request)
			for checkout.CodeOf(err) == checkout.CodeBusy { // on a busy machine
				receipt, err = env.PlaceHold(context.Background(), request)
			}
			if err != nil {
				t.Error(err)
				return
			}
			holds.Store(receipt.Hold.ID, true)
		})
		n := 0
		holds.Range(func(any, any) bool { n++; return true })
		if n != 1 {
			t.Fatalf("round %d: %d holds, expected 1", round, n)
		}
	}
	env.MustAudit(t)
}

// Several sweepers run at the same instant. Together they release exactly the due stock, each unit once.
func TestSweepersReleaseNothingTwice(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	const due = 60
	for round := range ledgertest.Thorough(4, 10) {
		s := &stage{Env: env, product: fmt.Sprintf("swept-%d", round)}
		env.MustPut(t, s.product, 2*due)
		for i := range due {
			id := ledgertest.NewID()
			s.place(t, id)
			if i%3 == 0 {
				if _, err := env.CreateOrder(context.Background(), checkout.Caller{}, id, checkout.OrderTerms{Window: window}); err != nil {
					t.Fatal(err)
				}
			}
			s.age(t, id)
		}
		var released atomic.Int64
		together(4, func() {
			receipt, err := env.ExpireDue(context.Background(), s.product, checkout.DueBatch{Holds: due, Orders: due})
			if err != nil {
				t.Error(err)
				return
			}
			released.Add(int64(receipt.Holds + receipt.Orders))
		})
		s.sweep(t) // the holds that every sweeper skipped because another had locked them
		if reserved, sold := s.counters(t); released.Load() > due || reserved != 0 || sold != 0 {
			t.Fatalf("round %d: %d released of %d due, %d still reserved", round, released.Load(), due, reserved)
		}
	}
	env.MustAudit(t)
}
