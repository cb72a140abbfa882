package ledger_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// shop is a ledger with a product that each shopper may have a few units of.
type shop struct {
	*ledgertest.Env
	product string
	limit   int64
}

func newShop(t *testing.T, stock, limit int64) *shop {
	t.Helper()
	s := &shop{Env: ledgertest.New(t), product: "p"}
	s.MustPut(t, s.product, stock)
	s.setLimit(t, &limit)
	return s
}

func (s *shop) setLimit(t *testing.T, limit *int64) {
	t.Helper()
	if _, _, err := s.PutProduct(t.Context(), checkout.ProductChange{ID: s.product, MaxPerShopper: &checkout.Limit{Units: limit}}); err != nil {
		t.Fatal(err)
	}
	if limit != nil {
		s.limit = *limit
	}
}

func shopper(n int) checkout.Shopper {
	return checkout.ShopperOf("https://shop.example.com", fmt.Sprint(n))
}

func (s *shop) place(ctx context.Context, l *ledger.Ledger, who checkout.Shopper, qty int64) (checkout.ID, error) {
	id := ledgertest.NewID()
	_, err := l.PlaceHold(ctx, checkout.HoldRequest{
		ID: id, Shopper: who, ProductID: s.product, Qty: qty, TTL: ttl, Price: &checkout.Money{Amount: 4999, Currency: "USD"}, MaxPerShopper: &s.limit,
	})
	return id, err
}

func (s *shop) mustPlace(t *testing.T, who checkout.Shopper, qty int64) checkout.ID {
	t.Helper()
	id, err := s.place(t.Context(), s.Ledger, who, qty)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// refused checks that the shopper is over the limit, and what the refusal says.
func (s *shop) refused(t *testing.T, who checkout.Shopper, qty, limit, yours int64) {
	t.Helper()
	_, err := s.place(t.Context(), s.Ledger, who, qty)
	var refusal *checkout.Error
	if checkout.CodeOf(err) != checkout.CodeShopperLimit {
		t.Errorf("a hold of %d gave %v, expected shopper_limit", qty, err)
	} else if refusal = err.(*checkout.Error); *refusal.MaxPerShopper != limit || *refusal.Yours != yours { //nolint:errorlint // CodeOf found it
		t.Errorf("the refusal says limit %d and yours %d, expected %d and %d", *refusal.MaxPerShopper, *refusal.Yours, limit, yours)
	}
}

func (s *shop) event(t *testing.T, id checkout.ID, kind checkout.PaymentKind) checkout.PaymentReceipt {
	t.Helper()
	e := checkout.PaymentEvent{
		Provider: checkout.ProviderStandard, EventID: id.OrderID() + string(kind), Type: "payment." + string(kind), Kind: kind, Subject: &id, PaymentID: id.OrderID(),
	}
	if kind == checkout.PaymentRefunded {
		e.RefundID = e.EventID
	}
	if kind != checkout.PaymentFailed {
		e.Amount = checkout.Money{Amount: 4999, Currency: "USD"}
	}
	r, err := s.ApplyEvent(t.Context(), e, window)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// expire makes a hold due, as if its time had passed.
func (s *shop) expire(t *testing.T, id checkout.ID) {
	t.Helper()
	exec(t, s.Admin, "UPDATE holds SET created_at = created_at - INTERVAL 1 HOUR, expires_at = expires_at - INTERVAL 1 HOUR, facts = NULL WHERE id = ?", id[:])
	exec(t, s.Admin, "UPDATE products SET holds_sum = (SELECT COALESCE(SUM(facts), 0) FROM holds WHERE product_id = products.id)")
}

func (s *shop) order(t *testing.T, who checkout.Shopper, id checkout.ID) {
	t.Helper()
	if _, err := s.CreateOrder(t.Context(), checkout.Caller{Shopper: who}, id, checkout.OrderTimes{Window: window}); err != nil {
		t.Fatal(err)
	}
}

// Units count while they are held, ordered or bought, and come back wherever they come back to the stock.
func TestShopperLimitCountsHeldOrderedAndBoughtUnits(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 3)
	me, other := shopper(1), shopper(2)
	by := checkout.Caller{Shopper: me}

	first := s.mustPlace(t, me, 2)
	s.refused(t, me, 2, 3, 2)
	s.mustPlace(t, other, 3)
	second := s.mustPlace(t, me, 1)
	s.refused(t, me, 1, 3, 3)

	if _, err := s.ReleaseHold(t.Context(), by, first); err != nil {
		t.Fatal(err)
	}
	third := s.mustPlace(t, me, 1)
	fourth := s.mustPlace(t, me, 1)
	s.order(t, me, second)
	s.order(t, me, third)
	s.order(t, me, fourth)
	s.refused(t, me, 1, 3, 3)

	if _, err := s.CancelOrder(t.Context(), by, second); err != nil { // the customer
		t.Fatal(err)
	}
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
		if _, err := s.ReleaseHold(t.Context(), checkout.Caller{Shopper: me}, req.ID); err != nil {
			t.Fatal(err)
		}
	}
	s.MustAudit(t)
}

// Units that came back and are paid late would be too many.
func TestLatePaymentTakesNoUnitsOverTheLimit(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 1)
	me := shopper(1)
	first := s.mustPlace(t, me, 1)
	s.order(t, me, first)
	if _, err := s.CancelOrder(t.Context(), checkout.Caller{Shopper: me}, first); err != nil {
		t.Fatal(err)
	}
	second := s.mustPlace(t, me, 1)
	if r := s.event(t, first, checkout.PaymentSucceeded); r.Order.Status != checkout.OrderRefundDue || r.Order.Reason != checkout.ReasonLatePayment {
		t.Errorf("a late payment over the limit gave %s (%s), expected refund_due (late_payment)", r.Order.Status, r.Order.Reason)
	}
	s.MustAudit(t)
	if _, err := s.ReleaseHold(t.Context(), checkout.Caller{Shopper: me}, second); err != nil {
		t.Fatal(err)
	}
	third := s.mustPlace(t, me, 1)
	s.order(t, me, third)
	if _, err := s.CancelOrder(t.Context(), checkout.Caller{Shopper: me}, third); err != nil {
		t.Fatal(err)
	}
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
	first := s.mustPlace(t, me, 1)
	s.order(t, me, first)
	if _, err := s.CancelOrder(t.Context(), checkout.Caller{Shopper: me}, first); err != nil {
		t.Fatal(err)
	}
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

// A hundred holds of one shopper at once, by two processes, with and without keys: exactly the limit.
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

// Other shoppers cannot find or change a shopper's holds and orders.
func TestOthersHoldsDoNotExist(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 5)
	owner := shopper(1)
	held, ordered := s.mustPlace(t, owner, 1), s.mustPlace(t, owner, 1)
	s.order(t, owner, ordered)
	for name, stranger := range map[string]checkout.Caller{"another shopper": {Shopper: shopper(2)}, "an anonymous caller": {}} {
		for operation, do := range map[string]func() error{
			"reading the hold":  func() error { _, err := s.Hold(t.Context(), stranger, held); return err },
			"releasing it":      func() error { _, err := s.ReleaseHold(t.Context(), stranger, held); return err },
			"releasing ordered": func() error { _, err := s.ReleaseHold(t.Context(), stranger, ordered); return err },
			"ordering it": func() error {
				_, err := s.CreateOrder(t.Context(), stranger, held, checkout.OrderTimes{Window: window})
				return err
			},
			"repeating an order": func() error {
				_, err := s.CreateOrder(t.Context(), stranger, ordered, checkout.OrderTimes{Window: window})
				return err
			},
		} {
			if err := do(); checkout.CodeOf(err) != checkout.CodeHoldNotFound {
				t.Errorf("%s: %s gave %v, expected hold_not_found", name, operation, err)
			}
		}
		for operation, do := range map[string]func() error{
			"reading the order": func() error { _, err := s.Order(t.Context(), stranger, ordered); return err },
			"cancelling it":     func() error { _, err := s.CancelOrder(t.Context(), stranger, ordered); return err },
			"cancelling a hold": func() error { _, err := s.CancelOrder(t.Context(), stranger, held); return err },
		} {
			if err := do(); checkout.CodeOf(err) != checkout.CodeOrderNotFound {
				t.Errorf("%s: %s gave %v, expected order_not_found", name, operation, err)
			}
		}
	}
	h, err := s.Hold(t.Context(), checkout.Caller{Shopper: owner}, held)
	if err != nil || h.Status != checkout.HoldActive || h.Shopper != owner {
		t.Errorf("the owner reads %v, %v, expected the active hold", h, err)
	}
	if _, err := s.CancelOrder(t.Context(), checkout.Caller{Operator: true}, ordered); err != nil {
		t.Errorf("an operator's cancel gave %v", err)
	}
	if _, err := s.ReleaseHold(t.Context(), checkout.Caller{Operator: true}, held); err != nil {
		t.Errorf("an operator's release gave %v", err)
	}
}

func TestShoppersListsArePaged(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 50)
	me := shopper(1)
	var placed []checkout.ID
	for n := range 7 {
		id := s.mustPlace(t, me, 1)
		placed = append([]checkout.ID{id}, placed...)
		if n%2 == 0 {
			s.order(t, me, id)
		}
		s.mustPlace(t, shopper(2), 1)
	}
	service := &checkout.Service{Ledger: s.Ledger}
	var holds []checkout.ID
	var next *checkout.ID
	for page := 0; page == 0 || next != nil; page++ {
		list, more, err := service.Holds(t.Context(), me, next, 3)
		if err != nil || len(list) == 0 || len(list) > 3 {
			t.Fatalf("page %d has %d holds, %v", page, len(list), err)
		}
		for _, h := range list {
			holds = append(holds, h.ID)
		}
		next = more
	}
	if fmt.Sprint(holds) != fmt.Sprint(placed) {
		t.Errorf("the pages list %v, expected %v", holds, placed)
	}
	var orders []checkout.ID
	for page := 0; page == 0 || next != nil; page++ {
		list, more, err := service.Orders(t.Context(), me, next, 3)
		if err != nil || len(list) > 3 {
			t.Fatalf("page %d has %d orders, %v", page, len(list), err)
		}
		for _, o := range list {
			orders = append(orders, o.ID)
		}
		next = more
	}
	if want := []checkout.ID{placed[0], placed[2], placed[4], placed[6]}; fmt.Sprint(orders) != fmt.Sprint(want) {
		t.Errorf("the pages list the orders %v, expected %v", orders, want)
	}
}

// The same text of two shoppers is two keys.
func TestKeysAreTheShoppersOwn(t *testing.T) {
	t.Parallel()
	key := checkout.IdempotencyKey{1}
	mine, theirs := shopper(1).Key(&key), shopper(2).Key(&key)
	if *mine == *theirs || *mine == key || *mine != *shopper(1).Key(&key) || checkout.Shopper.Key(checkout.Shopper{}, &key) != &key {
		t.Error("keys of two shoppers must differ, and an anonymous key must stay as it is")
	}
}

func TestBlockedShopperPlacesNothing(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 5)
	me := shopper(1)
	s.mustPlace(t, me, 2)
	for range 2 {
		if err := s.BlockShopper(t.Context(), me, true, "ada"); err != nil {
			t.Fatal(err)
		}
	}
	s.refused(t, me, 1, 0, 2)
	s.mustPlace(t, shopper(2), 1)
	if err := s.BlockShopper(t.Context(), me, false, "ada"); err != nil {
		t.Fatal(err)
	}
	s.mustPlace(t, me, 1)
}

// A shopper with very many holds gets no more of a product with a limit: their sum would take long, with the product locked.
func TestShopperWithTooManyHoldsIsAtTheLimit(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 5)
	me := shopper(1)
	first := s.mustPlace(t, me, 1)
	s.order(t, me, first)
	if _, err := s.CancelOrder(t.Context(), checkout.Caller{Shopper: me}, first); err != nil {
		t.Fatal(err)
	}
	s.MustPut(t, "other", 10)
	exec(t, s.Admin, `INSERT INTO holds (id, product_id, qty, unit_price, currency, status, created_at, expires_at, ended_at, shopper)
		SELECT UNHEX(LPAD(HEX(i), 32, '0')), 'other', 1, 4999, 'USD', 'expired', created_at, expires_at, expires_at, shopper
		FROM holds, JSON_TABLE(CONCAT('[', REPEAT('0,', 999), '0]'), '$[*]' COLUMNS (i FOR ORDINALITY)) n WHERE id = ?`, first[:])
	s.refused(t, me, 1, 5, 0) // it has none
	s.mustPlace(t, shopper(2), 5)
	if r := s.event(t, first, checkout.PaymentSucceeded); r.Order.Status != checkout.OrderRefundDue {
		t.Errorf("a late payment gave %s, expected refund_due", r.Order.Status)
	}
}

// ORDER_LIMIT bounds how long units are away unpaid, from the hold on. A payment under way gives the order its whole window.
func TestOrderLimitEndsUnpaidOrders(t *testing.T) {
	t.Parallel()
	s := newShop(t, 100, 50)
	me := checkout.Caller{Shopper: shopper(1)}
	limited := checkout.OrderTimes{Window: window, Unpaid: 3 * time.Minute}
	payBy := func(id checkout.ID) time.Duration {
		t.Helper()
		o, err := s.Order(t.Context(), me, id)
		h, holdErr := s.Hold(t.Context(), me, id)
		if err != nil || holdErr != nil {
			t.Fatal(err, holdErr)
		}
		return o.PayBy.Sub(h.CreatedAt).Round(time.Minute)
	}
	id := s.mustPlace(t, me.Shopper, 1)
	if _, err := s.CreateOrder(t.Context(), me, id, limited); err != nil {
		t.Fatal(err)
	}
	if got := payBy(id); got != 3*time.Minute {
		t.Errorf("pay_by is %s after the hold, expected ORDER_LIMIT, 3m", got)
	}
	if r := s.event(t, id, checkout.PaymentProcessing); r.Result != checkout.PaymentApplied || r.Order.Status != checkout.OrderPendingPayment {
		t.Errorf("a payment under way was %s, expected applied", r.Result)
	}
	if got := payBy(id); got != window {
		t.Errorf("with a payment under way, pay_by is %s after the hold, expected PAYMENT_WINDOW", got)
	}
	early := s.mustPlace(t, me.Shopper, 1)
	if r := s.event(t, early, checkout.PaymentProcessing); r.Result != checkout.PaymentIgnored {
		t.Errorf("a payment under way for a hold was %s, expected ignored", r.Result)
	}
	if _, err := s.CreateOrder(t.Context(), me, early, limited); err != nil {
		t.Fatal(err)
	}
	if got := payBy(early); got != window {
		t.Errorf("an order after its payment began has until %s after the hold, expected PAYMENT_WINDOW", got)
	}
	s.MustAudit(t)
}
