package checkout_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"flashsale/pkg/checkout"
)

// fakeView is a stock view with one prepared lookup.
type fakeView struct {
	checkout.StockView
	found checkout.Lookup
	err   error
	again bool
}

func (v fakeView) Lookup(context.Context, string, *checkout.IdempotencyKey) (checkout.Lookup, error) {
	return v.found, v.err
}

func (v fakeView) AskAgain(context.Context, string) bool { return v.again }

func (fakeView) Put(context.Context, checkout.Product, *checkout.IdempotencyKey) {}

// fakeLedger refuses every hold as sold out, never saw a key, and has stored events.
type fakeLedger struct {
	checkout.Ledger
	due, waiting []checkout.EventRef // due for a retry; waiting for the order
	wakes        bool                // whether applying an event wakes others
	failing      string              // the event that cannot be applied
	retried      *[]string           // ids of the events that were applied again
}

func (fakeLedger) PlaceHold(context.Context, checkout.HoldRequest) (checkout.Receipt, error) {
	return checkout.Receipt{}, checkout.SoldOut(0, 0)
}

func (fakeLedger) KeyUsed(context.Context, checkout.IdempotencyKey) (bool, error) { return false, nil }

func (fakeLedger) DueProducts(context.Context, int) ([]string, error) { return nil, nil }

func (l fakeLedger) WaitingEvents(context.Context, int) ([]checkout.EventRef, error) {
	return l.due, nil
}

func (l fakeLedger) EventsWaitingFor(context.Context, checkout.ID) ([]checkout.EventRef, error) {
	return l.waiting, nil
}

// retrying protects the list of retried events: several are retried at a time.
var retrying sync.Mutex

func (l fakeLedger) RetryEvent(_ context.Context, e checkout.EventRef, _ time.Duration) (checkout.PaymentReceipt, error) {
	retrying.Lock()
	defer retrying.Unlock()
	*l.retried = append(*l.retried, e.EventID)
	if e.EventID == l.failing {
		return checkout.PaymentReceipt{}, errors.New("it fails again")
	}
	return checkout.PaymentReceipt{
		Receipt: checkout.Receipt{Order: &checkout.Order{Status: checkout.OrderRefunded}}, Result: checkout.PaymentApplied, Wakes: l.wakes,
	}, nil
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
		"sold out, units may be due":     {fakeView{found: checkout.Lookup{Product: checkout.Product{ID: "p", Stock: 1, ReservedStock: 1, MaxQtyPerHold: 5}}, again: true}, nil, "sold_out/ledger"},
		"sold out, asked just before":    {fakeView{found: checkout.Lookup{Product: checkout.Product{ID: "p", Stock: 1, ReservedStock: 1, MaxQtyPerHold: 5}}}, nil, "sold_out/gate"},
		"all sold":                       {fakeView{found: checkout.Lookup{Product: soldOut}, again: true}, nil, "sold_out/gate"},
		"product unknown to the ledger":  {fakeView{found: checkout.Lookup{FromLedger: true}, err: checkout.ErrProductNotFound}, nil, "product_not_found/ledger"},
		"product unknown to the cache":   {fakeView{err: checkout.ErrProductNotFound}, nil, "product_not_found/gate"},
		"the ledger sold out meanwhile":  {fakeView{found: checkout.Lookup{Product: checkout.Product{ID: "p", Stock: 1, MaxQtyPerHold: 5}}}, nil, "sold_out/ledger"},
		"view unavailable, ledger asked": {fakeView{err: checkout.Busy(context.DeadlineExceeded)}, nil, "sold_out/ledger"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			counted := counts{}
			s := checkout.Service{Ledger: fakeLedger{}, View: c.view, Recorder: counted, NewID: newID}
			if _, _, err := s.PlaceHold(t.Context(), checkout.Shopper{}, "p", 1, c.key); checkout.CodeOf(err) == "" {
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
	counted, retried := counts{}, []string{}
	s := checkout.Service{
		Ledger: fakeLedger{due: []checkout.EventRef{{Provider: checkout.ProviderStandard, EventID: "stored"}}, retried: &retried},
		View:   fakeView{}, Recorder: counted, NewID: newID,
	}
	if err := errors.Join(s.Sweep(t.Context()), s.RetryEvents(t.Context())); err != nil {
		t.Fatal(err)
	}
	const metric = "webhook_events_total/standard/applied"
	if len(retried) != 1 || counted["sweep_runs_total/ok"] != 1 || counted[metric] != 0 {
		t.Errorf("a sweep retried %v and counted %v, expected one retry, one sweep and no delivery", retried, counted)
	}
	if _, err := s.ApplyEvent(t.Context(), checkout.PaymentEvent{Provider: checkout.ProviderStandard}); err != nil {
		t.Fatal(err)
	}
	if counted[metric] != 1 {
		t.Errorf("one delivery counted %v, expected 1", counted[metric])
	}
}

// An event that fails again does not keep the others waiting, and is reported.
func TestRetryGoesOnAfterAFailedEvent(t *testing.T) {
	t.Parallel()
	retried := []string{}
	l := fakeLedger{due: []checkout.EventRef{{EventID: "bad"}, {EventID: "good"}}, failing: "bad", retried: &retried}
	s := checkout.Service{Ledger: l, View: fakeView{}, Recorder: counts{}, NewID: newID}
	if err := s.RetryEvents(t.Context()); err == nil {
		t.Error("RetryEvents reports no failure")
	}
	slices.Sort(retried)
	if !slices.Equal(retried, []string{"bad", "good"}) {
		t.Errorf("bad and good were to be retried, got %v", retried)
	}
}

// A success applies what waited for it, such as a refund that came first. The caller gets the order's latest state.
func TestApplyEventWakesWaitingEvents(t *testing.T) {
	t.Parallel()
	for _, wakes := range []bool{false, true} {
		retried := []string{}
		l := fakeLedger{waiting: []checkout.EventRef{{EventID: "refund"}}, wakes: wakes, retried: &retried}
		s := checkout.Service{Ledger: l, View: fakeView{}, Recorder: counts{}, NewID: newID}
		receipt, err := s.ApplyEvent(t.Context(), checkout.PaymentEvent{Provider: checkout.ProviderStandard})
		if err != nil {
			t.Fatal(err)
		}
		want := checkout.OrderPaid
		if wakes {
			want = checkout.OrderRefunded
		}
		if (len(retried) == 1) != wakes || receipt.Order.Status != want {
			t.Errorf("wakes %t: retried %v, the order is %s, expected %s", wakes, retried, receipt.Order.Status, want)
		}
	}
}
