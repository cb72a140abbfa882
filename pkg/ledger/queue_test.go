package ledger

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flashsale/pkg/checkout"
)

// These tests are inside the package because they need lanes without a database.

func TestLaneIsFirstInFirstOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(laneSize{1, 1})
		leave, err := l.enter(t.Context(), "hot")
		if err != nil {
			t.Fatal(err)
		}
		const callers = 50
		var served, want []int
		for i := range callers {
			want = append(want, i)
			go func() {
				leave, err := l.enter(t.Context(), "hot")
				if err != nil {
					t.Errorf("caller %d: %v", i, err)
					return
				}
				served = append(served, i)
				leave()
			}()
			synctest.Wait() // caller i is in the queue
		}
		leave()
		synctest.Wait()
		if !slices.Equal(served, want) {
			t.Errorf("callers were served in the order %v, expected the order of arrival", served)
		}
		if len(l.products) > 0 || l.calls.Load() != 0 {
			t.Errorf("the empty lane still knows %d products and %d calls", len(l.products), l.calls.Load())
		}
	})
}

// Calls of one product that wait for its row leave connections to others.
func TestProductGetsItsShareOfALane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(laneSize{3, 2})
		var entered atomic.Int64
		for range 10 {
			go func() {
				if leave, err := l.enter(t.Context(), "locked"); err == nil {
					entered.Add(1)
					<-t.Context().Done() // as long as the row is locked
					leave()
				}
			}()
		}
		synctest.Wait()
		leave, err := l.enter(t.Context(), "other")
		if err != nil || entered.Load() != 2 {
			t.Fatalf("%d calls of the locked product entered, expected 2; another product got %v", entered.Load(), err)
		}
		leave()
	})
}

func TestFullLaneIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Ledger{lanes: newLanes(), rec: checkout.NoRecorder{}}
		for range holdLane.perProduct {
			if _, err := l.lanes.of[&holdLane].enter(t.Context(), "hot"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.call(context.Background(), "place_hold", nil, "hot"); checkout.CodeOf(err) != checkout.CodeBusy {
			t.Errorf("a call that got no place returned %v, expected busy", err)
		}
	})
}

// Payments of a product do not wait for its orders, of which a rush has many more.
func TestOrdersDelayNoPayment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Ledger{lanes: newLanes(), rec: checkout.NoRecorder{}}
		hold := checkout.ID{1}
		l.lanes.products.Add(hold, "hot")
		for range orderLane.perProduct + 1 { // the first one is alone, and takes no place of the product
			if _, err := l.enter(t.Context(), "create_order", []any{hold[:]}); err != nil {
				t.Fatal(err)
			}
		}
		event := []any{"standard", "evt_1", "payment.succeeded", "succeeded", hold[:], "pay_1"}
		for routine, args := range map[string][]any{"apply_event": event, "apply_payments": {"hot"}} {
			start := time.Now()
			leave, err := l.enter(t.Context(), routine, args)
			if waited := time.Since(start); err != nil || waited > 0 {
				t.Fatalf("%s waited %s for a place (%v)", routine, waited, err)
			}
			leave()
		}
	})
}

// However many holds of a product wait for a call of their own, its next batch has a place.
func TestHoldsAloneDelayNoBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Ledger{lanes: newLanes(), rec: checkout.NoRecorder{}}
		for range holdLane.perProduct {
			if _, err := l.enter(t.Context(), "place_hold", []any{nil, "hot"}); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		leave, err := l.enter(t.Context(), "place_holds", []any{"hot"})
		if waited := time.Since(start); err != nil || waited > 0 {
			t.Fatalf("a batch waited %s for a place (%v)", waited, err)
		}
		leave()
	})
}

// Every routine that a program calls has a lane.
func TestEveryCalledRoutineHasALane(t *testing.T) {
	for _, routine := range rightsOf[RoleApp].routines {
		if routes[routine].lane == nil {
			t.Errorf("%s has no lane", routine)
		}
	}
}
