package checkout_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"flashsale/pkg/checkout"
)

// fakeView is a stock view with one prepared lookup.
type fakeView struct {
	checkout.StockView
	found checkout.Lookup
	err   error
}

func (v fakeView) Lookup(context.Context, string, *checkout.IdempotencyKey) (checkout.Lookup, error) {
	return v.found, v.err
}

func (fakeView) Put(context.Context, checkout.Product, *checkout.IdempotencyKey) {}

// fakeLedger refuses every hold as sold out, never saw a key, and has one stored event.
type fakeLedger struct {
	checkout.Ledger
	wakes   bool             // the event that is delivered wakes the stored one
	retried *int             // how often the stored event was applied
	order   checkout.Receipt // the state after that
}

func (fakeLedger) PlaceHold(context.Context, checkout.HoldRequest) (checkout.Receipt, error) {
	return checkout.Receipt{}, checkout.SoldOut(0)
}

func (fakeLedger) KeyUsed(context.Context, checkout.IdempotencyKey) (bool, error) { return false, nil }

func (fakeLedger) DueProducts(context.Context, int) ([]string, error) { return nil, nil }

func (fakeLedger) WaitingEvents(context.Context, int) ([]checkout.EventRef, error) {
	return []checkout.EventRef{{Provider: checkout.ProviderStandard, EventID: "evt_stored"}}, nil
}

func (l fakeLedger) EventsWaitingFor(ctx context.Context, _ checkout.ID) ([]checkout.EventRef, error) {
	return l.WaitingEvents(ctx, 1)
}

func (l fakeLedger) RetryEvent(context.Context, checkout.EventRef, time.Duration) (checkout.PaymentReceipt, error) {
	*l.retried++
	return checkout.PaymentReceipt{Receipt: l.order, Result: checkout.PaymentApplied}, nil
}

func (l fakeLedger) ApplyEvent(context.Context, checkout.PaymentEvent, time.Duration) (checkout.PaymentReceipt, error) {
	return checkout.PaymentReceipt{
		Receipt: checkout.Receipt{Order: &checkout.Order{Status: checkout.OrderPaid}}, Result: checkout.PaymentApplied, Wakes: l.wakes,
	}, nil
}

// counts records how often each metric was counted, by "name/label/label".
type counts map[string]float64

func (c counts) Record(m *checkout.Metric, value float64, labels ...string) {
	c[strings.Join(append([]string{m.Name}, labels...), "/")] += value
}

func newID() (checkout.ID, error) { return checkout.ID{1}, nil }

// The label "gate" promises that the refusal cost no database call.
func TestRefusalsByGateCostNoDatabaseCall(t *testing.T) {
	t.Parallel()
	soldOut := checkout.Product{ID: "p", Stock: 1, SoldStock: 1, MaxQtyPerHold: 5}
	key := &checkout.IdempotencyKey{1}
	for name, c := range map[string]struct {
		view fakeView
		key  *checkout.IdempotencyKey
		want string
	}{
		"cache hit":                      {fakeView{found: checkout.Lookup{Product: soldOut}}, nil, "sold_out/gate"},
		"cache miss":                     {fakeView{found: checkout.Lookup{Product: soldOut, FromLedger: true}}, nil, "sold_out/ledger"},
		"cache hit, key proven unused":   {fakeView{found: checkout.Lookup{Product: soldOut, KeyUnused: true}}, key, "sold_out/gate"},
		"cache hit, key looked up":       {fakeView{found: checkout.Lookup{Product: soldOut}}, key, "sold_out/ledger"},
		"product unknown to the ledger":  {fakeView{err: checkout.ErrProductNotFound}, nil, "product_not_found/ledger"},
		"the ledger sold out meanwhile":  {fakeView{found: checkout.Lookup{Product: checkout.Product{ID: "p", Stock: 1, MaxQtyPerHold: 5}}}, nil, "sold_out/ledger"},
		"view unavailable, ledger asked": {fakeView{err: checkout.Busy(context.DeadlineExceeded)}, nil, "sold_out/ledger"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			counted := counts{}
			s := checkout.Service{Ledger: fakeLedger{}, View: c.view, Recorder: counted, NewID: newID}
			if _, _, err := s.PlaceHold(t.Context(), "p", 1, c.key); checkout.CodeOf(err) == "" {
				t.Fatalf("PlaceHold returned %v, expected a refusal", err)
			}
			if counted["holds_refused_total/"+c.want] != 1 || len(counted) != 1 {
				t.Errorf("counted %v, expected one holds_refused_total/%s", counted, c.want)
			}
		})
	}
}

// webhook_events_total counts deliveries. A retry by the sweep is not a delivery.
func TestSweepRetriesAreNoDeliveries(t *testing.T) {
	t.Parallel()
	counted, retried := counts{}, 0
	s := checkout.Service{Ledger: fakeLedger{retried: &retried}, View: fakeView{}, Recorder: counted, NewID: newID}
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	const metric = "webhook_events_total/standard/applied"
	if counted["sweep_runs_total/ok"] != 1 || counted[metric] != 0 || retried != 1 {
		t.Errorf("a sweep counted %v and retried %d events, expected one sweep, no delivery and 1", counted, retried)
	}
	if _, err := s.ApplyEvent(t.Context(), checkout.PaymentEvent{Provider: checkout.ProviderStandard}); err != nil {
		t.Fatal(err)
	}
	if counted[metric] != 1 || retried != 1 {
		t.Errorf("one delivery counted %v and retried %d events, expected 1 and none besides the sweep's", counted[metric], retried)
	}
}

// An event that others waited for applies them at once, and the response has the state after all of them.
func TestEventWakesTheOnesThatWaitedForIt(t *testing.T) {
	t.Parallel()
	retried := 0
	refunded := checkout.Receipt{Order: &checkout.Order{Status: checkout.OrderRefunded}}
	s := checkout.Service{
		Ledger: fakeLedger{wakes: true, retried: &retried, order: refunded}, View: fakeView{}, Recorder: checkout.NoRecorder{}, NewID: newID,
	}
	receipt, err := s.ApplyEvent(t.Context(), checkout.PaymentEvent{Provider: checkout.ProviderStandard})
	if err != nil || retried != 1 || receipt.Order.Status != checkout.OrderRefunded {
		t.Errorf("got %+v (%v) and %d retries, expected the refunded order after 1", receipt, err, retried)
	}
}
