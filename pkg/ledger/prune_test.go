package ledger_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

const retention = 30 * 24 * time.Hour

// age makes every hold, order and event of a schema 31 days older, and lets the marks include them: the ids stay.
func age(t *testing.T, env *ledgertest.Env) {
	t.Helper()
	exec(t, env.Admin, `UPDATE holds SET created_at = created_at - INTERVAL 31 DAY, expires_at = expires_at - INTERVAL 31 DAY, ended_at = ended_at - INTERVAL 31 DAY`)
	exec(t, env.Admin, `UPDATE orders SET created_at = created_at - INTERVAL 31 DAY, updated_at = updated_at - INTERVAL 31 DAY, pay_by = pay_by - INTERVAL 31 DAY`)
	exec(t, env.Admin, `UPDATE payments SET created_at = created_at - INTERVAL 31 DAY, updated_at = updated_at - INTERVAL 31 DAY`)
	exec(t, env.Admin, `UPDATE payment_events SET received_at = received_at - INTERVAL 31 DAY, settled_at = settled_at - INTERVAL 31 DAY`)
	exec(t, env.Admin, `UPDATE rejected_events SET first_at = first_at - INTERVAL 31 DAY, last_at = last_at - INTERVAL 31 DAY`)
	moveMarks(t, env)
}

// moveMarks moves the audit's marks up to now, without their margin.
func moveMarks(t *testing.T, env *ledgertest.Env) {
	t.Helper()
	exec(t, env.Admin, "CALL "+ledger.InstalledName("move_marks")+"(-1000000, 100000)")
}

func prune(t *testing.T, env *ledgertest.Env) ledger.Pruned {
	t.Helper()
	pruned, err := env.Prune(context.Background(), retention, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return pruned
}

// auditBoth fails the test unless the full audit and the audit of the changes are clean.
func auditBoth(t *testing.T, env *ledgertest.Env) ledger.Audit {
	t.Helper()
	changes, err := env.AuditChanges(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range changes.Broken {
		t.Errorf("audit of the changes: %s: %s: %s", f.Check, f.Entity, f.Detail)
	}
	return env.MustAudit(t)
}

// Old holds without an order go, with the counters that count them. Everything else stays.
func TestPruneDeletesOldHoldsWithoutOrder(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	ctx := context.Background()
	const product = "old"
	env.MustPut(t, product, 100)
	hold := func(key string) checkout.ID {
		req := checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: product, Qty: 1, TTL: ttl}
		if key != "" {
			parsed, ok := checkout.ParseIdempotencyKey(key)
			if !ok {
				t.Fatalf("%q is not a key", key)
			}
			req.Key = &parsed
		}
		receipt, err := env.PlaceHold(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		return receipt.Hold.ID
	}
	released, expired, active, ordered, late := hold("key-of-a-released-hold"), hold(""), hold("key-of-an-active-hold"), hold(""), hold("")
	_, err1 := env.ReleaseHold(ctx, checkout.Caller{}, released)
	_, err2 := env.CreateOrder(ctx, checkout.Caller{}, ordered, checkout.OrderTerms{Window: window})
	exec(t, env.Admin, "UPDATE holds SET created_at = created_at - INTERVAL 1 HOUR, expires_at = expires_at - INTERVAL 1 HOUR WHERE id IN (?, ?)", expired[:], late[:])
	_, err3 := env.ExpireDue(ctx, product, checkout.DueBatch{Holds: 10, Orders: 10})
	_, err4 := env.ApplyEvent(ctx, checkout.PaymentEvent{
		Provider: checkout.ProviderStandard, EventID: "evt_late", Type: "payment.succeeded", Kind: checkout.PaymentSucceeded,
		Subject: &late, PaymentID: "late", Amount: checkout.Money{Amount: 4999, Currency: "USD"},
	}, window)
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			t.Fatal(err)
		}
	}
	moveMarks(t, env)
	if pruned := prune(t, env); pruned.Holds+pruned.Events != 0 || pruned.More {
		t.Fatalf("young rows: the pruning did %+v, expected nothing", pruned)
	}
	exec(t, env.Admin, "UPDATE holds SET created_at = created_at - INTERVAL 31 DAY, expires_at = expires_at - INTERVAL 31 DAY, ended_at = ended_at - INTERVAL 31 DAY WHERE id <> ?", active[:])
	before := auditBoth(t, env)
	if pruned := prune(t, env); pruned.Holds != 2 || pruned.More {
		t.Errorf("the pruning did %+v, expected the released and the expired hold deleted", pruned)
	}
	if again := prune(t, env); again.Holds+again.Events != 0 || again.More {
		t.Errorf("the second pruning did %+v, expected nothing", again)
	}
	marksMustAgree(t, env)
	after := auditBoth(t, env)
	if before.Holds-after.Holds != 2 || before.Orders != after.Orders || before.Events != after.Events {
		t.Errorf("before %+v, after %+v, expected two holds fewer and nothing else", before, after)
	}
	for id, there := range map[checkout.ID]bool{released: false, expired: false, active: true, ordered: true, late: true} {
		if _, err := env.Hold(ctx, checkout.Caller{}, id); (err == nil) != there {
			t.Errorf("hold %s: %v, expected it to be there: %v", id.HoldID(), err, there)
		}
	}
	// The key of the deleted hold is free again; that of the other is not.
	again := hold("key-of-a-released-hold")
	if again == released || hold("key-of-an-active-hold") != active {
		t.Errorf("the key of a pruned hold gave %s, and that of an active one another hold", again.HoldID())
	}
	auditBoth(t, env)
}

// marksMustAgree fails the test unless every mark that includes all rows has its product's counters. An audit would mend it.
func marksMustAgree(t *testing.T, env *ledgertest.Env) {
	t.Helper()
	var wrong int
	if err := env.Admin.QueryRowContext(context.Background(), `
		SELECT COUNT(*) FROM products p JOIN audit_marks m ON m.product_id = p.id
		WHERE m.sold_stock <> p.sold_stock OR m.keyed_holds <> p.keyed_holds OR m.holds_sum <> p.holds_sum`).Scan(&wrong); err != nil || wrong != 0 {
		t.Errorf("%d marks differ from their products (%v), expected none", wrong, err)
	}
}

// An event that changed nothing goes. Events of orders stay, and so do those that an operator has to look at.
func TestPruneDeletesOldEventsWithoutEffect(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	ctx := context.Background()
	s := newPurse(t, env, 5, true)
	s.applyAll(t, "A 1000, A x") // the second is ignored, and belongs to an order
	nobody := ledgertest.NewID()
	for id, e := range map[string]checkout.PaymentEvent{
		"evt_other":     {Kind: checkout.PaymentOther, Type: "customer.created"},
		"evt_unmatched": {Kind: checkout.PaymentSucceeded, Type: "payment.succeeded", Subject: &nobody, PaymentID: "pay", Amount: checkout.Money{Amount: 1, Currency: "USD"}},
	} {
		e.Provider, e.EventID = checkout.ProviderStandard, id
		if _, err := env.ApplyEvent(ctx, e, window); err != nil {
			t.Fatal(err)
		}
	}
	if err := env.RejectEvent(ctx, checkout.RejectedEvent{Provider: checkout.ProviderStandard, EventID: "evt_unreadable", Type: "payment.succeeded", Detail: "no amount"}); err != nil {
		t.Fatal(err)
	}
	if pruned := prune(t, env); pruned.Events != 0 {
		t.Errorf("the pruning deleted %d young events, expected none", pruned.Events)
	}
	age(t, env)
	if pruned := prune(t, env); pruned.Events != 2 {
		t.Errorf("the pruning deleted %d events, expected the other one and the unreadable one", pruned.Events)
	}
	if audit := auditBoth(t, env); audit.Events != 3 || audit.Unmatched != 1 {
		t.Errorf("the audit counts %d events, expected those of the order and the unmatched one", audit.Events)
	}
}

// Pruning beside a sale of the same product loses no unit, no hold and no counter.
func TestPruneDuringASale(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	ctx := context.Background()
	const product = "busy"
	old, fresh := ledgertest.Thorough(150, 300), ledgertest.Thorough(50, 100)
	env.MustPut(t, product, 10000)
	place := func(release bool) {
		id := ledgertest.NewID()
		if _, err := env.PlaceHold(ctx, checkout.HoldRequest{ID: id, ProductID: product, Qty: 1, TTL: ttl}); err != nil {
			t.Error(err)
		}
		if release {
			if _, err := env.ReleaseHold(ctx, checkout.Caller{}, id); err != nil {
				t.Error(err)
			}
		} else if _, err := env.CreateOrder(ctx, checkout.Caller{}, id, checkout.OrderTerms{Window: window}); err != nil {
			t.Error(err)
		}
	}
	for range old {
		place(true)
	}
	age(t, env)
	var sale sync.WaitGroup
	for range 4 {
		sale.Go(func() {
			for n := range fresh {
				place(n%2 == 0)
			}
		})
	}
	var pruned atomic.Int64
	for range 2 {
		sale.Go(func() {
			for n := 0; n < 10; n++ {
				p, err := env.Prune(ctx, retention, 50)
				if err != nil {
					t.Error(err)
				}
				pruned.Add(int64(p.Holds))
				if _, err := env.AuditChanges(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	sale.Wait()
	prune(t, env)
	audit := auditBoth(t, env)
	if audit.Holds != int64(4*fresh) || pruned.Load() == 0 {
		t.Errorf("%d holds are left, and the sweepers pruned %d, expected the %d of the sale and some pruned", audit.Holds, pruned.Load(), 4*fresh)
	}
}

// A locked hold is left to a later pruning, and delays neither this one nor the product.
func TestPruneLeavesLockedHolds(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	ctx := context.Background()
	const product = "locked"
	env.MustPut(t, product, 10)
	ids := []checkout.ID{ledgertest.NewID(), ledgertest.NewID()}
	for _, id := range ids {
		if _, err := env.PlaceHold(ctx, checkout.HoldRequest{ID: id, ProductID: product, Qty: 1, TTL: ttl}); err != nil {
			t.Fatal(err)
		}
		if _, err := env.ReleaseHold(ctx, checkout.Caller{}, id); err != nil {
			t.Fatal(err)
		}
	}
	age(t, env)
	tx, err := env.Admin.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(ctx, "SELECT id FROM holds WHERE id = ? FOR UPDATE", ids[0][:]); err != nil {
		t.Fatal(err)
	}
	if pruned := prune(t, env); pruned.Holds != 1 {
		t.Errorf("the pruning deleted %d holds, expected the one that is not locked", pruned.Holds)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if pruned := prune(t, env); pruned.Holds != 1 {
		t.Errorf("the next pruning deleted %d holds, expected the other one", pruned.Holds)
	}
	auditBoth(t, env)
}
