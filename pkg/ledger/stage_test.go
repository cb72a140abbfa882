package ledger_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
)

const (
	ttl    = 2 * time.Minute
	window = 15 * time.Minute
)

// stage is one product and one hold of two units, in a given state.
type stage struct {
	*ledgertest.Env
	product string
	id      checkout.ID
	sent    []checkout.PaymentEvent // in the order of delivery
}

func newStage(t *testing.T, env *ledgertest.Env, stock int64) *stage {
	t.Helper()
	s := &stage{Env: env, product: "p" + strings.ReplaceAll(uuid.NewString(), "-", ""), id: ledgertest.NewID()}
	env.MustPut(t, s.product, stock)
	s.place(t, s.id)
	return s
}

// place holds two units.
func (s *stage) place(t *testing.T, id checkout.ID) {
	t.Helper()
	if _, err := s.PlaceHold(context.Background(), checkout.HoldRequest{ID: id, ProductID: s.product, Qty: 2, TTL: ttl}); err != nil {
		t.Fatal(err)
	}
}

// age makes a hold, or its order, due, as if its time limit had passed.
func (s *stage) age(t *testing.T, id checkout.ID) {
	t.Helper()
	for _, statement := range []string{
		"UPDATE holds SET created_at = created_at - INTERVAL 1 HOUR, expires_at = expires_at - INTERVAL 1 HOUR WHERE id = ?",
		"UPDATE orders SET pay_by = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND WHERE id = ?",
	} {
		if _, err := s.Admin.ExecContext(context.Background(), statement, id[:]); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *stage) sweep(t *testing.T) checkout.SweepReceipt {
	t.Helper()
	receipt, err := s.ExpireDue(context.Background(), s.product, checkout.DueBatch{Holds: 500, Orders: 500})
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

// The triggers that are money. The stage's order costs 99.98 USD: two units at 49.99. A is its usual payment.
const (
	onSucceeded     checkout.Trigger = "payment succeeded"
	onAgain         checkout.Trigger = "success of the same payment by another event"
	onSecond        checkout.Trigger = "second payment succeeded"
	onMismatched    checkout.Trigger = "payment succeeded, amount wrong"
	onWrongCurrency checkout.Trigger = "payment succeeded, currency wrong"
	onNothing       checkout.Trigger = "payment of 0 succeeded"
	onRefunded      checkout.Trigger = "payment refunded"
	onPartRefunded  checkout.Trigger = "payment partly refunded"
	onRefundedSum   checkout.Trigger = "sum of refunds"
	onRefundFailed  checkout.Trigger = "refund failed"
	onOtherRefunded checkout.Trigger = "unknown payment refunded"
	onDisputed      checkout.Trigger = "payment disputed"
	onDisputeWon    checkout.Trigger = "dispute won"
	onDisputeLost   checkout.Trigger = "dispute lost"
	onDuplicate     checkout.Trigger = "duplicate of the last event"
)

var moneyTriggers = []checkout.Trigger{
	onSucceeded, onAgain, onSecond, onMismatched, onWrongCurrency, onNothing, onRefunded, onPartRefunded, onRefundedSum, onRefundFailed,
	onOtherRefunded, onDisputed, onDisputeWon, onDisputeLost, onDuplicate,
}

// event makes a payment event for the stage's order.
func (s *stage) event(on checkout.Trigger) checkout.PaymentEvent {
	e := checkout.PaymentEvent{
		Provider: "standard", EventID: uuid.NewString(), Type: string(on), PaymentID: s.id.OrderID() + "A",
		Amount: checkout.Money{Amount: 9998, Currency: "USD"},
	}
	switch on {
	case onSucceeded, onAgain:
		e.Kind = checkout.PaymentSucceeded
	case onSecond:
		e.Kind, e.PaymentID = checkout.PaymentSucceeded, s.id.OrderID()+"B"
	case onMismatched:
		e.Kind, e.Amount.Amount, e.PaymentID = checkout.PaymentSucceeded, 9997, s.id.OrderID()+"C"
	case onWrongCurrency:
		e.Kind, e.Amount.Currency, e.PaymentID = checkout.PaymentSucceeded, "EUR", s.id.OrderID()+"D"
	case onNothing:
		e.Kind, e.Amount.Amount, e.PaymentID = checkout.PaymentSucceeded, 0, s.id.OrderID()+"E"
	case checkout.OnFailed:
		e.Kind, e.Amount = checkout.PaymentFailed, checkout.Money{}
	case onRefunded:
		e.Kind, e.RefundID, e.Amount = checkout.PaymentRefunded, s.id.OrderID()+"r1", checkout.Money{}
	case onPartRefunded:
		e.Kind, e.RefundID, e.Amount.Amount = checkout.PaymentRefunded, s.id.OrderID()+"r2", 3000
	case onRefundedSum:
		e.Kind, e.Amount.Amount = checkout.PaymentRefundedSum, 9998
	case onRefundFailed:
		e.Kind, e.RefundID, e.Amount = checkout.PaymentRefundFailed, s.id.OrderID()+"r1", checkout.Money{}
	case onOtherRefunded:
		e.Kind, e.PaymentID, e.RefundID = checkout.PaymentRefunded, s.id.OrderID()+"X", s.id.OrderID()+"r3"
	case onDisputed:
		e.Kind, e.RefundID = checkout.PaymentDisputed, s.id.OrderID()+"d"
	case onDisputeWon:
		e.Kind, e.RefundID = checkout.PaymentDisputeWon, s.id.OrderID()+"d"
	case onDisputeLost:
		e.Kind, e.RefundID = checkout.PaymentDisputeLost, s.id.OrderID()+"d"
	}
	if e.Kind == checkout.PaymentSucceeded || e.Kind == checkout.PaymentFailed {
		e.Subject = &s.id
	}
	return e
}

// fire pulls a trigger. For a payment event it returns the result.
func (s *stage) fire(t *testing.T, on checkout.Trigger) checkout.PaymentResult {
	t.Helper()
	ctx := context.Background()
	switch on {
	case checkout.OnOrder:
		_, err := s.CreateOrder(ctx, checkout.Caller{}, s.id, checkout.OrderTerms{Window: window})
		mustBeDomain(t, err)
	case checkout.OnCancel:
		_, err := s.CancelOrder(ctx, checkout.Caller{}, s.id)
		mustBeDomain(t, err)
	case checkout.OnPayBy:
		s.age(t, s.id)
		s.sweep(t)
	default:
		e := s.event(on)
		if on == onDuplicate {
			if len(s.sent) == 0 {
				return ""
			}
			e = s.sent[len(s.sent)-1]
		}
		s.sent = append(s.sent, e)
		receipt, err := s.ApplyEvent(ctx, e, window)
		if err != nil {
			t.Fatal(err)
		}
		return receipt.Result
	}
	return ""
}

func mustBeDomain(t *testing.T, err error) {
	t.Helper()
	if err != nil && checkout.CodeOf(err) == "" {
		t.Fatal(err)
	}
}

// state returns the stage's state: the order's status, or the hold's while there is no order.
func (s *stage) state(t *testing.T) (checkout.State, checkout.Reason) {
	t.Helper()
	o, err := s.Order(context.Background(), checkout.Caller{}, s.id)
	if err == nil {
		return checkout.State(o.Status), o.Reason
	}
	if checkout.CodeOf(err) != checkout.CodeOrderNotFound {
		t.Fatal(err)
	}
	h, err := s.Hold(context.Background(), checkout.Caller{}, s.id)
	if err != nil {
		t.Fatal(err)
	}
	return checkout.State(h.Status) + " hold", ""
}

func (s *stage) counters(t *testing.T) (reserved, sold int64) {
	t.Helper()
	p, err := s.Product(context.Background(), s.product)
	if err != nil {
		t.Fatal(err)
	}
	return p.ReservedStock, p.SoldStock
}
