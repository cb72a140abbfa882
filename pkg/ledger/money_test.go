package ledger_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
)

// purse is an order of one unit at 10.00 USD, and its payments.
type purse struct {
	*ledgertest.Env
	product string
	id      checkout.ID
	n       int
}

func newPurse(t *testing.T, env *ledgertest.Env, stock int64, ordered bool) *purse {
	t.Helper()
	s := &purse{Env: env, product: "p" + strings.ReplaceAll(uuid.NewString(), "-", ""), id: ledgertest.NewID()}
	env.MustPutPrice(t, s.product, stock, checkout.Money{Amount: 1000, Currency: "USD"})
	ctx := context.Background()
	if _, err := s.PlaceHold(ctx, checkout.HoldRequest{ID: s.id, ProductID: s.product, Qty: 1, TTL: ttl}); err != nil {
		t.Fatal(err)
	}
	if ordered {
		if _, err := s.CreateOrder(ctx, checkout.Caller{}, s.id, checkout.OrderTerms{Window: window}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// event reads a short form of an event: "A 1000" is a success of payment A, "A -300 r1" a refund r1 of it, "A - r1" a
// refund of all that is left, "A !r1" its failure, "A ?" a dispute, "A ?lost" and "A ?won" its end, "A x" the
// final failure of the payment, "A =700" a sum of refunds.
func (s *purse) event(text string) checkout.PaymentEvent {
	fields := strings.Fields(text)
	s.n++
	e := checkout.PaymentEvent{
		Provider: checkout.ProviderStandard, EventID: fmt.Sprintf("evt_%s_%d", s.product, s.n), Type: "payment." + fields[1][:1],
		PaymentID: s.product + fields[0], Kind: checkout.PaymentSucceeded,
	}
	refund := s.product + "r"
	if len(fields) > 2 {
		refund = s.product + fields[2]
	}
	amount := func(digits string) {
		if digits != "" {
			_, _ = fmt.Sscan(digits, &e.Amount.Amount)
			e.Amount.Currency = "USD"
		}
	}
	switch what := fields[1]; {
	case what == "x":
		e.Kind, e.Subject = checkout.PaymentFailed, &s.id
	case what == "?":
		e.Kind, e.RefundID = checkout.PaymentDisputed, "dispute:"+e.PaymentID
	case what == "?won":
		e.Kind, e.RefundID = checkout.PaymentDisputeWon, "dispute:"+e.PaymentID
	case what == "?lost":
		e.Kind, e.RefundID = checkout.PaymentDisputeLost, "dispute:"+e.PaymentID
	case what[0] == '!':
		e.Kind, e.RefundID = checkout.PaymentRefundFailed, s.product+what[1:]
		if len(fields) > 2 {
			amount(fields[2])
		}
	case what[0] == '-':
		e.Kind, e.RefundID = checkout.PaymentRefunded, refund
		amount(what[1:])
	case what[0] == '=':
		e.Kind = checkout.PaymentRefundedSum
		amount(what[1:])
	default:
		e.Subject = &s.id
		amount(what)
	}
	return e
}

func (s *purse) apply(t *testing.T, text string) checkout.PaymentResult {
	t.Helper()
	receipt, err := s.ApplyEvent(context.Background(), s.event(text), window)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if receipt.Cause != nil {
		t.Fatalf("%s: %v", text, receipt.Cause)
	}
	return receipt.Result
}

// standing returns the order's status and reason, the units in the product, and what is owed.
func (s *purse) standing(t *testing.T) string {
	t.Helper()
	ctx := context.Background()
	state := "no order"
	if o, err := s.Order(ctx, checkout.Caller{}, s.id); err == nil {
		state = strings.TrimSpace(string(o.Status) + " " + string(o.Reason))
	}
	var owed, sold int64
	if err := s.Admin.QueryRowContext(ctx, "SELECT COALESCE(SUM(owed), 0) FROM payments WHERE order_id = ?", s.id[:]).Scan(&owed); err != nil {
		t.Fatal(err)
	}
	if err := s.Admin.QueryRowContext(ctx, "SELECT sold_stock FROM products WHERE id = ?", s.product).Scan(&sold); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s, %d sold, %d owed", state, sold, owed)
}

// Every sequence ends as the money says, whatever happened on the way.
func TestMoneyDecidesTheOrder(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	for _, c := range []struct{ name, events, want string }{
		{"paid", "A 1000", "paid, 1 sold, 0 owed"},
		{"second payment", "A 1000, B 1000", "paid, 1 sold, 1000 owed"},
		{"second payment returned", "A 1000, B 1000, B - r1", "paid, 1 sold, 0 owed"},
		{"first payment returned", "A 1000, B 1000, A - r1", "paid, 1 sold, 0 owed"},
		{"refund before its success", "C - r1, C 1000", "refunded, 0 sold, 0 owed"},
		{"too much, and a cent back", "A 99999, A -1 r1", "refund_due amount_mismatch, 0 sold, 99998 owed"},
		{"refund of another payment", "A 1000, B -1000 r1", "paid, 1 sold, 0 owed"},
		{"partial refund", "A 1000, A -300 r1", "paid, 1 sold, 0 owed"},
		{"wrong, then right, then the wrong one back", "A 100, B 1000, A - r1", "paid, 1 sold, 0 owed"},
		{"refund", "A 1000, A -1000 r1", "refunded, 1 sold, 0 owed"},
		{"refund failed", "A 1000, A -1000 r1, A !r1", "refund_due late_payment, 1 sold, 1000 owed"},
		{"refund failed and repeated", "A 1000, A -1000 r1, A !r1, A -1000 r2", "refunded, 1 sold, 0 owed"},
		{"partial refund failed", "A 1000, A -300 r1, A !r1", "paid, 1 sold, 300 owed"},
		{"sum of refunds", "A 1000, A =1000", "refunded, 1 sold, 0 owed"},
		{"sum of refunds, then failed", "A 1000, A =1000, A !r1 1000", "refund_due late_payment, 1 sold, 1000 owed"},
		{"dispute open", "A 1000, A ?", "paid, 1 sold, 0 owed"},
		{"dispute lost", "A 1000, A ?, A ?lost", "refunded, 1 sold, 0 owed"},
		{"dispute won", "A 1000, A ?, A ?won", "paid, 1 sold, 0 owed"},
		{"failed", "A x", "cancelled payment_failed, 0 sold, 0 owed"},
		{"failed, then paid", "A x, B 1000", "paid, 1 sold, 0 owed"},
		{"one payment, two amounts", "A 1000, A 5000", "refund_due amount_mismatch, 1 sold, 5000 owed"},
		{"one payment, two amounts, the other order", "A 5000, A 1000", "refund_due amount_mismatch, 0 sold, 5000 owed"},
		{"nothing", "A 0", "pending_payment, 0 sold, 0 owed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newPurse(t, env, 5, true)
			for event := range strings.SplitSeq(c.events, ", ") {
				s.apply(t, event)
			}
			if got := s.standing(t); got != c.want {
				t.Errorf("%s: got %s, expected %s", c.events, got, c.want)
			}
		})
	}
}

// During a rollback the release before refunds an order and leaves its payment behind. A new payment that arrives before
// the next migration is not lost.
func TestPaymentAfterARollbackIsNotLost(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	s := newPurse(t, env, 1, true)
	s.apply(t, "A 1000")
	exec(t, env.Admin, "UPDATE orders SET status = 'refunded' WHERE id = ?", s.id[:])
	s.apply(t, "B 1000")
	if got := s.standing(t); got != "paid, 1 sold, 1000 owed" {
		t.Errorf("the order is %s, expected paid, with the other payment owed", got)
	}
	env.MustAudit(t)
}
