package ledger_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
)

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
		if _, err := s.ReleaseHold(context.Background(), checkout.Caller{}, s.id); err != nil {
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
		for _, next := range []checkout.Trigger{onAgain, onSecond} {
			t.Run(setup.name+"/sold out, then "+string(next), func(t *testing.T) {
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
				// Once units are back, another success takes them: of the same payment or of a second one, which is then owed.
				if _, err := s.ReleaseHold(t.Context(), checkout.Caller{}, other); err != nil {
					t.Fatal(err)
				}
				w.free = func() int64 { return 3 }
				s.play(t, w, next)
				s.compare(t, w)
			})
		}
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
