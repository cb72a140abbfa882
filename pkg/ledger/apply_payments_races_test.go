package ledger_test

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// untilKept delivers an event as a provider does that repeats it until it is stored and decided.
func untilKept(ctx context.Context, l *ledger.Ledger, e checkout.PaymentEvent) (checkout.PaymentReceipt, error) {
	for {
		r, err := l.ApplyEvent(ctx, e, window)
		if err == nil && r.Result != checkout.PaymentStored || err != nil && checkout.CodeOf(err) != checkout.CodeBusy {
			return r, err
		}
	}
}

// Two processes get every event at the same instant, each a success of a hold in another state, beside calls and events that
// change the hold. Each event has its effect once, whichever call it shares.
func TestTwoProcessesApplyInBatches(t *testing.T) {
	t.Parallel()
	s := &stage{Env: ledgertest.New(t), product: "p"}
	s.MustPut(t, s.product, 10_000)
	processes := []*ledger.Ledger{s.Ledger, secondProcess(t, s.Env)}
	events := held(t, s.Env, s.product, 12*kindsOfRivals, nil)
	rivals := rivalsOf(t, s, processes[1], events)
	for range 10 {
		rivals = append(rivals, func() error {
			_, err := s.ExpireDue(context.Background(), s.product, checkout.DueBatch{Holds: 100, Orders: 100})
			return err
		})
	}
	locked := begin(t, s.Env)
	exec(t, locked, "SELECT id FROM products WHERE id = ? FOR UPDATE", s.product)
	var next atomic.Int64
	var applied, again sync.Map
	done := make(chan struct{})
	go func() {
		defer close(done)
		together(2*len(events)+len(rivals), func() {
			i := int(next.Add(1)) - 1
			if i >= 2*len(events) {
				for { // a client repeats a busy request; a refusal means that the event came first
					if err := rivals[i-2*len(events)](); checkout.CodeOf(err) != checkout.CodeBusy {
						return
					}
				}
			}
			e := events[i/2]
			r, err := untilKept(context.Background(), processes[i%2], e)
			if err != nil {
				t.Errorf("event %d: %v", i/2, err)
			}
			if r.Result != checkout.PaymentApplied {
				again.Store(e.EventID, r.Result)
			} else if _, twice := applied.LoadOrStore(e.EventID, true); twice {
				t.Errorf("event %d took effect twice", i/2)
			}
		})
	}()
	for len(s.LockWaits(t)) == 0 { // the first of many
		time.Sleep(time.Millisecond)
	}
	if err := locked.Rollback(); err != nil {
		t.Fatal(err)
	}
	<-done
	for i, e := range events {
		// A first try whose response was lost leaves two duplicates.
		if result, _ := again.Load(e.EventID); result != checkout.PaymentDuplicate {
			_, one := applied.Load(e.EventID)
			t.Errorf("event %d was applied %t, and then %v, expected a duplicate", i, one, result)
		}
		if i%kindsOfRivals <= 1 {
			if o, err := s.Order(t.Context(), checkout.Caller{}, *e.Subject); err != nil || o.Status != checkout.OrderPaid {
				t.Errorf("the order of event %d is %+v (%v), expected it paid", i, o, err)
			}
		}
	}
	calls := func(outcome string) float64 {
		return s.Counts.Of(checkout.LedgerCalls.Name + "/apply_payments/" + outcome)
	}
	if calls("applied")+calls("apart")+calls("single") == 0 {
		t.Error("no events were sent together")
	}
	t.Logf("batches: %v applied, %v apart, %v single; %v deadlocks", calls("applied"), calls("apart"), calls("single"), s.Counts.Of(checkout.LedgerRetries.Name+"/1213"))
	s.MustAudit(t)
}

const kindsOfRivals = 8

// rivalsOf brings the holds of the events into as many states, and returns the calls and the events that may change them meanwhile.
// Those of the first two states have none.
func rivalsOf(t *testing.T, s *stage, process *ledger.Ledger, events []checkout.PaymentEvent) (rivals []func() error) {
	t.Helper()
	ctx := context.Background()
	rival := func(e checkout.PaymentEvent) func() error {
		return func() error { _, err := untilKept(ctx, process, e); return err }
	}
	for i := range events {
		e := &events[i]
		other := *e
		other.EventID += "_other"
		switch i % kindsOfRivals {
		case 1:
			order(t, s, e)
		case 2:
			e.Amount.Amount += int64(i%3) - 1 // the right one, too
		case 3:
			s.age(t, *e.Subject)
		case 4:
			order(t, s, e)
			rivals = append(rivals, func() error { _, err := s.CancelOrder(ctx, checkout.Caller{}, *e.Subject); return err })
		case 5:
			rivals = append(rivals,
				func() error { _, err := s.ReleaseHold(ctx, checkout.Caller{}, *e.Subject); return err },
				func() error {
					_, err := process.CreateOrder(ctx, checkout.Caller{}, *e.Subject, checkout.OrderTerms{Window: window})
					return err
				})
		case 6:
			other.Kind, other.Type, other.RefundID, other.Amount.Amount = checkout.PaymentRefunded, "payment.refunded", other.EventID, 1
			rivals = append(rivals, rival(other))
		case 7:
			order(t, s, e)
			other.Kind, other.Type, other.Amount, other.PaymentID = checkout.PaymentFailed, "payment.failed", checkout.Money{}, "another"
			rivals = append(rivals, rival(other))
		}
	}
	return rivals
}

// Two batches with the same events, in another order, wait for each other without a deadlock. Each event has its effect once.
func TestBatchesOfTheSamePayments(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	env.MustPut(t, "p", 100_000)
	for range ledgertest.Thorough(5, 20) {
		events := held(t, env, "p", 60, nil)
		backwards := make([]checkout.PaymentEvent, len(events))
		for i, e := range events {
			backwards[len(events)-1-i] = e
		}
		var once sync.Map
		var next atomic.Int64
		together(2, func() {
			batch := [][]checkout.PaymentEvent{events, backwards}[next.Add(1)-1]
			for i, a := range env.ApplyTogether(context.Background(), "p", batch, window) {
				if _, twice := once.LoadOrStore(batch[i].EventID+string(a.Receipt.Result), true); a.Err != nil || twice {
					t.Errorf("an event in two batches: %v, %s a second time", a.Err, a.Receipt.Result)
				}
			}
		})
	}
	if n := env.Counts.Of(checkout.LedgerRetries.Name + "/1213"); n > 0 {
		t.Errorf("%v calls ended in a deadlock", n)
	}
	env.MustAudit(t)
}

// Ids that differ in case only are in one order in all batches, however they arrive. Otherwise two batches could deadlock.
func TestBatchOrdersIDsByTheirBytes(t *testing.T) {
	t.Parallel()
	for table, insert := range map[string]string{
		"payment_events": `INSERT INTO payment_events (provider, event_id, type, kind, subject_id, payment_id, payload_digest, result, received_at, settled_at, retry_at)
			VALUES ('standard', 'ID', 'payment.failed', 'failed', NULL, '', REPEAT('a', 32), 'ignored', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), NULL)`,
		"payments": "INSERT INTO payments (provider, payment_id, created_at, updated_at) VALUES ('standard', 'ID', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))",
	} {
		for _, ids := range [][]string{{"id", "ID"}, {"ID", "id"}} {
			env := ledgertest.New(t)
			env.MustPut(t, "p", 100)
			events := held(t, env, "p", 2, nil)
			for i, id := range ids {
				events[i].EventID, events[i].PaymentID = id, id
			}
			locked := begin(t, env)
			exec(t, locked, insert)
			done := make(chan struct{})
			go func() {
				defer close(done)
				env.ApplyTogether(context.Background(), "p", events, window)
			}()
			for len(env.LockWaits(t)) == 0 {
				time.Sleep(time.Millisecond)
			}
			dirty, err := env.Admin.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelReadUncommitted})
			if err != nil {
				t.Fatal(err)
			}
			var early int
			column := map[string]string{"payment_events": "event_id", "payments": "payment_id"}[table]
			if err := dirty.QueryRow("SELECT COUNT(*) FROM " + table + " WHERE provider = 'standard' AND " + column + " = 'id'").Scan(&early); err != nil || early > 0 {
				t.Errorf("%s: a batch of %q wrote id before it waited for ID (%v)", table, ids, err)
			}
			if err := errors.Join(dirty.Rollback(), locked.Rollback()); err != nil {
				t.Fatal(err)
			}
			<-done
			env.MustAudit(t)
		}
	}
}

// A hold or an order that another call has locked delays its own event only. An event of the hold that is not committed yet delays
// nothing.
func TestBatchSkipsLockedRows(t *testing.T) {
	t.Parallel()
	for name, query := range map[string]string{
		"hold":  "SELECT id FROM holds WHERE id = ? FOR UPDATE",
		"order": "SELECT id FROM orders WHERE id = ? FOR UPDATE",
		"event": `INSERT INTO payment_events (provider, event_id, type, kind, subject_id, payment_id, payload_digest, result, received_at, settled_at, retry_at)
			VALUES ('standard', 'uncommitted', 'payment.failed', 'failed', ?, '', REPEAT('a', 32), 'ignored', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), NULL)`,
	} {
		s := &stage{Env: ledgertest.New(t), product: "p"}
		s.MustPut(t, s.product, 100)
		events := held(t, s.Env, s.product, 5, nil)
		for i := range events {
			order(t, s, &events[i])
		}
		locked := begin(t, s.Env)
		exec(t, locked, query, events[2].Subject[:])
		want := times(5, "shared applied")
		if name != "event" {
			want[2] = "alone applied"
		}
		var applied []ledger.Applied
		done := make(chan struct{})
		go func() {
			defer close(done)
			applied = s.ApplyTogether(context.Background(), s.product, events, window)
		}()
		for paid, giveUp := 0, time.Now().Add(time.Minute); paid < len(events)-strings.Count(strings.Join(want, " "), "alone"); {
			if err := s.Admin.QueryRow("SELECT COUNT(*) FROM orders WHERE status = 'paid'").Scan(&paid); err != nil || time.Now().After(giveUp) {
				t.Fatalf("%s: %d orders are paid while a row is locked (%v), expected those that do not need it", name, paid, err)
			}
		}
		if err := locked.Rollback(); err != nil {
			t.Fatal(err)
		}
		<-done
		if got := results(applied); !slices.Equal(got, want) {
			t.Errorf("%s: the events are %q, expected %q", name, got, want)
		}
		s.MustAudit(t)
	}
}

// A process that did not place the holds looks their product up, and then its payments share calls, too. Each event is delivered
// once, so it cannot know the product from an earlier delivery.
func TestPaymentsOfAnotherProcessesHoldsShareCalls(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	env.MustPut(t, "p", 1_000_000)
	other := secondProcess(t, env)
	giveUp := time.Now().Add(30 * time.Second)
	for env.Counts.Of(checkout.LedgerCalls.Name+"/apply_payments/applied") == 0 {
		if time.Now().After(giveUp) {
			t.Fatal("no payments share a call")
		}
		events := held(t, env, "p", 40, nil)
		var next atomic.Int64
		together(len(events), func() {
			if r, err := other.ApplyEvent(context.Background(), events[next.Add(1)-1], window); err != nil || r.Result != checkout.PaymentApplied {
				t.Errorf("an event got %+v (%v), expected applied", r, err)
			}
		})
	}
	env.MustAudit(t)
}
