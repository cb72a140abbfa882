package ledger_test

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

func begin(t *testing.T, env *ledgertest.Env) *sql.Tx {
	t.Helper()
	tx, err := env.Admin.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

// exec runs a statement. Binary arguments travel as hexadecimal: MySQL cannot list its processes while a statement has other bytes.
func exec(t *testing.T, tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}, query string, args ...any,
) {
	t.Helper()
	parts, texts := strings.Split(query, "?"), []any{}
	for i, arg := range args {
		if b, ok := arg.([]byte); ok {
			parts[i] += "x'" + hex.EncodeToString(b) + "'"
			continue
		}
		parts[i] += "?"
		texts = append(texts, arg)
	}
	if _, err := tx.ExecContext(context.Background(), strings.Join(parts, ""), texts...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// waitForLockWait waits until a call in the schema waits for a lock, and returns its connection's id.
func waitForLockWait(t *testing.T, env *ledgertest.Env) (connection int64) {
	t.Helper()
	return waitForLockWaits(t, env, 1)[0]
}

// waitForLockWaits waits until n calls in the schema wait for locks, and returns their connections' ids.
func waitForLockWaits(t *testing.T, env *ledgertest.Env, n int) (connections []int64) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if connections = env.LockWaits(t); len(connections) == n {
			return connections
		}
	}
	t.Fatalf("%d calls wait for locks, expected %d", len(connections), n)
	return nil
}

func TestDeadlockIsRetriedAndCounted(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	env.MustPut(t, "hot", 5)
	// The other transaction has locked the product and will want the hold. It has changed so much more that InnoDB
	// rolls back the routine.
	other := begin(t, env)
	exec(t, other, "SELECT id FROM products WHERE id = 'hot' FOR UPDATE")
	for i := range 100 {
		exec(t, other, `INSERT INTO products (id, name, price_amount, currency, stock, max_qty_per_hold, created_at, updated_at)
			VALUES (?, 'weight', 1, 'USD', 1, 1, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))`, fmt.Sprintf("weight-%d", i))
	}
	id := ledgertest.NewID()
	placed := make(chan error, 1)
	go func() {
		_, err := env.PlaceHold(context.Background(), checkout.HoldRequest{ID: id, ProductID: "hot", Qty: 1, TTL: ttl})
		placed <- err
	}()
	waitForLockWait(t, env) // the call has inserted the hold and waits for the product
	exec(t, other, "SELECT id FROM holds WHERE id = ? FOR UPDATE", id[:])
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-placed; err != nil {
		t.Fatal(err)
	}
	if n := env.Counts.Of("ledger_retries_total/1213"); n < 1 {
		t.Errorf("%v retries after a deadlock were counted, expected at least 1", n)
	}
	if p, err := env.Product(context.Background(), "hot"); err != nil || p.ReservedStock != 1 {
		t.Errorf("the product is %+v (%v), expected 1 reserved unit", p, err)
	}
	env.MustAudit(t)
}

func TestLockHeldTooLongIsBusy(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	env.MustPut(t, "hot", 5)
	other := begin(t, env)
	exec(t, other, "SELECT id FROM products WHERE id = 'hot' FOR UPDATE")
	start := time.Now()
	_, err := env.PlaceHold(context.Background(), checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: "hot", Qty: 1, TTL: ttl})
	if checkout.CodeOf(err) != checkout.CodeBusy {
		t.Errorf("got %v, expected busy", err)
	}
	if took := time.Since(start); took > 20*time.Second { // the server's limit is 3 s, that of the call 8 s
		t.Errorf("busy came after %s, expected it after the server's lock wait timeout", took)
	}
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	if audit := env.MustAudit(t); audit.Holds != 0 { // no part of the hold may remain
		t.Errorf("%d holds are left, expected none", audit.Holds)
	}
	// The connection that waited works again.
	if _, err := env.PlaceHold(context.Background(), checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: "hot", Qty: 5, TTL: ttl}); err != nil {
		t.Error(err)
	}
}

// TestLostResponse cuts the connection between the server's COMMIT and its response. The retry, with the same id, must
// find the hold that the first try placed.
func TestLostResponse(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	env.MustPut(t, "hot", 5)
	accounts, err := ledger.AccountsOf(env.AdminDSN)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := mysql.ParseDSN(accounts.DSN(ledger.RoleApp))
	if err != nil {
		t.Fatal(err)
	}
	proxy := newProxy(t, cfg.Addr)
	cfg.Addr = proxy.addr
	counts := &ledgertest.Counts{}
	l, err := ledger.Open(cfg.FormatDSN(), counts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })

	proxy.cutResponseTo("CALL place_hold")
	id := ledgertest.NewID()
	receipt, err := l.PlaceHold(context.Background(), checkout.HoldRequest{ID: id, ProductID: "hot", Qty: 2, TTL: ttl})
	if err != nil || receipt.Hold.ID != id || receipt.Repeated {
		t.Fatalf("the retry returned %+v (%v), expected the hold of the first try", receipt, err)
	}
	if counts.Of("ledger_retries_total/lost") != 1 {
		t.Error("the response was not lost, so this test proves nothing")
	}
	if receipt.Product.ReservedStock != 2 {
		t.Errorf("%d units are reserved, expected 2", receipt.Product.ReservedStock)
	}
	env.MustAudit(t)
}

func TestApplicationUserCannotChangeStock(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	env.MustPut(t, "hot", 5)
	accounts, err := ledger.AccountsOf(env.AdminDSN)
	if err != nil {
		t.Fatal(err)
	}
	app, err := sql.Open("mysql", accounts.DSN(ledger.RoleApp))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = app.Close() })
	for _, statement := range []string{
		"UPDATE products SET sold_stock = 1", "INSERT INTO holds (id) VALUES ('x')", "DELETE FROM orders",
		"DROP TABLE payment_events", "DROP PROCEDURE place_hold", "CREATE TABLE t (i INT)", "CREATE USER eve",
	} {
		_, err := app.ExecContext(context.Background(), statement)
		var refused *mysql.MySQLError
		if !errors.As(err, &refused) || (refused.Number != 1142 && refused.Number != 1370 && refused.Number != 1227 && refused.Number != 1044) {
			t.Errorf("%s: %v, want it refused", statement, err)
		}
	}
}

func TestMigrateIsIdempotent(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	env.MustPut(t, "kept", 5)
	created := func() (at string) {
		err := env.Admin.QueryRowContext(context.Background(),
			"SELECT GROUP_CONCAT(created ORDER BY routine_name) FROM information_schema.routines WHERE routine_schema = DATABASE()").Scan(&at)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	exec(t, env.Admin, "DROP PROCEDURE "+ledger.InstalledName("place_hold"))
	before := created()
	errs := make(chan error)
	for range 3 {
		go func() { errs <- ledger.Migrate(context.Background(), env.AdminDSN) }()
	}
	for range 3 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if _, err := env.PlaceHold(context.Background(), checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: "kept", Qty: 5, TTL: ttl}); err != nil {
		t.Error(err)
	}
	after := created()
	exec(t, env.Admin, "SET @unused = 1")
	if err := ledger.Migrate(context.Background(), env.AdminDSN); err != nil || created() != after || before == after {
		t.Errorf("routines were made anew without need, or not made: %v", err)
	}
	env.MustAudit(t)
}

// TestAuditFindsDrift damages a ledger in every way that the audit claims to find.
func TestAuditFindsDrift(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		states []checkout.Trigger // triggers that prepare the stage
		damage []string           // ? is the stage's id
	}{
		"reserved_stock_drift":       {nil, []string{"UPDATE products SET reserved_stock = 1 WHERE ? <> ''"}},
		"sold_stock_drift":           {nil, []string{"UPDATE products SET sold_stock = 1 WHERE ? <> ''"}},
		"oversold":                   {nil, []string{"ALTER TABLE products DROP CONSTRAINT products_never_oversold", "UPDATE products SET stock = 1 WHERE ? <> ''"}},
		"keyed_holds_drift":          {nil, []string{"UPDATE products SET keyed_holds = 1 WHERE ? <> ''"}},
		"hold_without_product":       {nil, []string{"DELETE FROM products WHERE ? <> ''"}},
		"ordered_hold_without_order": {[]checkout.Trigger{checkout.OnOrder}, []string{"DELETE FROM orders WHERE id = ?"}},
		"order_of_active_hold":       {[]checkout.Trigger{checkout.OnOrder}, []string{"UPDATE holds SET status = 'active' WHERE id = ?"}},
		"order_differs_from_hold":    {[]checkout.Trigger{checkout.OnOrder}, []string{"UPDATE orders SET amount = 1 WHERE id = ?"}},
		"status_differs_from_money": {[]checkout.Trigger{checkout.OnOrder}, []string{
			"ALTER TABLE orders DROP CONSTRAINT orders_stock_fits_status", "UPDATE orders SET stock = 'none' WHERE id = ?",
		}},
		"payment_differs_from_events": {[]checkout.Trigger{onSucceeded}, []string{"DELETE FROM payment_events WHERE subject_id = ?"}},
		"reserved_despite_payment":    {[]checkout.Trigger{onSucceeded}, []string{"UPDATE orders SET status = 'pending_payment', stock = 'reserved' WHERE id = ?"}},
		"payment_owed":                {[]checkout.Trigger{onMismatched}, nil},
		"overdue":                     {nil, []string{"UPDATE holds SET created_at = created_at - INTERVAL 10 MINUTE, expires_at = expires_at - INTERVAL 10 MINUTE WHERE id = ?"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := ledgertest.New(t)
			s := newStage(t, env, 5)
			for _, on := range c.states {
				s.fire(t, on)
			}
			env.MustAudit(t)
			for _, statement := range c.damage {
				if statement[:5] == "ALTER" {
					exec(t, env.Admin, statement)
				} else {
					exec(t, env.Admin, statement, s.id[:])
				}
			}
			audit, err := env.Audit(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range append(audit.Broken, audit.Attention...) {
				if f.Check == name {
					return
				}
			}
			t.Errorf("the audit is %+v, expected the damage among its findings", audit)
		})
	}
}

// TestFailureLeavesNothingHalfDone uses a CHECK to fail the last step of each routine, the update of the product's
// counters. The earlier steps must be undone, and no lock may remain.
func TestFailureLeavesNothingHalfDone(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	ctx := context.Background()
	for name, call := range map[string]func(*stage) error{
		"release_hold": func(s *stage) error { _, err := s.ReleaseHold(ctx, checkout.Caller{}, s.id); return err },
		"cancel_order": func(s *stage) error { _, err := s.CancelOrder(ctx, checkout.Caller{}, s.id); return err },
		"apply_event": func(s *stage) error {
			receipt, err := s.ApplyEvent(ctx, s.event(onSucceeded), window)
			if err != nil || receipt.Result != checkout.PaymentStored {
				t.Errorf("ApplyEvent returned %+v (%v), expected the event stored", receipt, err)
			}
			return receipt.Cause
		},
		"expire_due": func(s *stage) error {
			s.age(t, s.id)
			_, err := s.ExpireDue(ctx, s.product, checkout.DueBatch{Holds: 10, Orders: 10})
			return err
		},
	} {
		s := newStage(t, env, 5)
		if name == "cancel_order" {
			s.fire(t, checkout.OnOrder)
		}
		exec(t, env.Admin, "UPDATE products SET reserved_stock = 0 WHERE id = ?", s.product)
		if err := call(s); err == nil || checkout.CodeOf(err) != "" {
			t.Errorf("%s: %v, want an internal error", name, err)
		}
		hold, order := "active", 0
		if name == "cancel_order" {
			hold, order = "ordered", 1
		}
		look := begin(t, env)
		var gotHold string
		var gotOrder int
		if err := look.QueryRowContext(ctx, "SELECT status FROM holds WHERE id = ? FOR UPDATE NOWAIT", s.id[:]).Scan(&gotHold); err != nil {
			t.Errorf("%s: a lock is left behind: %v", name, err)
		}
		if err := look.QueryRowContext(ctx, "SELECT COUNT(*) FROM orders WHERE id = ? AND status = 'pending_payment'", s.id[:]).Scan(&gotOrder); err != nil {
			t.Error(err)
		}
		if gotHold != hold || gotOrder != order {
			t.Errorf("%s: the hold is %s, %d orders wait; want %s, %d", name, gotHold, gotOrder, hold, order)
		}
		if err := look.Rollback(); err != nil {
			t.Error(err)
		}
	}
}

// A success that cannot be applied is stored. Once the counters are repaired, the sweep applies it.
func TestStoredEventIsAppliedAfterARepair(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	s := newStage(t, env, 5)
	s.fire(t, checkout.OnOrder)
	exec(t, env.Admin, "UPDATE products SET reserved_stock = 0 WHERE id = ?", s.product)
	e := s.event(onSucceeded)
	for range 2 { // the provider may send it again before that
		if receipt, err := env.ApplyEvent(t.Context(), e, window); err != nil || receipt.Result != checkout.PaymentStored || receipt.Cause == nil {
			t.Fatalf("ApplyEvent returned %+v (%v), expected the event stored, with a cause", receipt, err)
		}
	}
	due := func() []checkout.EventRef {
		t.Helper()
		exec(t, env.Admin, "UPDATE payment_events SET retry_at = UTC_TIMESTAMP(6) WHERE retry_at IS NOT NULL")
		events, err := env.WaitingEvents(t.Context(), 10)
		if err != nil || len(events) != 1 {
			t.Fatalf("the events to retry are %v (%v), expected one", events, err)
		}
		return events
	}
	if _, err := env.RetryEvent(t.Context(), due()[0], window); err == nil {
		t.Fatal("a retry succeeded before the repair")
	}
	if events, err := env.WaitingEvents(t.Context(), 10); err != nil || len(events) != 0 {
		t.Errorf("after a failed retry %v (%v) are due at once, expected a postponed retry", events, err)
	}
	exec(t, env.Admin, "UPDATE products SET reserved_stock = 2 WHERE id = ?", s.product)
	receipt, err := env.RetryEvent(t.Context(), due()[0], window)
	if err != nil || receipt.Result != checkout.PaymentApplied || receipt.Order.Status != checkout.OrderPaid {
		t.Errorf("the retry returned %+v (%v), expected applied and paid", receipt, err)
	}
	env.MustAudit(t)
}
