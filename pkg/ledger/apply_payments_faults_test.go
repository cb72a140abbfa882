package ledger_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// payers hold and pay, each as soon as its last event is decided, until a condition.
type payers struct {
	*ledgertest.Env
	processes []*ledger.Ledger
	hung      atomic.Pointer[time.Time]
	mu        sync.Mutex
	paid      []checkout.ID
	took      []time.Duration // of the events that were sent after hung
	running   sync.WaitGroup
}

func (p *payers) start(t *testing.T, callers int, goOn func() bool) {
	for i := range callers {
		p.running.Go(func() {
			l := p.processes[i%len(p.processes)]
			for goOn() {
				r := request("hot")
				if _, err := untilDecided(l, r); err != nil {
					t.Errorf("a hold: %v", err)
					return
				}
				start := time.Now()
				receipt, err := untilKept(context.Background(), l, success(r.ID, 1))
				if err != nil || receipt.Result != checkout.PaymentApplied && receipt.Result != checkout.PaymentDuplicate || receipt.Order.Status != checkout.OrderPaid {
					t.Errorf("a payment got %+v (%v), expected a paid order", receipt, err)
					return
				}
				p.mu.Lock()
				p.paid = append(p.paid, r.ID)
				if hung := p.hung.Load(); hung != nil && start.After(*hung) {
					p.took = append(p.took, time.Since(start))
				}
				p.mu.Unlock()
			}
		})
	}
}

// count returns how many orders are paid.
func (p *payers) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.paid)
}

// Connections and queries are killed in the middle of batches of payments. Every event that got a 2xx has its effect, once.
func TestKilledBatchesOfPaymentsLoseNothing(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	env.MustPut(t, "hot", 10_000_000)
	p := &payers{Env: env, processes: []*ledger.Ledger{env.Ledger, secondProcess(t, env)}}
	var killed atomic.Int64
	stopKilling := killBatches(t, env, "apply_payments", &killed)
	deadline := time.Now().Add(ledgertest.Thorough(3*time.Second, 10*time.Second))
	giveUp := time.Now().Add(2 * time.Minute)
	p.start(t, 64, func() bool {
		return time.Now().Before(deadline) || killed.Load() < 20 && time.Now().Before(giveUp) && !t.Failed()
	})
	p.running.Wait()
	stopKilling()
	if killed.Load() < 20 {
		t.Fatalf("only %d batches were killed, expected at least 20", killed.Load())
	}
	var sold int
	if err := env.Admin.QueryRow("SELECT COUNT(*) FROM orders WHERE status = 'paid' AND stock = 'sold'").Scan(&sold); err != nil || sold != len(p.paid) {
		t.Errorf("%d orders are paid (%v), expected the %d that callers know of", sold, err, len(p.paid))
	}
	t.Logf("%d batches killed, %d orders paid", killed.Load(), sold)
	env.MustAudit(t)
}

// A batch of payments on a connection that is frozen delays its own events until they go alone, and no others.
func TestPaymentsBesideAStuckBatch(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	env.MustPut(t, "hot", 10_000_000)
	f := &freezer{routine: "apply_payments", frozen: make(chan struct{})}
	p := &payers{Env: env, processes: []*ledger.Ledger{f.open(t, env)}}
	var stopped atomic.Bool
	p.start(t, 64, func() bool { return !stopped.Load() })
	waitFor := func(n int) {
		for until, deadline := p.count()+n, time.Now().Add(time.Minute); p.count() < until; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) || t.Failed() {
				t.Errorf("%d orders are paid, expected %d", p.count(), until)
				break
			}
		}
	}
	waitFor(100)
	f.freeze.Store(true)
	<-f.frozen
	hung := time.Now()
	p.hung.Store(&hung)
	waitFor(300)
	stopped.Store(true)
	p.running.Wait()
	slices.Sort(p.took)
	t.Logf("beside the stuck batch, %d events took: p50 %v, p99 %v, at most %v", len(p.took), p.took[len(p.took)/2], p.took[len(p.took)*99/100], p.took[len(p.took)-1])
	if audit := env.MustAudit(t); audit.Orders != int64(len(p.paid)) {
		t.Errorf("%d orders are stored, expected the %d that were paid", audit.Orders, len(p.paid))
	}
}

// An event or a payment of another call that commits after the batch has looked ends the batch: each event goes alone.
func TestBatchFindsRowsThatCommitMeanwhile(t *testing.T) {
	t.Parallel()
	for want, tc := range map[string]struct {
		insert string
		id     func(e checkout.PaymentEvent) string
	}{
		"event_id_reused": {`INSERT INTO payment_events (provider, event_id, type, kind, subject_id, payment_id, payload_digest, result, received_at, settled_at, retry_at)
			VALUES ('standard', ?, 'payment.failed', 'failed', NULL, '', REPEAT('a', 32), 'ignored', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), NULL)`,
			func(e checkout.PaymentEvent) string { return e.EventID }},
		"alone unmatched": {`INSERT INTO payments (provider, payment_id, order_id, currency, received, created_at, updated_at)
			VALUES ('standard', ?, REPEAT('b', 16), 'USD', 1, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))`,
			func(e checkout.PaymentEvent) string { return e.PaymentID }},
	} {
		env := ledgertest.New(t)
		env.MustPut(t, "p", 100)
		events := held(t, env, "p", 4, nil)
		other := begin(t, env)
		exec(t, other, tc.insert, tc.id(events[2]))
		var applied []ledger.Applied
		done := make(chan struct{})
		go func() {
			defer close(done)
			applied = env.ApplyTogether(context.Background(), "p", events, window)
		}()
		for len(env.LockWaits(t)) == 0 {
			time.Sleep(time.Millisecond)
		}
		if err := other.Commit(); err != nil {
			t.Fatal(err)
		}
		<-done
		if got, all := results(applied), []string{"alone applied", "alone applied", want, "alone applied"}; !slices.Equal(got, all) {
			t.Errorf("the events are %q, expected %q", got, all)
		}
	}
}

// A batch that fails for good leaves each event to a call of its own.
func TestPaymentsOfAFailedBatchGoAlone(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	env.MustPut(t, "p", 100)
	events := held(t, env, "p", 4, nil)
	other := begin(t, env) // for longer than the batch waits for a lock
	exec(t, other, `INSERT INTO payment_events (provider, event_id, type, kind, payment_id, payload_digest, result, received_at)
		VALUES ('standard', ?, '', 'other', '', REPEAT('a', 32), 'unmatched', UTC_TIMESTAMP(6))`, events[3].EventID)
	var applied []ledger.Applied
	done := make(chan struct{})
	go func() {
		defer close(done)
		applied = env.ApplyTogether(context.Background(), "p", events, window)
	}()
	for paid, giveUp := 0, time.Now().Add(time.Minute); paid < 3; time.Sleep(time.Millisecond) {
		if err := env.Admin.QueryRow("SELECT COUNT(*) FROM orders WHERE status = 'paid'").Scan(&paid); err != nil || time.Now().After(giveUp) {
			t.Fatalf("%d orders are paid (%v), expected 3", paid, err)
		}
	}
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	<-done
	if got := results(applied)[:3]; !slices.Equal(got, times(3, "alone applied")) {
		t.Errorf("the events are %q, expected them alone", got)
	}
	if n := env.Counts.Of(checkout.LedgerCalls.Name + "/apply_payments/busy"); n != 1 {
		t.Errorf("%v batches gave up, expected 1", n)
	}
	env.MustAudit(t)
}
