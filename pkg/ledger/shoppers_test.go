package ledger_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// Units count while they are held, ordered or bought, and come back wherever they come back to the stock.
func TestShopperLimitCountsHeldOrderedAndBoughtUnits(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 3)
	me, other := shopper(1), shopper(2)

	first := s.mustPlace(t, me, 2)
	s.refused(t, me, 2, 3, 2)
	s.mustPlace(t, other, 3)
	second := s.mustPlace(t, me, 1)
	s.refused(t, me, 1, 3, 3)

	s.release(t, me, first)
	third := s.mustPlace(t, me, 1)
	fourth := s.mustPlace(t, me, 1)
	s.order(t, me, second)
	s.order(t, me, third)
	s.order(t, me, fourth)
	s.refused(t, me, 1, 3, 3)

	s.cancel(t, me, second) // the customer
	fifth := s.mustPlace(t, me, 1)
	s.event(t, third, checkout.PaymentFailed) // the payment
	s.mustPlace(t, me, 1)
	s.event(t, fourth, checkout.PaymentSucceeded) // bought
	s.refused(t, me, 1, 3, 3)
	s.event(t, fourth, checkout.PaymentRefunded) // sent back, but the units stay sold
	s.refused(t, me, 1, 3, 3)

	s.expire(t, fifth)
	s.mustPlace(t, me, 1) // the due hold is reclaimed first, also without a sweeper
	s.refused(t, me, 1, 3, 3)
	s.MustAudit(t)
}

// A call that is repeated after its response was lost finds its hold, though the shopper is at the limit now.
func TestRepeatedHoldAtTheLimitIsTheSame(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 1)
	me, text := shopper(1), checkout.IdempotencyKey{1}
	for name, key := range map[string]*checkout.IdempotencyKey{"without a key": nil, "with a key": me.Key(&text)} {
		req := checkout.HoldRequest{
			ID: ledgertest.NewID(), Shopper: me, ProductID: s.product, Qty: 1, TTL: ttl, Key: key,
			Price: &checkout.Money{Amount: 4999, Currency: "USD"}, MaxPerShopper: &s.limit,
		}
		for range 3 {
			r, err := s.PlaceHold(t.Context(), req)
			if err != nil || r.Hold.ID != req.ID {
				t.Fatalf("%s: a repeated call gave %v, expected the same hold", name, err)
			}
		}
		s.release(t, me, req.ID)
	}
	s.MustAudit(t)
}

// Units that came back and are paid late would be too many.
func TestLatePaymentTakesNoUnitsOverTheLimit(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 1)
	me := shopper(1)
	first := s.cancelled(t, me)
	second := s.mustPlace(t, me, 1)
	if r := s.event(t, first, checkout.PaymentSucceeded); r.Order.Status != checkout.OrderRefundDue || r.Order.Reason != checkout.ReasonLatePayment {
		t.Errorf("a late payment over the limit gave %s (%s), expected refund_due (late_payment)", r.Order.Status, r.Order.Reason)
	}
	s.MustAudit(t)
	s.release(t, me, second)
	third := s.cancelled(t, me)
	if r := s.event(t, third, checkout.PaymentSucceeded); r.Order.Status != checkout.OrderPaid {
		t.Errorf("a late payment within the limit gave %s (%s), expected paid", r.Order.Status, r.Order.Reason)
	}
	s.MustAudit(t)
}

// An expired hold is expired for every reader and writer, whether or not a sweep has moved its row. So a late payment that is within
// the limit without it takes units, as a new hold in the same moment does.
func TestLatePaymentIsNotRefusedForAnExpiredHold(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 1)
	me := shopper(1)
	first := s.cancelled(t, me)
	s.expire(t, s.mustPlace(t, me, 1)) // no sweeper runs here
	if r := s.event(t, first, checkout.PaymentSucceeded); r.Order.Status != checkout.OrderPaid {
		t.Errorf("a late payment within the limit gave %s (%s), expected paid: the other hold has expired", r.Order.Status, r.Order.Reason)
	}
	s.MustAudit(t)
}

// A limit may come, change and go during a sale. Units that were taken before count.
func TestShopperLimitChangesDuringASale(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 2)
	me := shopper(1)
	s.setLimit(t, nil)
	if _, err := s.place(t.Context(), s.Ledger, checkout.Shopper{}, 1); err != nil {
		t.Errorf("an anonymous hold without a limit gave %v", err)
	}
	s.mustPlace(t, me, 5)
	s.limit = 100 // as a stale view may have it
	two := int64(2)
	s.setLimit(t, &two)
	s.limit = 100
	s.refused(t, me, 1, 2, 5)
	if _, err := s.place(t.Context(), s.Ledger, checkout.Shopper{}, 1); checkout.CodeOf(err) != checkout.CodeUnauthenticated {
		t.Errorf("an anonymous hold of a product with a limit gave %v, expected unauthenticated", err)
	}
	ten := int64(10)
	s.setLimit(t, &ten)
	s.mustPlace(t, me, 5)
	s.setLimit(t, &two) // a limit that is lowered takes nothing away
	s.refused(t, me, 1, 2, 10)
	s.MustAudit(t)
}

// A hundred holds of one shopper at once, through two pools of connections, with and without keys: exactly the limit. (test/races has
// processes.)
func TestShopperLimitIsExactInARace(t *testing.T) {
	t.Parallel()
	s := newShop(t, 10_000, 7)
	accounts, err := ledger.AccountsOf(s.AdminDSN)
	if err != nil {
		t.Fatal(err)
	}
	second, err := ledger.Open(accounts.DSN(ledger.RoleApp), checkout.NoRecorder{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	for round := range ledgertest.Thorough(3, 15) {
		me := shopper(100 + round)
		var placed, others atomic.Int64
		start := make(chan struct{})
		var wg sync.WaitGroup
		for n := range 100 {
			l := []*ledger.Ledger{s.Ledger, second}[n%2]
			wg.Go(func() {
				<-start
				req := checkout.HoldRequest{ID: ledgertest.NewID(), Shopper: me, ProductID: s.product, Qty: 1, TTL: ttl, MaxPerShopper: &s.limit}
				if n%4 > 0 {
					req.Price = &checkout.Money{Amount: 4999, Currency: "USD"}
				}
				if n%3 == 0 {
					key := checkout.IdempotencyKey{byte(round), byte(n)}
					req.Key = me.Key(&key)
				}
				r, err := l.PlaceHold(context.Background(), req)
				switch checkout.CodeOf(err) {
				case "":
					if err != nil || r.Repeated {
						t.Errorf("a hold gave %v, repeated %v", err, r.Repeated)
					}
					placed.Add(1)
				case checkout.CodeShopperLimit, checkout.CodeBusy:
				default:
					t.Errorf("a hold over the limit gave %v, expected shopper_limit", err)
				}
			})
		}
		wg.Go(func() { // others are not disturbed
			<-start
			if _, err := s.place(context.Background(), s.Ledger, shopper(200+round), 7); err != nil {
				t.Errorf("another shopper's hold gave %v", err)
			}
			others.Add(1)
		})
		close(start)
		wg.Wait()
		if placed.Load() != s.limit {
			t.Errorf("round %d: %d holds were placed, expected exactly the limit, %d", round, placed.Load(), s.limit)
		}
	}
	s.MustAudit(t)
}
