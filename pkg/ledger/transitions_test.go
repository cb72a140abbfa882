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

// Triggers that bring money, besides those of checkout.Triggers.
const (
	onSucceeded  checkout.Trigger = "payment succeeded"
	onMismatched checkout.Trigger = "payment succeeded, amount wrong"
	onRefunded   checkout.Trigger = "payment refunded"
)

// stage is one product and one hold of two units, in a given state.
type stage struct {
	*ledgertest.Env
	product string
	id      checkout.ID
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

// event is a payment event for the stage's order: two units at 49.99.
func (s *stage) event(on checkout.Trigger) checkout.PaymentEvent {
	e := checkout.PaymentEvent{
		Provider: "standard", EventID: uuid.NewString(), Type: string(on), Subject: &s.id, PaymentID: uuid.NewString(),
		Amount: checkout.Money{Amount: 9998, Currency: "USD"},
	}
	switch on {
	case onSucceeded:
		e.Kind = checkout.PaymentSucceeded
	case onMismatched:
		e.Kind, e.Amount.Amount = checkout.PaymentSucceeded, 9997
	case checkout.OnFailed:
		e.Kind = checkout.PaymentFailed
	case onRefunded: // all that is left of the order's only payment that holds money
		e.Kind, e.PaymentID, e.RefundID, e.Amount = checkout.PaymentRefunded, "", e.EventID, checkout.Money{}
	}
	return e
}

// fire pulls a trigger. For a payment event it returns the result.
func (s *stage) fire(t *testing.T, on checkout.Trigger) checkout.PaymentResult {
	t.Helper()
	ctx := context.Background()
	switch on {
	case checkout.OnOrder:
		_, err := s.CreateOrder(ctx, s.id, window)
		mustBeDomain(t, err)
	case checkout.OnCancel:
		_, err := s.CancelOrder(ctx, s.id)
		mustBeDomain(t, err)
	case checkout.OnPayBy:
		s.age(t, s.id)
		s.sweep(t)
	default:
		receipt, err := s.ApplyEvent(ctx, s.event(on), window)
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
	o, err := s.Order(context.Background(), s.id)
	if err == nil {
		return checkout.State(o.Status), o.Reason
	}
	if checkout.CodeOf(err) != checkout.CodeOrderNotFound {
		t.Fatal(err)
	}
	h, err := s.Hold(context.Background(), s.id)
	if err != nil {
		t.Fatal(err)
	}
	return checkout.State(h.Status) + " hold", ""
}

func (s *stage) counters(t *testing.T) (reserved, sold int64) {
	t.Helper()
	p, err := s.RefreshProduct(context.Background(), s.product)
	if err != nil {
		t.Fatal(err)
	}
	return p.ReservedStock, p.SoldStock
}

// setups bring a stage into each state, some of them in more than one way.
var setups = []struct {
	name  string
	state checkout.State
	do    []func(*testing.T, *stage)
}{
	{"active", checkout.NoOrderActive, nil},
	{"overdue and not swept", checkout.NoOrderExpired, []func(*testing.T, *stage){func(t *testing.T, s *stage) { s.age(t, s.id) }}},
	{"expired", checkout.NoOrderExpired, []func(*testing.T, *stage){func(t *testing.T, s *stage) { s.age(t, s.id); s.sweep(t) }}},
	{"released", checkout.NoOrderReleased, []func(*testing.T, *stage){func(t *testing.T, s *stage) {
		if _, err := s.ReleaseHold(context.Background(), s.id); err != nil {
			t.Fatal(err)
		}
	}}},
	{"pending", checkout.State(checkout.OrderPendingPayment), pull(checkout.OnOrder)},
	{"paid", checkout.State(checkout.OrderPaid), pull(checkout.OnOrder, onSucceeded)},
	{"paid before the order", checkout.State(checkout.OrderPaid), pull(onSucceeded)},
	{"cancelled by the customer", checkout.State(checkout.OrderCancelled), pull(checkout.OnOrder, checkout.OnCancel)},
	{"cancelled by the provider", checkout.State(checkout.OrderCancelled), pull(checkout.OnOrder, checkout.OnFailed)},
	{"cancelled by time", checkout.State(checkout.OrderCancelled), pull(checkout.OnOrder, checkout.OnPayBy)},
	{"refund due", checkout.State(checkout.OrderRefundDue), pull(checkout.OnOrder, onMismatched)},
	{"refunded after paid", checkout.State(checkout.OrderRefunded), pull(checkout.OnOrder, onSucceeded, onRefunded)},
	{"refunded after refund due", checkout.State(checkout.OrderRefunded), pull(onMismatched, onRefunded)},
}

func pull(triggers ...checkout.Trigger) []func(*testing.T, *stage) {
	var steps []func(*testing.T, *stage)
	for _, on := range triggers {
		steps = append(steps, func(t *testing.T, s *stage) { s.fire(t, on) })
	}
	return steps
}

func arrange(t *testing.T, env *ledgertest.Env, i int, stock int64) *stage {
	t.Helper()
	s := newStage(t, env, stock)
	for _, step := range setups[i].do {
		step(t, s)
	}
	if got, _ := s.state(t); got != setups[i].state {
		t.Fatalf("the set-up ends in %q, want %q", got, setups[i].state)
	}
	return s
}

// TestTransitions drives every state with every trigger that brings no money. Each result must be the table's, and
// nothing else may change. TestEveryOrderOfEventsEndsTheSame and TestModel do the same with money.
func TestTransitions(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	covered := map[checkout.State]bool{}
	for i, setup := range setups {
		covered[setup.state] = true
		for _, on := range checkout.Triggers {
			t.Run(setup.name+"/"+string(on), func(t *testing.T) {
				s := arrange(t, env, i, 10)
				_, reasonBefore := s.state(t)
				reservedBefore, soldBefore := s.counters(t)
				result := s.fire(t, on)
				state, reason := s.state(t)
				reserved, sold := s.counters(t)

				row, moves := checkout.Find(setup.state, on)
				if !moves {
					wantState := setup.state
					if setup.state == checkout.NoOrderActive && on == checkout.OnPayBy {
						wantState = checkout.NoOrderExpired // time also passes for a hold
						reservedBefore = 0
					}
					if state != wantState || reason != reasonBefore || reserved != reservedBefore || sold != soldBefore {
						t.Errorf("got %s %s, reserved %d → %d, sold %d → %d, expected no change, because no row matches", state, reason, reservedBefore, reserved, soldBefore, sold)
					}
					if result != "" && result != checkout.PaymentIgnored {
						t.Errorf("the result is %q, expected ignored", result)
					}
					return
				}
				want := map[checkout.StockPlace][2]int64{checkout.StockReserved: {2, 0}, checkout.StockAvailable: {0, 0}}[row.Units]
				if state != checkout.State(row.To.Status) || reason != row.To.Reason || reserved != want[0] || sold != want[1] {
					t.Errorf("got %s %s, reserved %d, sold %d, expected %+v, %d, %d", state, reason, reserved, sold, row.To, want[0], want[1])
				}
				if result != "" && result != checkout.PaymentApplied {
					t.Errorf("the result is %q, expected applied", result)
				}
			})
		}
	}
	for _, state := range checkout.States {
		if !covered[state] {
			t.Errorf("no set-up for %q", state)
		}
	}
	env.MustAudit(t)
}

// A free order is paid when it is made, and its units are sold.
func TestFreeOrderIsPaidAtOnce(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	ctx := context.Background()
	env.MustPutPrice(t, "free", 5, checkout.Money{Currency: "USD"})
	s := &stage{Env: env, product: "free", id: ledgertest.NewID()}
	s.place(t, s.id)
	for _, repeated := range []bool{false, true} {
		receipt, err := env.CreateOrder(ctx, s.id, window)
		if err != nil || receipt.Order.Status != checkout.OrderPaid || receipt.Product.SoldStock != 2 || receipt.Product.ReservedStock != 0 || receipt.Repeated != repeated {
			t.Fatalf("POST /orders of a free hold got %+v (%v), expected it paid with 2 units sold", receipt.Order, err)
		}
	}
	if _, err := env.CancelOrder(ctx, s.id); checkout.CodeOf(err) != checkout.CodeOrderNotCancellable {
		t.Errorf("the cancellation of a free order got %v, expected order_not_cancellable", err)
	}
	early := &stage{Env: env, product: "free", id: ledgertest.NewID()} // the provider's event of a free hold comes first
	early.place(t, early.id)
	event := early.event(onSucceeded)
	event.Amount.Amount = 0
	receipt, err := env.ApplyEvent(ctx, event, window)
	if err != nil || receipt.Result != checkout.PaymentApplied || receipt.Order.Status != checkout.OrderPaid || receipt.Product.SoldStock != 4 {
		t.Fatalf("the event of a free hold got %+v (%v), expected a paid order", receipt, err)
	}
	env.MustAudit(t)
}

// A late payment gets units only if there are any, and overdue units count as available.
func TestLatePayment(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	for i, setup := range setups {
		switch setup.state {
		case checkout.NoOrderExpired, checkout.NoOrderReleased, checkout.State(checkout.OrderCancelled):
			if setup.name == "overdue and not swept" {
				continue // it still has its units
			}
		default:
			continue
		}
		t.Run(setup.name+"/sold out", func(t *testing.T) {
			s := arrange(t, env, i, 3)
			s.place(t, ledgertest.NewID()) // one unit is left, but two are needed
			s.fire(t, onSucceeded)
			state, reason := s.state(t)
			reserved, sold := s.counters(t)
			if state != checkout.State(checkout.OrderRefundDue) || reason != checkout.ReasonLatePayment || reserved != 2 || sold != 0 {
				t.Errorf("got %s %s, reserved %d, sold %d, expected refund_due (late_payment) and no unit sold", state, reason, reserved, sold)
			}
		})
		t.Run(setup.name+"/sold out by an overdue hold", func(t *testing.T) {
			s := arrange(t, env, i, 2)
			other := ledgertest.NewID()
			s.place(t, other)
			s.age(t, other)
			s.fire(t, onSucceeded)
			state, _ := s.state(t)
			reserved, sold := s.counters(t)
			if state != checkout.State(checkout.OrderPaid) || reserved != 0 || sold != 2 {
				t.Errorf("got %s, reserved %d, sold %d, expected paid with 2 units sold", state, reserved, sold)
			}
		})
	}
	env.MustAudit(t)
}

func TestUnmatchedEventIsAppliedLater(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	ctx := context.Background()
	s := &stage{Env: env, product: "later", id: ledgertest.NewID()}
	env.MustPut(t, s.product, 5)
	early := s.event(onSucceeded)
	for range 2 {
		receipt, err := env.ApplyEvent(ctx, early, window)
		if err != nil || receipt.Result != checkout.PaymentUnmatched || receipt.Order != nil {
			t.Fatalf("the early event got %+v (%v), expected unmatched without an order", receipt, err)
		}
	}
	s.place(t, s.id)
	exec(t, env.Admin, "UPDATE payment_events SET retry_at = UTC_TIMESTAMP(6)")
	events, err := env.WaitingEvents(ctx, 10)
	if err != nil || len(events) != 1 {
		t.Fatalf("the events to retry are %v (%v), expected one", events, err)
	}
	receipt, err := env.RetryEvent(ctx, events[0], window)
	if err != nil || receipt.Result != checkout.PaymentApplied || receipt.Order.Status != checkout.OrderPaid {
		t.Fatalf("the retry got %+v (%v), expected applied and paid", receipt, err)
	}
	receipt, err = env.ApplyEvent(ctx, early, window)
	if err != nil || receipt.Result != checkout.PaymentDuplicate || receipt.Order.Status != checkout.OrderPaid {
		t.Fatalf("a later delivery got %+v (%v), expected duplicate and paid", receipt, err)
	}
	env.MustAudit(t)
}
