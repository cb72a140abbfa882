package ledger_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// received lists all events after a place, page by page.
func received(t *testing.T, env *ledgertest.Env, after ledger.EventMark, page int) (ids []string) {
	t.Helper()
	for {
		list, err := env.ReceivedEvents(context.Background(), &after, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Entries {
			ids, after = append(ids, e.EventID), e.Mark()
		}
		if len(list.Entries) < page {
			return ids
		}
	}
}

// Pages of any size list each event once, in the order of arrival, also those of one moment.
func TestReceivedEventsListsEachOnce(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	ctx := context.Background()
	start, err := env.ReceivedEvents(ctx, nil, 10)
	if err != nil || len(start.Entries) > 0 || time.Since(start.AsOf).Abs() > time.Minute {
		t.Fatalf("without a place: got %+v, %v, expected no event and the time", start, err)
	}
	var want []string
	for i, provider := range []string{checkout.ProviderStripe, checkout.ProviderStandard, checkout.ProviderStandard, checkout.ProviderStripe, checkout.ProviderStandard} {
		id := fmt.Sprintf("evt_%d", i)
		subject := ledgertest.NewID()
		e := checkout.PaymentEvent{
			Provider: provider, EventID: id, Type: "payment.succeeded", Kind: checkout.PaymentSucceeded, Subject: &subject, PaymentID: "pay_" + id,
			Amount: checkout.Money{Amount: 4999, Currency: "USD"},
		}
		for range 2 { // a repeated delivery is no new event
			if _, err := env.ApplyEvent(ctx, e, window); err != nil {
				t.Fatal(err)
			}
		}
		want = append(want, id)
	}
	first, err := env.ReceivedEvents(ctx, &ledger.EventMark{ReceivedAt: start.AsOf}, 1)
	if err != nil || len(first.Entries) != 1 {
		t.Fatalf("got %+v, %v, expected the first event", first, err)
	}
	if e := first.Entries[0]; e.Provider != checkout.ProviderStripe || e.Kind != checkout.PaymentSucceeded || e.OrderID == "" || e.PaymentID != "pay_evt_0" ||
		*e.Amount != (checkout.Money{Amount: 4999, Currency: "USD"}) || e.Result != checkout.PaymentUnmatched {
		t.Errorf("the first event is %+v, expected what it said and that it is unmatched", e)
	}
	if _, err := env.Admin.ExecContext(ctx, "UPDATE payment_events SET received_at = (SELECT at FROM (SELECT MAX(received_at) AS at FROM payment_events) latest) WHERE event_id <> 'evt_0'"); err != nil {
		t.Fatal(err)
	}
	want = []string{want[0], want[1], want[2], want[4], want[3]} // those of one moment by their provider
	for page := 1; page <= 6; page++ {
		if got := received(t, env, ledger.EventMark{ReceivedAt: start.AsOf}, page); !slices.Equal(got, want) {
			t.Errorf("pages of %d list %v, expected %v", page, got, want)
		}
	}
	if got := received(t, env, ledger.EventMark{ReceivedAt: start.AsOf.Add(time.Hour)}, 10); got != nil {
		t.Errorf("after the last event: got %v, expected none", got)
	}
}

// A list reads the index from its place on: the rows that it reads do not grow with the events before.
func TestReceivedEventsReadsNoHistory(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	ctx := context.Background()
	env.MustPut(t, "a", 1)
	env.MustPut(t, "b", 1)
	oldRows(t, env, 8_000)
	start, err := env.ReceivedEvents(ctx, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		e := checkout.PaymentEvent{Provider: checkout.ProviderStandard, EventID: fmt.Sprintf("evt_%d", i), Type: "invoice.paid", Kind: checkout.PaymentOther}
		if _, err := env.ApplyEvent(ctx, e, window); err != nil {
			t.Fatal(err)
		}
	}
	l, reads := countReads(t, env)
	mark := &ledger.EventMark{ReceivedAt: start.AsOf}
	if _, err := l.ReceivedEvents(ctx, mark, 100); err != nil { // opens the table
		t.Fatal(err)
	}
	before := reads()
	list, err := l.ReceivedEvents(ctx, mark, 100)
	if n := reads() - before; err != nil || len(list.Entries) != 3 || n > 100 {
		t.Errorf("listing %d events, %v, read %d rows, expected 3 events and at most 100 of more than 1,000 rows", len(list.Entries), err, n)
	}
}
