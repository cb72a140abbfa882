package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"flashsale/pkg/checkout"
)

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
				_, err := s.CreateOrder(t.Context(), stranger, held, checkout.OrderTerms{Window: window})
				return err
			},
			"repeating an order": func() error {
				_, err := s.CreateOrder(t.Context(), stranger, ordered, checkout.OrderTerms{Window: window})
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
	first := s.cancelled(t, me)
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
	limited := checkout.OrderTerms{Window: window, Unpaid: 3 * time.Minute}
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
