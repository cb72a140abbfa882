package ledger_test

import (
	"context"
	"fmt"
	"slices"
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
		_, err := s.CreateOrder(ctx, s.id, window)
		mustBeDomain(t, err)
	case checkout.OnCancel:
		_, err := s.CancelOrder(ctx, s.id)
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

// The steps of a set-up that are no triggers.
const (
	onAge     checkout.Trigger = "the time limit passed, not swept"
	onRelease checkout.Trigger = "DELETE /holds"
)

// setups bring a stage into each state, many of them in more than one way.
var setups = []struct {
	name  string
	state checkout.State
	do    []checkout.Trigger
}{
	{"active", checkout.NoOrderActive, nil},
	{"active, refunded before its success", checkout.NoOrderActive, steps(onRefunded)},
	{"overdue and not swept", checkout.NoOrderExpired, steps(onAge)},
	{"expired", checkout.NoOrderExpired, steps(checkout.OnPayBy)},
	{"released", checkout.NoOrderReleased, steps(onRelease)},
	{"pending", "pending_payment", steps(checkout.OnOrder)},
	{"pending and overdue", "pending_payment", steps(checkout.OnOrder, onAge)},
	{"pending, refunded before its success", "pending_payment", steps(checkout.OnOrder, onRefunded)},
	{"paid", "paid", steps(checkout.OnOrder, onSucceeded)},
	{"paid before the order", "paid", steps(onSucceeded)},
	{"paid twice", "paid", steps(checkout.OnOrder, onSucceeded, onSecond)},
	{"paid twice, the first refunded", "paid", steps(checkout.OnOrder, onSucceeded, onSecond, onRefunded)},
	{"paid, partly refunded", "paid", steps(checkout.OnOrder, onSucceeded, onPartRefunded)},
	{"paid, disputed", "paid", steps(checkout.OnOrder, onSucceeded, onDisputed)},
	{"wrong, then right", "paid", steps(checkout.OnOrder, onMismatched, onSucceeded)},
	{"cancelled by the customer", "cancelled", steps(checkout.OnOrder, checkout.OnCancel)},
	{"cancelled by the provider", "cancelled", steps(checkout.OnOrder, checkout.OnFailed)},
	{"cancelled by time", "cancelled", steps(checkout.OnOrder, checkout.OnPayBy)},
	{"cancelled, refunded before its success", "cancelled", steps(checkout.OnOrder, checkout.OnCancel, onRefunded)},
	{"refund due", "refund_due", steps(checkout.OnOrder, onMismatched)},
	{"refund due, wrong currency", "refund_due", steps(checkout.OnOrder, onWrongCurrency)},
	{"refund failed", "refund_due", steps(checkout.OnOrder, onSucceeded, onRefunded, onRefundFailed)},
	{"refunded after paid", "refunded", steps(checkout.OnOrder, onSucceeded, onRefunded)},
	{"refunded by a sum", "refunded", steps(checkout.OnOrder, onSucceeded, onRefundedSum)},
	{"refunded before the success", "refunded", steps(checkout.OnOrder, onRefunded, onSucceeded)},
	{"dispute lost", "refunded", steps(checkout.OnOrder, onSucceeded, onDisputeLost)},
}

func steps(triggers ...checkout.Trigger) []checkout.Trigger { return triggers }

// play does one step on the ledger and in the model, and checks the result of a payment event.
func (s *stage) play(t *testing.T, w *world, on checkout.Trigger) {
	t.Helper()
	a := w.accounts[s.id]
	w.now = w.now.Add(time.Microsecond) // the oldest payment is known
	overdue := func() { a.expires, a.payBy = time.Time{}, time.Time{} }
	switch on {
	case onAge:
		s.age(t, s.id)
		overdue()
		return
	case onRelease:
		if _, err := s.ReleaseHold(context.Background(), s.id); err != nil {
			t.Fatal(err)
		}
		a.hold, a.units = checkout.HoldReleased, checkout.StockAvailable
		return
	}
	result := s.fire(t, on)
	switch on {
	case checkout.OnPayBy:
		overdue()
		if a.hold == checkout.HoldActive {
			a.hold, a.units = checkout.HoldExpired, checkout.StockAvailable
		}
		w.move(a, on)
	case checkout.OnOrder, checkout.OnCancel:
		w.move(a, on)
	default:
		if len(s.sent) == 0 {
			return // no event to deliver again
		}
		if want := w.deliver(s.sent[len(s.sent)-1]); !slices.Contains(want, result) {
			t.Errorf("%s: the result is %q, the model says %q", on, result, want)
		}
	}
}

// arrange makes a stage with its model, and brings it into the state of a set-up.
func arrange(t *testing.T, env *ledgertest.Env, i int, stock int64) (*stage, *world) {
	t.Helper()
	s := newStage(t, env, stock)
	now := time.Now()
	w := &world{
		now: now, payers: map[checkout.EventRef]*payer{}, settled: map[string]bool{}, reclaim: func() {}, free: func() int64 { return stock },
		accounts: map[checkout.ID]*account{s.id: {
			id: s.id, qty: 2, amount: checkout.Money{Amount: 9998, Currency: "USD"}, hold: checkout.HoldActive, expires: now.Add(ttl), units: checkout.StockReserved,
		}},
	}
	for _, step := range setups[i].do {
		s.play(t, w, step)
	}
	if got, _ := s.state(t); got != setups[i].state {
		t.Fatalf("the set-up ends in %q, expected %q", got, setups[i].state)
	}
	return s, w
}

// compare expects the ledger to agree with the model: the order, its units, its payments and what is owed.
func (s *stage) compare(t *testing.T, w *world) {
	t.Helper()
	a := w.accounts[s.id]
	state, reason := s.state(t)
	if state != w.state(a) || reason != a.standing.Reason {
		t.Errorf("got %s %q, the model says %s %q", state, reason, w.state(a), a.standing.Reason)
	}
	if got, want := storedPayments(t, s.Env, s.id), w.describe(a); got != want {
		t.Errorf("the payments are%s\nthe model says%s", got, want)
	}
	reserved, sold := s.counters(t) // this sweeps the product
	if a.units == checkout.StockReserved && w.now.After(a.expires) && w.now.After(a.payBy) {
		a.units = checkout.StockAvailable
	}
	want := map[checkout.StockPlace][2]int64{checkout.StockReserved: {2, 0}, checkout.StockSold: {0, 2}, checkout.StockAvailable: {0, 0}}[a.units]
	if reserved != want[0] || sold != want[1] {
		t.Errorf("reserved %d, sold %d, the model says %d, %d", reserved, sold, want[0], want[1])
	}
}

// describe returns an account's payments as storedPayments does.
func (w *world) describe(a *account) string {
	var lines []string
	for _, p := range w.payments(a) {
		lines = append(lines, payment(p.Provider+"/"+p.ID, p)+fmt.Sprintf(", settles %t, owed %d", p.Settles, p.Owed()))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func storedPayments(t interface{ Fatal(args ...any) }, env *ledgertest.Env, order checkout.ID) string {
	rows, err := env.Admin.QueryContext(context.Background(),
		"SELECT CONCAT(provider, '/', payment_id), received, returned, unsent, exact, settles IS NOT NULL, owed FROM payments WHERE order_id = ?", order[:])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var lines []string
	for rows.Next() {
		var p checkout.Payment
		var owed int64
		if err := rows.Scan(&p.ID, &p.Received, &p.Returned, &p.Unsent, &p.Exact, &p.Settles, &owed); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, payment(p.ID, p)+fmt.Sprintf(", settles %t, owed %d", p.Settles, owed))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// TestTransitions drives every state with every trigger. The ledger must do what checkout.Transitions, Settle and
// StandingOf say, and nothing else.
func TestTransitions(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	covered := map[checkout.State]bool{}
	for i, setup := range setups {
		covered[setup.state] = true
		for _, on := range slices.Concat(checkout.Triggers, moneyTriggers) {
			t.Run(setup.name+"/"+string(on), func(t *testing.T) {
				s, w := arrange(t, env, i, 10)
				s.play(t, w, on)
				s.compare(t, w)
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

// A late payment gets units only if there are any, and overdue units count as available.
func TestLatePayment(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	for i, setup := range setups {
		switch setup.name {
		case "expired", "released", "cancelled by the customer", "cancelled by the provider", "cancelled by time", "refund due", "refund due, wrong currency":
		default:
			continue // its units are not available, or its payment was returned before
		}
		t.Run(setup.name+"/sold out", func(t *testing.T) {
			s, w := arrange(t, env, i, 3)
			other := ledgertest.NewID()
			s.place(t, other) // one unit is left, but two are needed
			w.free = func() int64 { return 1 }
			s.play(t, w, onSucceeded)
			state, reason := s.state(t)
			reserved, sold := s.counters(t)
			if state != checkout.State(checkout.OrderRefundDue) || reason != checkout.ReasonLatePayment || reserved != 2 || sold != 0 {
				t.Errorf("got %s %s, reserved %d, sold %d, expected refund_due (late_payment) and no unit sold", state, reason, reserved, sold)
			}
			if got, want := storedPayments(t, env, s.id), w.describe(w.accounts[s.id]); got != want {
				t.Errorf("the payments are%s\nthe model says%s", got, want)
			}
			// Once units are back, another success of the same payment takes them.
			if _, err := s.ReleaseHold(t.Context(), other); err != nil {
				t.Fatal(err)
			}
			w.free = func() int64 { return 3 }
			s.play(t, w, onAgain)
			s.compare(t, w)
		})
		t.Run(setup.name+"/sold out by an overdue hold", func(t *testing.T) {
			s, w := arrange(t, env, i, 2)
			other := ledgertest.NewID()
			s.place(t, other)
			s.age(t, other)
			s.play(t, w, onSucceeded)
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
	ctx := t.Context()
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
	exec(t, env.Admin, "UPDATE payment_events SET retry_at = UTC_TIMESTAMP(6)") // its time has come
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

// nullView is a stock view that keeps nothing.
type nullView struct{ checkout.StockView }

func (nullView) Put(context.Context, checkout.Product, *checkout.IdempotencyKey) {}

// A refund that names only its order, and comes before the order's success, is applied with the success.
func TestSuccessWakesARefundWithoutPayment(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	s := newPurse(t, env, 1, true)
	service := checkout.Service{Ledger: env, View: nullView{}, Recorder: checkout.NoRecorder{}, PaymentWindow: window}
	refund := s.event("A -1000 r")
	refund.PaymentID, refund.Subject = "", &s.id
	receipt, err := service.ApplyEvent(t.Context(), refund)
	if err != nil || receipt.Result != checkout.PaymentUnmatched {
		t.Fatalf("the refund got %+v (%v), expected unmatched", receipt, err)
	}
	receipt, err = service.ApplyEvent(t.Context(), s.event("A 1000"))
	if err != nil || receipt.Result != checkout.PaymentApplied || receipt.Order.Status != checkout.OrderRefunded {
		t.Errorf("the success got %+v (%v), expected applied, and a refunded order", receipt, err)
	}
	if got := s.standing(t); got != "refunded, 1 sold, 0 owed" {
		t.Errorf("got %s, expected refunded", got)
	}
	env.MustAudit(t)
}
