package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// Any set of events of one order ends with the same status and the same sums, in every order of delivery, with
// duplicates, and whether POST /orders came before or never. The Go functions that the audit uses agree.
func TestEveryOrderOfEventsEndsTheSame(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	for range ledgertest.Thorough(2, 1) { // a sequence is shorter than one of TestModel
		rapid.Check(t, func(rt *rapid.T) {
			texts := rapid.SliceOfN(rapid.SampledFrom([]string{
				"A 1000", "A 1000", "B 1000", "C 300", "A -300 r1", "A -1000 r2", "A - r3", "B - r4", "B -400 r5", "C - r6", "A =500",
				"A !r1 300", "A !r2", "B !r4", "C !r6", "A ?", "A ?lost", "B ?won", "B ?lost", "A x", "A 999", "A 1001",
			}), 1, 7).Draw(rt, "events")
			ordered := rapid.Bool().Draw(rt, "ordered")
			first := permuted(t, env, ordered, texts)
			if got := expected(texts, ordered); got != first {
				rt.Fatalf("%v: the ledger ends with\n%s\nthe rules in Go with\n%s", texts, first, got)
			}
			shuffled := rapid.Permutation(slices.Concat(texts, texts[:rapid.IntRange(0, len(texts)).Draw(rt, "twice")])).Draw(rt, "shuffled")
			if again := permuted(t, env, ordered, shuffled); again != first {
				rt.Fatalf("%v ends with\n%s\n%v with\n%s", texts, first, shuffled, again)
			}
		})
	}
	env.MustAudit(t)
}

// permuted plays events on a new order, and returns how it ends.
func permuted(t *testing.T, env *ledgertest.Env, ordered bool, texts []string) string {
	t.Helper()
	s := newPurse(t, env, 5, ordered)
	events := map[string]checkout.PaymentEvent{}
	for _, text := range texts {
		e, seen := events[text]
		if !seen {
			e = s.event(text)
			events[text] = e
		}
		if _, err := s.ApplyEvent(context.Background(), e, window); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return ending(t, s)
}

// ending returns the order's status, what is owed, and the sums of its payments.
func ending(t *testing.T, s *purse) string {
	t.Helper()
	rows, err := s.Admin.QueryContext(context.Background(),
		"SELECT payment_id, received, returned, unsent, exact FROM payments WHERE order_id = ? ORDER BY payment_id", s.id[:])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	parts := strings.Split(s.standing(t), ", ") // without the units: a refund that comes first takes none
	state := parts[0] + ", " + parts[2]
	for rows.Next() {
		var p checkout.Payment
		if err := rows.Scan(&p.ID, &p.Received, &p.Returned, &p.Unsent, &p.Exact); err != nil {
			t.Fatal(err)
		}
		state += payment(strings.TrimPrefix(p.ID, s.product), p)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return state
}

func payment(id string, p checkout.Payment) string {
	return fmt.Sprintf("\n%s received %d, returned %d, unsent %d, exact %t", id, p.Received, p.Returned, p.Unsent, p.Exact)
}

// expected computes the same from the set of events, with the functions of pkg/checkout alone.
func expected(texts []string, ordered bool) string {
	s := &purse{id: checkout.ID{1}}
	tallies, failed := map[string]*checkout.Tally{}, false
	for _, text := range slices.Compact(slices.Sorted(slices.Values(texts))) {
		e := s.event(text)
		failed = failed || e.Kind == checkout.PaymentFailed
		if tallies[e.PaymentID] == nil {
			tallies[e.PaymentID] = &checkout.Tally{}
		}
		tallies[e.PaymentID].Add(e)
	}
	var payments []checkout.Payment
	for _, id := range slices.Sorted(maps.Keys(tallies)) {
		if p := tallies[id].Payment(checkout.ProviderStandard, id, s.id, checkout.Money{Amount: 1000, Currency: "USD"}); p.Order != nil {
			payments = append(payments, p)
		}
	}
	unpaid := checkout.Standing{Status: "no order"}
	if ordered {
		unpaid.Status = checkout.OrderPendingPayment
		if failed {
			unpaid = checkout.Standing{Status: checkout.OrderCancelled, Reason: checkout.ReasonPaymentFailed}
		}
	}
	units := checkout.Settle(checkout.StockReserved, 1000, payments, func() bool { return true })
	standing := checkout.StandingOf(units, 1000, payments, unpaid)
	var owed int64
	for _, p := range payments {
		owed += p.Owed()
	}
	state := fmt.Sprintf("%s, %d owed", strings.TrimSpace(string(standing.Status)+" "+string(standing.Reason)), owed)
	for _, p := range payments {
		state += payment(p.ID, p)
	}
	return state
}

// Events that arrive at the same instant end as they do one after another, and no delivery fails.
func TestEventsAtOnceEndTheSame(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	texts := []string{"A 1000", "B 1000", "C 300", "A -1000 r1", "A !r1", "B -400 r2", "C - r3", "A ?", "A ?won", "C =300"}
	want := expected(texts, true)
	for round := range ledgertest.Thorough(15, 100) {
		s := newPurse(t, env, 5, true)
		var events []checkout.PaymentEvent
		for _, text := range texts {
			e := s.event(text)
			events = append(events, e, e) // each twice
		}
		rand.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		start := make(chan struct{})
		var all errgroup.Group
		for _, e := range events {
			all.Go(func() error {
				<-start
				receipt, err := s.ApplyEvent(context.Background(), e, window)
				return errors.Join(err, receipt.Cause)
			})
		}
		close(start)
		if err := all.Wait(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if got := ending(t, s); got != want {
			t.Fatalf("round %d ends with\n%s\nexpected\n%s", round, got, want)
		}
	}
	env.MustAudit(t)
}

// The sets of events whose outcome depends on the order of delivery are those of docs/states.md. An event that does not fit is
// listed, whatever came first.
func TestTheFirstDeliveryDecides(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	for _, c := range []struct{ events, want, listed string }{
		{"A 100, _ - r, B 1000", "paid, 1 sold, 0 owed", ""},
		{"_ - r, A 100, B 1000", "paid, 1 sold, 0 owed", ""},
		{"B 1000, _ - r, A 100", "refund_due late_payment, 1 sold, 100 owed", ""},
		{"A 100, B 1000, _ - r", "paid, 1 sold, 100 owed", "_ - r"},
		{"A 1000, A -1000 r, A -1000 r EUR", "refunded, 1 sold, 0 owed", "A -1000 r EUR"},
		{"A 1000, A -1000 r EUR, A -1000 r", "refunded, 1 sold, 0 owed", "A -1000 r EUR"},
		{"A 1000, A -300 r, A -1000 r EUR", "paid, 1 sold, 0 owed", "A -1000 r EUR"},
		{"A 1000, A =1000 EUR", "paid, 1 sold, 0 owed", "A =1000 EUR"},
		{"A =1000 EUR, A 1000", "paid, 1 sold, 0 owed", "A =1000 EUR"},
		{"A =1000 EUR, A =300, A 1000", "paid, 1 sold, 0 owed", "A =1000 EUR"},
		{"A -1000 r, A -1000 r EUR, A 1000", "refunded, 0 sold, 0 owed", "A -1000 r EUR"},
		{"A -1000 r EUR, A -1000 r, A 1000", "refunded, 0 sold, 0 owed", "A -1000 r EUR"},
		{"A -1000 r EUR, A 1000, A -1000 r", "refunded, 1 sold, 0 owed", "A -1000 r EUR"},
		{"A !r, A -1000 r EUR, A 1000", "refund_due late_payment, 0 sold, 1000 owed", "A -1000 r EUR"},
		{"A 1000, B 1000, A -1000 r, B -300 r", "paid, 1 sold, 0 owed", "B -300 r"},
		{"A 1000, B 1000, B -300 r, A -1000 r", "paid, 1 sold, 700 owed", "A -1000 r"},
		{"A 1000, A 900 EUR", "paid, 1 sold, 0 owed", "A 900 EUR"},
		{"A 900 EUR, A 1000", "refund_due amount_mismatch, 0 sold, 900 owed", "A 1000"},
	} {
		t.Run(c.events, func(t *testing.T) {
			s := newPurse(t, env, 5, true)
			service := checkout.Service{Ledger: env, View: nullView{}, Recorder: checkout.NoRecorder{}, PaymentWindow: window}
			texts := map[string]string{}
			for text := range strings.SplitSeq(c.events, ", ") {
				what, euro := strings.CutSuffix(text, " EUR")
				e := s.event(what)
				if euro {
					e.Amount.Currency = "EUR"
				}
				if strings.HasPrefix(text, "_") {
					e.PaymentID, e.Subject = "", &s.id
				}
				texts[e.EventID] = text
				if _, err := service.ApplyEvent(context.Background(), e); err != nil {
					t.Fatalf("%s: %v", text, err)
				}
			}
			list, err := env.Events(context.Background(), ledger.EventUnmatched, 100)
			if err != nil {
				t.Fatal(err)
			}
			var listed []string
			for _, e := range list.Entries {
				if text, own := texts[e.EventID]; own {
					listed = append(listed, text)
				}
			}
			if got := s.standing(t); got != c.want || strings.Join(listed, ", ") != c.listed {
				t.Errorf("it ends %s, and %q is listed, expected %s and %q", got, listed, c.want, c.listed)
			}
		})
	}
	env.MustAudit(t)
}
