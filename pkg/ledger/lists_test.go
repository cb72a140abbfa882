package ledger_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// applyAll applies events in the short form of purse.event, separated by ", ".
func (s *purse) applyAll(t *testing.T, events string) {
	t.Helper()
	for event := range strings.SplitSeq(events, ", ") {
		s.apply(t, event)
	}
}

func TestOwedSaysWhyEachPaymentOwesMoney(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	for _, c := range []struct {
		name, events string
		stock        int64
		want         string
	}{
		{"paid", "A 1000", 1, ""},
		{"wrong amount", "A 999", 1, "A 999 amount_mismatch"},
		{"wrong amount and right amount", "A 999, B 1000", 1, "A 999 amount_mismatch"},
		{"second payment", "A 1000, B 1000", 1, "B 1000 second_payment"},
		{"second payment, partly returned", "A 1000, B 1000, B -300 r1", 1, "B 700 second_payment"},
		{"second payment whose refund failed", "A 1000, B 1000, B -1000 r1, B !r1", 1, "B 1000 second_payment"},
		{"refund failed", "A 1000, A -1000 r1, A !r1", 1, "A 1000 refund_failed"},
		{"partial refund failed", "A 1000, A -300 r1, A !r1", 1, "A 300 refund_failed"},
		{"dispute open", "A 1000, A ?", 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newPurse(t, env, c.stock, true)
			s.applyAll(t, c.events)
			if got := s.owed(t); got != c.want {
				t.Errorf("%s: the list has %q, expected %q", c.events, got, c.want)
			}
		})
	}
	t.Run("late payment", func(t *testing.T) {
		s := newPurse(t, env, 1, true)
		if _, err := s.CancelOrder(context.Background(), checkout.Caller{}, s.id); err != nil {
			t.Fatal(err)
		}
		if _, err := s.PlaceHold(context.Background(), checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: s.product, Qty: 1, TTL: ttl}); err != nil {
			t.Fatal(err)
		}
		s.applyAll(t, "A 1000")
		if got := s.owed(t); got != "A 1000 late_payment" {
			t.Errorf("the list has %q, expected the payment that came too late", got)
		}
	})
}

// owed returns the owed payments of the order, in the short form "A 1000 reason", separated by ", ".
func (s *purse) owed(t *testing.T) string {
	t.Helper()
	all, err := s.Owed(context.Background(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	var own []string
	for _, p := range all.Entries {
		if p.OrderID != s.id.OrderID() {
			continue
		}
		if p.Owed.Currency != "USD" || p.Provider != checkout.ProviderStandard || time.Since(p.Since).Abs() > time.Minute {
			t.Errorf("the list has %+v, expected USD of %s since now", p, checkout.ProviderStandard)
		}
		own = append(own, fmt.Sprintf("%s %d %s", strings.TrimPrefix(p.PaymentID, s.product), p.Owed.Amount, p.Reason))
	}
	return strings.Join(own, ", ")
}

// A list that is too long has complete totals, and says how many entries it leaves out.
func TestOwedTotalsAreComplete(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	s := newPurse(t, env, 1, true)
	s.apply(t, "A 1000")
	for i := range 250 {
		s.apply(t, fmt.Sprintf("B%d 1000", i))
	}
	euro := s.event("C 500")
	euro.Amount.Currency = "EUR"
	if _, err := s.ApplyEvent(context.Background(), euro, window); err != nil {
		t.Fatal(err)
	}
	owed, err := s.Owed(context.Background(), 3)
	if err != nil {
		t.Fatal(err)
	}
	if len(owed.Entries) != 3 || owed.Total != 251 || owed.More() != 248 || owed.Entries[0].PaymentID != s.product+"B0" || owed.Entries[2].PaymentID != s.product+"B2" {
		t.Errorf("the list has %v, %d in all, expected the 3 oldest of 251", owed.Entries, owed.Total)
	}
	if got := fmt.Sprint(owed.Totals); got != "[{{250000 USD} 250} {{500 EUR} 1}]" {
		t.Errorf("the totals are %s, expected 2,500.00 USD in 250 payments and 5.00 EUR in 1", got)
	}
}

func TestOrdersFiltersAndSumsPayments(t *testing.T) {
	t.Parallel()
	env, ctx := ledgertest.New(t), context.Background()
	paid := newPurse(t, env, 5, true)
	paid.applyAll(t, "A 1000, B 1000, B -300 r1")
	mixed := newPurse(t, env, 5, true)
	mixed.apply(t, "A 1")
	euro := mixed.event("C 500")
	euro.Amount.Currency = "EUR"
	if _, err := mixed.ApplyEvent(ctx, euro, window); err != nil {
		t.Fatal(err)
	}
	pending := newPurse(t, env, 5, true)
	if _, err := env.Admin.ExecContext(ctx, "UPDATE orders SET created_at = created_at - INTERVAL 1 HOUR WHERE id = ?", paid.id[:]); err != nil {
		t.Fatal(err)
	}
	lately := time.Now().Add(-30 * time.Minute)
	for _, c := range []struct {
		name   string
		filter ledger.OrderFilter
		limit  int
		want   []string
		total  int64
	}{
		{"all", ledger.OrderFilter{}, 10, []string{pending.id.OrderID(), mixed.id.OrderID(), paid.id.OrderID()}, 3},
		{"the newest", ledger.OrderFilter{}, 2, []string{pending.id.OrderID(), mixed.id.OrderID()}, 3},
		{"a product", ledger.OrderFilter{ProductID: mixed.product}, 10, []string{mixed.id.OrderID()}, 1},
		{"a status", ledger.OrderFilter{Status: checkout.OrderPaid}, 10, []string{paid.id.OrderID()}, 1},
		{"since", ledger.OrderFilter{Since: &lately}, 1, []string{pending.id.OrderID()}, 2},
		{"none", ledger.OrderFilter{ProductID: mixed.product, Status: checkout.OrderPaid}, 10, nil, 0},
	} {
		list, err := env.Orders(ctx, c.filter, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range list.Entries {
			got = append(got, o.OrderID)
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) || list.Total != c.total {
			t.Errorf("%s: got %v, %d in all, expected %v, %d in all", c.name, got, list.Total, c.want, c.total)
		}
	}
	list, err := env.Orders(ctx, ledger.OrderFilter{}, 10)
	if err != nil || len(list.Entries) != 3 {
		t.Fatal(list, err)
	}
	for i, want := range []string{
		"pending_payment  1 {1000 USD} [] [] []",
		"refund_due amount_mismatch 1 {1000 USD} [{500 EUR} {1 USD}] [] [{500 EUR} {1 USD}]",
		"paid  1 {1000 USD} [{2000 USD}] [{300 USD}] [{700 USD}]",
	} {
		o := list.Entries[i]
		if got := fmt.Sprintf("%s %s %d %v %v %v %v", o.Status, o.Reason, o.Qty, o.Amount, o.Received, o.Returned, o.Owed); got != want {
			t.Errorf("order %d: got %s, expected %s", i, got, want)
		}
	}
}

func TestOrderHistoryHasEverything(t *testing.T) {
	t.Parallel()
	env, ctx := ledgertest.New(t), context.Background()
	other := newPurse(t, env, 5, true)
	other.apply(t, "A 1000")
	s := newPurse(t, env, 5, true)
	first := s.event("A 1000")
	for range 2 { // the second is a duplicate
		if _, err := s.ApplyEvent(ctx, first, window); err != nil {
			t.Fatal(err)
		}
	}
	s.applyAll(t, "B 1000, B -300 r1, A ?")
	reused := s.event("Z 7")
	reused.EventID = first.EventID
	if _, err := s.ApplyEvent(ctx, reused, window); checkout.CodeOf(err) != checkout.CodeEventIDReused {
		t.Fatal(err)
	}
	if _, err := s.RecordRefund(ctx, checkout.RefundRecord{
		ID: "record:1", Provider: checkout.ProviderStandard, PaymentID: s.product + "B", Amount: 700, Note: "by bank", Operator: "ada",
	}); err != nil {
		t.Fatal(err)
	}
	h, err := env.OrderHistory(ctx, s.id)
	if err != nil {
		t.Fatal(err)
	}
	if h.Hold.HoldID != s.id.HoldID() || h.Hold.Status != checkout.HoldOrdered || h.Order.OrderID != s.id.OrderID() || h.Order.Status != checkout.OrderPaid || h.Order.Qty != 1 {
		t.Errorf("got %+v and %+v, expected a paid order and its hold", h.Hold, h.Order)
	}
	var got []string
	for _, p := range h.Payments {
		got = append(got, fmt.Sprintf("payment %s %d received %d returned %d owed %v %v", p.PaymentID, p.Received, p.Returned, p.Owed, p.Exact, p.Settles))
	}
	for _, r := range h.Refunds {
		got = append(got, fmt.Sprintf("%s of %s %s %v %s %s", r.Kind, r.PaymentID, r.Status, r.Amount, r.Note, r.Operator))
	}
	for _, e := range h.Events {
		got = append(got, fmt.Sprintf("event %s %v %s %d", e.PaymentID, e.Amount, e.Result, e.Deliveries))
	}
	for _, e := range h.Rejected {
		got = append(got, fmt.Sprintf("rejected %s %s %v %d", e.EventID, e.PaymentID, e.Amount, e.Deliveries))
	}
	want := []string{
		"payment A 1000 received 0 returned 0 owed true true",
		"payment B 1000 received 1000 returned 0 owed true false",
		"refund of B sent &{300 USD}  ", "dispute of A open <nil>  ", "record of B sent &{700 USD} by bank ada",
		"event A &{1000 USD} applied 2", "event B &{1000 USD} applied 1", "event B &{300 USD} applied 1", "event A <nil> applied 1",
		"rejected " + first.EventID + " Z &{7 USD} 1",
	}
	text := strings.ReplaceAll(strings.Join(got, "\n"), s.product, "")
	if expected := strings.ReplaceAll(strings.Join(want, "\n"), s.product, ""); text != expected {
		t.Errorf("got\n%s\nexpected\n%s", text, expected)
	}
	if _, err := env.OrderHistory(ctx, ledgertest.NewID()); checkout.CodeOf(err) != checkout.CodeOrderNotFound {
		t.Errorf("an unknown order: got %v, expected order_not_found", err)
	}
}

func TestEventsListsEachState(t *testing.T) {
	t.Parallel()
	env, ctx := ledgertest.New(t), context.Background()
	s := newPurse(t, env, 5, true)
	s.apply(t, "A 1000")

	unknown := s.event("B 1000")
	id := ledgertest.NewID()
	unknown.Subject = &id
	early, dollars := s.event("C -300 r1"), s.event("A -300 r2")
	dollars.Amount.Currency = "EUR"
	for _, e := range []checkout.PaymentEvent{unknown, early, dollars} {
		if r, err := s.ApplyEvent(ctx, e, window); err != nil || r.Result != checkout.PaymentUnmatched {
			t.Fatal(r.Result, err)
		}
	}
	reused := s.event("Y 1000")
	reused.EventID = unknown.EventID
	for range 2 {
		if _, err := s.ApplyEvent(ctx, reused, window); checkout.CodeOf(err) != checkout.CodeEventIDReused {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"evt_bad", unknown.EventID} { // the second was read later
		if err := s.RejectEvent(ctx, checkout.RejectedEvent{
			Provider: checkout.ProviderStandard, EventID: id, Type: "payment.succeeded", Detail: "data.amount: expected a number", Digest: sha256.Sum256(nil),
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := env.Admin.ExecContext(ctx, "DROP PROCEDURE "+ledger.InstalledName("settle_order")); err != nil {
		t.Fatal(err)
	}
	stored := s.event("D 1000")
	if r, err := s.ApplyEvent(ctx, stored, window); err != nil || r.Result != checkout.PaymentStored {
		t.Fatal(r.Result, err)
	}

	for state, want := range map[ledger.EventState][]string{
		ledger.EventUnmatched: {
			dollars.EventID + ": it is in another currency than its payment, or its refund belongs to another payment, 1 delivery, retried",
			early.EventID + ": no success of its payment has arrived, 1 delivery, retried",
			unknown.EventID + ": no hold and no order has this id, 1 delivery, retried",
		},
		ledger.EventStored:     {stored.EventID + ": applying it failed; the sweep tries again, 1 delivery, retried"},
		ledger.EventUnreadable: {"evt_bad: data.amount: expected a number, 1 delivery, with a last time"},
		ledger.EventReused:     {unknown.EventID + ": another event with this id was received before, 2 delivery, with a last time"},
	} {
		list, err := env.Events(ctx, state, 10)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range list.Entries {
			text := fmt.Sprintf("%s: %s, %d delivery", e.EventID, e.Detail, e.Deliveries)
			if e.RetryAt != nil {
				text += ", retried"
			}
			if e.LastAt != nil {
				text += ", with a last time"
			}
			got = append(got, text)
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") || list.Total != int64(len(want)) {
			t.Errorf("%s: got %d in all\n%s\nexpected\n%s", state, list.Total, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if list, err := env.Events(ctx, ledger.EventUnmatched, 2); err != nil || len(list.Entries) != 2 || list.More() != 1 {
		t.Errorf("a limit of 2: got %d entries, %d more, %v, expected 2 and 1 more", len(list.Entries), list.More(), err)
	}
	if _, err := env.Events(ctx, "strange", 2); checkout.CodeOf(err) != checkout.CodeInvalidRequest {
		t.Errorf("an unknown state: got %v, expected invalid_request", err)
	}
}

func TestPaymentsFindsEachProvidersPayment(t *testing.T) {
	t.Parallel()
	env, ctx := ledgertest.New(t), context.Background()
	s := newPurse(t, env, 5, true)
	stripe := s.event("A 1000")
	stripe.Provider = checkout.ProviderStripe
	if _, err := s.ApplyEvent(ctx, stripe, window); err != nil {
		t.Fatal(err)
	}
	s.applyAll(t, "A 1000")
	if result := s.apply(t, "B -1 r1"); result != checkout.PaymentUnmatched { // a refund before its success
		t.Fatal(result)
	}
	both, err := env.Payments(ctx, s.product+"A")
	if err != nil || len(both) != 2 || both[0].Provider != checkout.ProviderStandard || both[1].Provider != checkout.ProviderStripe || !both[1].Settles || both[0].Owed != 1000 {
		t.Errorf("got %+v %v, expected a payment of each provider", both, err)
	}
	if none, err := env.Payments(ctx, s.product+"B"); err != nil || len(none) > 0 {
		t.Errorf("got %+v %v, expected no payment before its success", none, err)
	}
}
