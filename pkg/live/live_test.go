package live

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// operator sells one mug. Its fields may be set before the page runs.
type operator struct {
	overviews atomic.Int32
	inside    atomic.Int32
	most      atomic.Int32
	slow      time.Duration
	err       func(call int32) error

	mu     sync.Mutex
	asked  []string
	change checkout.ProductChange
	refuse error
}

var mug = checkout.Product{ID: "mug", Name: "Mug", Price: checkout.Money{Amount: 500, Currency: "USD"}, Stock: 10, ReservedStock: 5, SoldStock: 1, MaxQtyPerHold: 2}

func (o *operator) Overview(ctx context.Context) (ledger.Overview, error) {
	o.most.Store(max(o.most.Load(), o.inside.Add(1)))
	defer o.inside.Add(-1)
	call := o.overviews.Add(1)
	if o.slow > 0 {
		select {
		case <-time.After(o.slow):
		case <-ctx.Done():
			return ledger.Overview{}, ctx.Err()
		}
	}
	if o.err != nil {
		if err := o.err(call); err != nil {
			return ledger.Overview{}, err
		}
	}
	return ledger.Overview{Products: []checkout.Product{mug}, Ordered: map[string]int64{"mug": 2}}, nil
}

func (o *operator) did(what string) (checkout.Product, bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, what)
	return mug, true, o.refuse
}

func (o *operator) PutProduct(_ context.Context, c checkout.ProductChange) (checkout.Product, bool, error) {
	o.change = c
	return o.did("put " + c.ID)
}

func (o *operator) EndSale(_ context.Context, id string) (checkout.Product, bool, error) {
	return o.did("end " + id)
}

func (o *operator) HideProduct(_ context.Context, id string, hidden bool) (checkout.Product, bool, error) {
	return o.did(map[bool]string{true: "hide ", false: "show "}[hidden] + id)
}

// noTraffic measures nothing, or fails.
type noTraffic struct{ err error }

func (n noTraffic) Read(context.Context) (Reading, error) {
	return Reading{Samples: []TrafficSample{{At: time.Now().UnixMilli(), Refusals: map[string]float64{}}}, Broken: new(int64(0))}, n.err
}

func newLive(o *operator, traffic Traffic) (*Live, *bytes.Buffer) {
	log := &bytes.Buffer{}
	return New(Options{
		Title: "test", Operator: o, Traffic: traffic, StockEvery: time.Second, TrafficEvery: time.Second, Logger: slog.New(slog.NewTextHandler(log, nil)),
	}), log
}

// run runs the page for a time of synctest's clock.
func run(t *testing.T, l *Live, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	l.Run(ctx)
}

func TestSamplesOfTheLastTenMinutesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &operator{}
		l, log := newLive(o, noTraffic{})
		run(t, l, 25*time.Minute+time.Millisecond)
		if n := len(l.stock); n != 601 || len(l.traffic) != 601 || l.stock[0].At < time.Now().Add(-kept-time.Second).UnixMilli() {
			t.Errorf("kept %d samples of the stock and %d of the traffic, expected 601 of each", n, len(l.traffic))
		}
		want := StockSample{At: l.stock[600].At, Products: map[string]Units{"mug": {4, 3, 2, 1}}}
		if d := cmp.Diff(want, l.stock[600]); d != "" {
			t.Errorf("expected (-) and latest (+) sample differ:\n%s", d)
		}
		if n := o.overviews.Load(); n != 1501 || log.Len() > 0 {
			t.Errorf("%d calls and the log %s, expected 1501 and nothing", n, log)
		}
	})
}

func TestSlowSourceIsAskedOnceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &operator{slow: 4 * time.Second}
		l, _ := newLive(o, noTraffic{})
		run(t, l, time.Minute)
		if n := o.overviews.Load(); o.most.Load() != 1 || n > 16 {
			t.Errorf("%d calls, %d of them at the same time, expected one at a time and at most 16", n, o.most.Load())
		}
		o = &operator{slow: time.Hour}
		l, log := newLive(o, noTraffic{})
		run(t, l, 4*callTimeout-time.Second)
		if n := o.overviews.Load(); n != 4 || strings.Count(log.String(), "\n") != 1 {
			t.Errorf("%d calls of a source that hangs and the log %s, expected 4 that give up, and one line", n, log)
		}
	})
}

// Before its first figures the page must not say that nothing is owed.
func TestNoFiguresAreNoZeros(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := newLive(&operator{err: func(int32) error { return errors.New("hunter2") }}, noTraffic{})
		run(t, l, time.Minute)
		if l.state == nil || l.state.At != 0 || l.state.Trouble == "" {
			t.Errorf("without figures the state is %+v, expected a trouble and the time 0", l.state)
		}
	})
}

// A failure is shown as one sentence without the cause, and logged when it begins and ends.
func TestTroubleIsShownAndLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var troubles []string
		o := &operator{}
		l, log := newLive(o, noTraffic{err: &Trouble{"No server responds.", errors.New("hunter2")}})
		o.err = func(call int32) error {
			l.mu.Lock()
			if l.state != nil {
				troubles = append(troubles, l.state.Trouble)
			}
			l.mu.Unlock()
			switch {
			case call > 10 && call <= 20:
				return checkout.Busy(errors.New("dial tcp hunter2"))
			case call > 20 && call <= 30:
				return errors.New("hunter2")
			case call > 30 && call <= 40:
				return admin.ErrOldFunction
			}
			return nil
		}
		run(t, l, time.Minute)
		var kinds []string
		for i, trouble := range troubles {
			if i == 0 || i > 1 && trouble != troubles[i-1] { // the first may be before the first read of the traffic
				kinds = append(kinds, trouble)
			}
		}
		const requests = "No server responds."
		want := []string{
			requests, "The database is busy or cannot be reached. " + requests, "The stock and the orders cannot be read; the log has the cause. " + requests,
			"The stack runs an earlier release, which this page cannot read: deploy this release first. " + requests, requests,
		}
		if d := cmp.Diff(want[1:], kinds[1:]); d != "" {
			t.Errorf("expected (-) and shown (+) sentences differ:\n%s", d)
		}
		if n := strings.Count(log.String(), "\n"); n != 5 || strings.Count(log.String(), "hunter2") != 3 {
			t.Errorf("logged %d lines, expected 5 with the causes:\n%s", n, log)
		}
		if len(l.state.Products) != 1 || l.state.Audit.State != auditClean {
			t.Errorf("the state is %+v, expected the mug and a clean audit", l.state)
		}
	})
}

func TestAuditIsUnknownUntilItIsKnown(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(5000)
	findings := make([]ledger.Finding, 7)
	for name, c := range map[string]struct {
		full     int
		broken   *int64
		findings []ledger.Finding
		state    string
		count    int64
		listed   int
	}{
		"nothing known":      {0, nil, nil, auditUnknown, 0, 0},
		"both clean":         {0, new(int64(0)), nil, auditClean, 0, 0},
		"the changes broken": {0, new(int64(7)), findings, auditBroken, 7, maxFindings},
		"the full audit":     {2, nil, nil, auditBroken, 2, 1},
	} {
		a := auditOf(ledger.AuditTimes{ChangesAt: at, FullAt: at, FullBroken: c.full}, c.broken, c.findings)
		if a.State != c.state || a.Broken != c.count || len(a.Findings) != c.listed || *a.FullAt != 5000 || *a.ChangesAt != 5000 {
			t.Errorf("%s: got %+v, expected %s with %d broken and %d sentences", name, a, c.state, c.count, c.listed)
		}
	}
}

func TestMissingServerIsNamedWithoutItsPassword(t *testing.T) {
	t.Parallel()
	_, err := OverHTTP(&url.URL{Scheme: "http", User: url.UserPassword("ada", "hunter2"), Host: "127.0.0.1:1"}).Read(t.Context())
	if err == nil || !strings.Contains(sentenceOf(sourceTraffic, err), "127.0.0.1:1 cannot") || strings.Contains(err.Error()+sentenceOf(sourceTraffic, err), "hunter2") {
		t.Errorf("the error is %v, expected the server without its password", err)
	}
}
