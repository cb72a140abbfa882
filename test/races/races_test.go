package races

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
	"flashsale/pkg/checkout"
)

// 400 shoppers press the button at the same instant, for 50 units.
func TestStartGate(t *testing.T) {
	t.Parallel()
	shoptest.Everywhere(t, func(t *testing.T, open shoptest.Opener) {
		s := open(t, 50, shoptest.Options{})
		responses := shoptest.AtOnce(400, func(i int) shoptest.Response { return s.PostHold(t, 1, fmt.Sprintf("start-gate-shopper-%d", i)) })
		holds := map[string]bool{}
		for _, r := range responses {
			if r.Status == http.StatusCreated || r.Status == http.StatusOK && r.Retried {
				holds[r.Text("id")] = true
			}
		}
		if counts := shoptest.Tally(responses); len(holds) != 50 || counts["sold_out"] != 350 {
			t.Errorf("400 shoppers got %d holds and the responses %v, expected 50 holds and 350 times sold_out", len(holds), counts)
		}
		wantStock(t, s, 50, 0)
		s.MustAudit(t)
	})
}

// wantStock checks the counters of a product.
func wantStock(t *testing.T, s *shoptest.Shop, reserved, sold int64) {
	t.Helper()
	if p := s.Stock(t); p.ReservedStock != reserved || p.SoldStock != sold || p.AvailableStock() < 0 {
		t.Errorf("%d units are reserved, %d sold, %d available; expected %d reserved and %d sold", p.ReservedStock, p.SoldStock, p.AvailableStock(), reserved, sold)
	}
}

// With quantities of 1 to 5, no hold is refused whose units would still be available at the end.
func TestStartGateQuantities(t *testing.T) {
	t.Parallel()
	shoptest.InProcessesThatShare(t, func(t *testing.T, open shoptest.Opener) {
		s := open(t, 50, shoptest.Options{})
		qty := make([]int, 400)
		for i := range qty {
			qty[i] = 1 + rand.IntN(5)
		}
		responses := shoptest.AtOnce(400, func(i int) shoptest.Response { return s.PostHold(t, qty[i], fmt.Sprintf("start-gate-quantity-%d", i)) })
		granted, smallestRefused := 0, 6
		for i, r := range responses {
			switch {
			case r.Status == http.StatusCreated, r.Status == http.StatusOK && r.Retried:
				granted += qty[i]
			case r.Code() == "sold_out":
				smallestRefused = min(smallestRefused, qty[i])
			default:
				t.Errorf("a hold: got %+v, expected 201 or sold_out", r)
			}
		}
		wantStock(t, s, int64(granted), 0)
		if left := s.Stock(t).AvailableStock(); int64(smallestRefused) <= left {
			t.Errorf("a hold of %d was refused although %d are left", smallestRefused, left)
		}
		s.MustAudit(t)
	})
}

// wantOneCreated checks that one response is 201, the others are 200, and all have the same body.
func wantOneCreated(t *testing.T, responses []shoptest.Response) {
	t.Helper()
	counts := shoptest.Tally(responses)
	lost := slices.ContainsFunc(responses, func(r shoptest.Response) bool { return r.Retried }) // the lost response may have been the 201
	if counts["Created"]+counts["OK"] != len(responses) || counts["Created"] > 1 || (counts["Created"] == 0 && !lost) {
		t.Errorf("got the responses %v, expected one Created and %d OK", counts, len(responses)-1)
	}
	for _, r := range responses {
		if r.Body != responses[0].Body {
			t.Errorf("got two bodies, expected the same:\n%s\n%s", r.Body, responses[0].Body)
		}
	}
}

func TestOneHoldMakesOneOrder(t *testing.T) {
	t.Parallel()
	shoptest.ServerAndFunctions(t, func(t *testing.T, open shoptest.Opener) {
		s := open(t, 10, shoptest.Options{})
		id := s.MustHold(t, 2)
		wantOneCreated(t, shoptest.AtOnce(50, func(int) shoptest.Response { return s.PostOrder(t, id) }))
		if audit := s.MustAudit(t); audit.Orders != 1 {
			t.Errorf("one hold made %d orders, expected 1", audit.Orders)
		}
	})
}

func TestOneKeyMakesOneHold(t *testing.T) {
	t.Parallel()
	shoptest.Everywhere(t, func(t *testing.T, open shoptest.Opener) {
		s := open(t, 100, shoptest.Options{})
		responses := shoptest.AtOnce(50, func(int) shoptest.Response { return s.PostHold(t, 2, "one-key-many-callers") })
		wantOneCreated(t, responses)
		for _, r := range responses {
			if (r.Status == http.StatusOK) != (r.Header.Get("Idempotent-Replayed") == "true") {
				t.Errorf("got %+v, expected Idempotent-Replayed with each 200 and only there", r)
			}
		}
		wantStock(t, s, 2, 0)
		s.MustAudit(t)
	})
}

// The same key on a product that has enough for one of its callers, or not even that, over HTTP. pkg/ledger has the
// race in the database itself.
func TestOneKeyOnTheLastUnitOverHTTP(t *testing.T) {
	t.Parallel()
	for _, stock := range []int64{0, 1} {
		s := shoptest.Open(t, stock, shoptest.Options{})
		responses := shoptest.AtOnce(50, func(int) shoptest.Response { return s.PostHold(t, 1, "one-key-on-the-last-unit") })
		if stock == 1 {
			wantOneCreated(t, responses)
		} else if counts := shoptest.Tally(responses); counts["sold_out"] != 50 {
			t.Errorf("without stock: got the responses %v, expected 50 times sold_out", counts)
		}
		s.MustAudit(t)
	}
}

func TestOneEventManyDeliveries(t *testing.T) {
	t.Parallel()
	shoptest.ServerAndFunctions(t, func(t *testing.T, open shoptest.Opener) {
		s := open(t, 10, shoptest.Options{})
		id := s.MustOrder(t, 2)
		body := s.Event("payment.succeeded", id, 2)
		results := map[string]int{}
		lost := false
		for _, r := range shoptest.AtOnce(20, func(int) shoptest.Response { return s.Deliver(t, "evt-delivered-often", body) }) {
			results[fmt.Sprint(r.Status, " ", r.Text("result"), " ", r.Text("order_status"))]++
			lost = lost || r.Retried
		}
		applied, duplicate := results["200 applied paid"], results["200 duplicate paid"]
		if applied+duplicate != 20 || applied > 1 || (applied == 0 && !lost) {
			t.Errorf("20 deliveries ended in %v, expected one applied and 19 duplicate", results)
		}
		wantStock(t, s, 0, 2)
		s.MustAudit(t)
	})
}

// Success, failure and the shopper's cancellation reach one order at the same instant. In any order, the payment is
// recorded at the end and the units are sold, unless another shopper got them in between.
func TestSuccessFailureAndCancelAtOnce(t *testing.T) {
	t.Parallel()
	for _, contested := range []bool{false, true} {
		s := shoptest.Open(t, 2, shoptest.Options{})
		for round := range 40 {
			id := orderAll(t, s, fmt.Sprintf("success-failure-round-%d", round))
			success, failure := s.Event("payment.succeeded", id, 2), s.Event("payment.failed", id, 2)
			events := [2]string{uuid.NewString(), uuid.NewString()}
			calls := []func() shoptest.Response{
				func() shoptest.Response { return s.Deliver(t, events[0], success) },
				func() shoptest.Response { return s.Deliver(t, events[1], failure) },
				func() shoptest.Response {
					return s.Do(t, http.MethodPost, "/v1/orders/"+id.OrderID()+"/cancel", "", nil)
				},
				func() shoptest.Response {
					if contested {
						return s.PostHold(t, 1, fmt.Sprintf("success-failure-rival-%d", round))
					}
					return shoptest.Response{Status: http.StatusConflict}
				},
			}
			responses := shoptest.AtOnce(len(calls), func(i int) shoptest.Response { return calls[i]() })
			order := shoptest.Must(s.Order(context.Background(), checkout.Caller{}, id))(t)
			p := s.Stock(t)
			won := responses[3].Status == http.StatusCreated || responses[3].Status == http.StatusOK
			switch {
			case order.Status == checkout.OrderPaid && !won && p.SoldStock == 2 && p.ReservedStock == 0:
			case order.Status == checkout.OrderRefundDue && order.Reason == checkout.ReasonLatePayment && won && p.SoldStock == 0 && p.ReservedStock == 1:
			default:
				t.Fatalf("round %d: %s %s, reserved %d, sold %d, rival %d", round, order.Status, order.Reason, p.ReservedStock, p.SoldStock, responses[3].Status)
			}
			s.MustAudit(t)
			emptyLedger(t, s)
		}
	}
}

// orderAll orders the whole stock as soon as the cache shows it as available.
func orderAll(t *testing.T, s *shoptest.Shop, key string) checkout.ID {
	t.Helper()
	var r shoptest.Response
	shoptest.Eventually(t, "the emptied ledger's stock can be held", func() bool {
		r = s.PostHold(t, 2, key)
		return r.Status == http.StatusCreated || r.Status == http.StatusOK
	})
	id, _ := checkout.ParseHoldID(r.Text("id"))
	if r := shoptest.AtOnce(1, func(int) shoptest.Response { return s.PostOrder(t, id) })[0]; r.Status >= 300 {
		t.Fatalf("an order: got %+v, expected 201", r)
	}
	return id
}

// emptyLedger empties the ledger, so that a round begins with the whole stock.
func emptyLedger(t *testing.T, s *shoptest.Shop) {
	t.Helper()
	for _, statement := range []string{
		"DELETE FROM payment_events", "DELETE FROM refunds", "DELETE FROM payments", "DELETE FROM orders", "DELETE FROM holds",
		"UPDATE products SET reserved_stock = 0, sold_stock = 0, keyed_holds = 0, holds_sum = 0, version = version + 1",
	} {
		if _, err := s.Admin.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	s.App.View.Put(context.Background(), s.Stock(t), nil)
}

// A hold's order, its release and two sweeps run at the instant of its expiry, 200 times.
func TestExpiryOrderAndReleaseAtOnce(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 200, shoptest.Options{HoldTTL: 100 * time.Millisecond})
	var wg sync.WaitGroup
	for range 200 / 20 {
		for range 20 { // several rounds at a time, to finish sooner
			wg.Go(func() { expiryRound(t, s) })
		}
		wg.Wait()
		s.MustAudit(t)
	}
	if p := s.Stock(t); p.ReservedStock+p.AvailableStock() != 200 {
		t.Errorf("the product is %+v, expected 200 units, reserved or available", p)
	}
}

func expiryRound(t *testing.T, s *shoptest.Shop) {
	ctx := context.Background()
	receipt, err := s.PlaceHold(ctx, checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: s.ProductID, Qty: 1, TTL: 100 * time.Millisecond})
	if err != nil {
		t.Error(err)
		return
	}
	id, expires := receipt.Hold.ID, receipt.Hold.ExpiresAt
	time.Sleep(time.Until(expires) - time.Duration(rand.IntN(4))*time.Millisecond) // time itself is the subject
	sweep := func() shoptest.Response {
		_, err := s.ExpireDue(ctx, s.ProductID, checkout.DueBatch{Holds: 10, Orders: 10})
		if err != nil && checkout.CodeOf(err) != checkout.CodeBusy { // busy: 39 other sweeps of the product are waiting
			t.Error(err)
		}
		return shoptest.Response{}
	}
	calls := []func() shoptest.Response{
		func() shoptest.Response { return s.PostOrder(t, id) },
		func() shoptest.Response { return s.Do(t, http.MethodDelete, "/v1/holds/"+id.HoldID(), "", nil) },
		sweep, sweep,
	}
	responses := shoptest.AtOnce(len(calls), func(i int) shoptest.Response { return calls[i]() })
	hold := shoptest.Must(s.Hold(ctx, checkout.Caller{}, id))(t)
	ordered, released := responses[0], responses[1]
	ok := false
	switch hold.Status {
	case checkout.HoldOrdered:
		ok = ordered.Status == http.StatusCreated && released.Code() == "hold_ordered" && hold.HasOrder
	case checkout.HoldReleased:
		ok = ordered.Code() == "hold_released" && released.Status == http.StatusNoContent && !hold.HasOrder
	case checkout.HoldExpired:
		ok = ordered.Code() == "hold_expired" && released.Status == http.StatusNoContent && !hold.HasOrder
	}
	if !ok {
		t.Errorf("the hold is %s; the order got %d %s and the release %d %s: expected only one of them to succeed", hold.Status, ordered.Status, ordered.Code(), released.Status, released.Code())
	}
}

// If anyone asks for it, a unit returns within two seconds of its hold's expiry, and never before.
func TestUnitIsBackInTime(t *testing.T) {
	t.Parallel()
	s := shoptest.Open(t, 1, shoptest.Options{HoldTTL: time.Second})
	first := shoptest.Must(s.Hold(context.Background(), checkout.Caller{}, s.MustHold(t, 1)))(t)
	var lags []time.Duration
	for range ledgertest.Thorough(2, 5) {
		var next checkout.Hold
		var longest time.Duration // the longest pause between two requests: a busy machine asks less often
		for asked := time.Now(); next.CreatedAt.IsZero(); {
			a := s.PostHold(t, 1, "")
			longest = max(longest, time.Since(asked))
			asked = time.Now()
			switch {
			case a.Status == http.StatusCreated:
				id, _ := checkout.ParseHoldID(a.Text("id"))
				next = shoptest.Must(s.Hold(context.Background(), checkout.Caller{}, id))(t)
			case a.Code() == "sold_out":
				time.Sleep(5 * time.Millisecond) // between two requests
			default:
				t.Fatalf("a hold got %+v, expected 201 or sold_out", a)
			}
		}
		lag := next.CreatedAt.Sub(first.ExpiresAt)
		if lag < 0 {
			t.Errorf("the unit was back %s before its hold expired", -lag)
		}
		if lag > 2*time.Second+longest {
			t.Errorf("the unit was back %s after its hold expired, expected 2 s at most (with %s between two requests)", lag, longest)
		}
		lags = append(lags, lag)
		first = next
	}
	slices.Sort(lags)
	t.Logf("back after %v", lags)
	s.MustAudit(t)
}
