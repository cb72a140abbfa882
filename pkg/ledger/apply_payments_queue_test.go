package ledger

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flashsale/pkg/checkout"
)

// These tests are inside the package because they need the queue of payments without a database.

func usual(n int) delivery {
	at := time.Date(2026, 11, 28, 1, 2, 3, 4, time.UTC)
	return delivery{product: "hot", window: time.Minute, event: checkout.PaymentEvent{
		Provider: checkout.ProviderStandard, EventID: fmt.Sprint("evt", n), Type: "payment.succeeded", Kind: checkout.PaymentSucceeded,
		Subject: &checkout.ID{byte(n >> 8), byte(n)}, PaymentID: fmt.Sprint("pay", n), Amount: checkout.Money{Amount: 4999, Currency: "USD"}, OccurredAt: &at,
	}}
}

// batchesOf sends deliveries, each before the next, while the first call is under way. It returns the ids of the events of each
// batch, and how many went alone.
func batchesOf(t *testing.T, all []delivery) (batches []string, alone int, longest int) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		var mu sync.Mutex
		g := newPaymentGroups(nil)
		g.alone = func(context.Context, delivery) (result, error) {
			mu.Lock()
			alone++
			mu.Unlock()
			time.Sleep(time.Millisecond)
			return result{}, nil
		}
		g.together = func(_ context.Context, _ eventKey, batch []delivery) (s shared[result], _ error) {
			var ids []string
			var rows []byte
			for i := range batch {
				ids = append(ids, batch[i].event.EventID)
				rows = append(appendPayment(rows, &batch[i].event), ',')
			}
			mu.Lock()
			batches, longest = append(batches, strings.Join(ids, " ")), max(longest, len(rows)+strings.Count(string(rows), `"`))
			mu.Unlock()
			return paymentsResult{outcome: "applied"}.shared(batch), nil
		}
		var callers sync.WaitGroup
		for _, d := range all {
			callers.Go(func() { _, _ = g.do(context.Background(), d) })
			synctest.Wait()
		}
		callers.Wait()
	})
	return batches, alone, longest
}

// Two events about one payment or one hold, or the same event twice, would wait for each other, or pay twice.
func TestConflictingPaymentsShareNoBatch(t *testing.T) {
	for name, change := range map[string]func(first, e *checkout.PaymentEvent){
		"event":   func(first, e *checkout.PaymentEvent) { e.EventID = first.EventID },
		"payment": func(first, e *checkout.PaymentEvent) { e.PaymentID = first.PaymentID },
		"hold":    func(first, e *checkout.PaymentEvent) { e.Subject = first.Subject },
	} {
		all := []delivery{usual(1), usual(2), usual(3), usual(4)}
		change(&all[1].event, &all[3].event)
		if batches, alone, _ := batchesOf(t, all); len(batches) != 1 || batches[0] != "evt2 evt3" || alone != 2 {
			t.Errorf("with one %s in two events, batches are %q and %d went alone; expected one of evt2 and evt3, and 2", name, batches, alone)
		}
	}
}

// A batch has one provider, type, currency and time to pay. Events that need a look at more than their hold have no batch.
func TestOnlyUsualPaymentsShareCalls(t *testing.T) {
	year := time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -2*60*60)) // 10000 in UTC
	for name, change := range map[string]func(d *delivery){
		"unknown product":      func(d *delivery) { d.product = "" },
		"product of nobody":    func(d *delivery) { d.product = unknownProduct },
		"another product":      func(d *delivery) { d.product = "cold" },
		"another provider":     func(d *delivery) { d.event.Provider = checkout.ProviderStripe },
		"another type":         func(d *delivery) { d.event.Type = "checkout.session.completed" },
		"another currency":     func(d *delivery) { d.event.Amount.Currency = "EUR" },
		"another time to pay":  func(d *delivery) { d.window = time.Hour },
		"a refund":             func(d *delivery) { d.event.Kind = checkout.PaymentRefunded },
		"no hold":              func(d *delivery) { d.event.Subject = nil },
		"no money":             func(d *delivery) { d.event.Amount.Amount = 0 },
		"no payment":           func(d *delivery) { d.event.PaymentID = "" },
		"a refund's id":        func(d *delivery) { d.event.RefundID = "re_1" },
		"an id with a quote":   func(d *delivery) { d.event.EventID = `evt"` },
		"an id in UTF-8":       func(d *delivery) { d.event.PaymentID = "é" },
		"an id that is long":   func(d *delivery) { d.event.EventID = strings.Repeat("x", 256) },
		"a time without a row": func(d *delivery) { d.event.OccurredAt = &year },
	} {
		all := []delivery{usual(1), usual(2), usual(3), usual(4)}
		change(&all[3])
		if batches, alone, _ := batchesOf(t, all); len(batches) != 1 || batches[0] != "evt2 evt3" || alone != 2 {
			t.Errorf("%s: batches are %q and %d went alone; expected one of evt2 and evt3, and 2", name, batches, alone)
		}
	}
}

// A statement of more than 16 KB would pin a connection of RDS Proxy. The driver escapes the quotes.
func TestBatchOfPaymentsFitsIntoAStatement(t *testing.T) {
	var all []delivery
	for n := range 200 {
		d := usual(n)
		d.event.EventID, d.event.Amount.Amount = fmt.Sprint(n, strings.Repeat("x", 250)), 1<<63-1
		all = append(all, d)
	}
	if batches, _, longest := batchesOf(t, all); len(batches) < 2 || longest > maxBatchBytes || longest < maxBatchBytes*9/10 {
		t.Errorf("%d batches of at most %d bytes, expected a few that almost fill %d", len(batches), longest, maxBatchBytes)
	}
}
