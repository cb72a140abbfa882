package ledger_test

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/uuid"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// crowd is a ledger with two products. Two holds and an order of the product "locked" are due, all of its stock is taken, and
// the product "free" has stock.
type crowd struct {
	*ledgertest.Env
	held, due, ordered, other checkout.ID // other: an order of the product free
	waits                     checkout.PaymentEvent
}

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	env := ledgertest.New(t)
	c := &crowd{Env: env, held: ledgertest.NewID(), due: ledgertest.NewID(), ordered: ledgertest.NewID(), other: ledgertest.NewID()}
	env.MustPut(t, "locked", 4)
	env.MustPut(t, "free", 100)
	c.mustPlace(t, "locked", c.held)
	for _, id := range []checkout.ID{c.due, c.ordered, ledgertest.NewID()} {
		c.mustPlace(t, "locked", id)
	}
	c.mustPlace(t, "free", c.other)
	for _, id := range []checkout.ID{c.ordered, c.other} {
		if _, err := env.CreateOrder(t.Context(), checkout.Caller{}, id, checkout.OrderTerms{Window: window}); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, env.Admin, "UPDATE holds SET created_at = created_at - INTERVAL 10 MINUTE, expires_at = expires_at - INTERVAL 10 MINUTE WHERE product_id = 'locked' AND status = 'active' AND id <> ?", c.held[:])
	exec(t, env.Admin, "UPDATE orders SET pay_by = UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE WHERE id = ?", c.ordered[:])
	unknown := ledgertest.NewID()
	c.waits = (&stage{Env: env, product: "free", id: unknown}).event(onSucceeded)
	if r, err := env.ApplyEvent(t.Context(), c.waits, window); err != nil || r.Result != checkout.PaymentUnmatched {
		t.Fatalf("the event of an unknown order got %+v (%v), expected unmatched", r, err)
	}
	return c
}

func (c *crowd) mustPlace(t *testing.T, product string, id checkout.ID) {
	t.Helper()
	if _, err := c.PlaceHold(context.Background(), checkout.HoldRequest{ID: id, ProductID: product, Qty: 1, TTL: ttl}); err != nil {
		t.Fatalf("a hold of %s: %v", product, err)
	}
}

// placeBatch places two holds of the locked product in one call. One of them may not fit.
func (c *crowd) placeBatch() error {
	for _, placed := range c.PlaceTogether(context.Background(), requests(2, "locked", nil)) {
		if placed.Err != nil && checkout.CodeOf(placed.Err) != checkout.CodeSoldOut {
			return placed.Err
		}
	}
	if calls(c.Env, "place_holds/placed")+calls(c.Env, "place_holds/partly") != 1 {
		return errors.New("the shared call failed, and its holds went alone")
	}
	return nil
}

// lock changes one row and does not commit until unlock, which takes the change back. The change is of an indexed column: so
// the index entries are locked too, as they are in a routine.
func (c *crowd) lock(t *testing.T, change string, args ...any) (unlock func()) {
	t.Helper()
	tx, err := c.Admin.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	changed, err := tx.ExecContext(t.Context(), "UPDATE "+change, args...)
	if err != nil {
		t.Fatalf("%s: %v", change, err)
	}
	if n, err := changed.RowsAffected(); err != nil || n != 1 {
		t.Fatalf("%s changed %d rows (%v), expected one", change, n, err)
	}
	return func() {
		if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
			t.Error(err)
		}
	}
}

// What does not need a locked row goes on: no call waits for the lock until it times out.
func TestLockedRowDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	type call struct {
		name string
		do   func(*crowd) error
	}
	place := func(product string) func(*crowd) error {
		return func(c *crowd) error {
			_, err := c.PlaceHold(context.Background(), checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: product, Qty: 1, TTL: ttl})
			return err
		}
	}
	read := func(product string) func(*crowd) error {
		return func(c *crowd) error { _, err := c.Product(context.Background(), product); return err }
	}
	sweep := func(product string) func(*crowd) error {
		return func(c *crowd) error {
			_, err := c.ExpireDue(context.Background(), product, checkout.DueBatch{Holds: 10, Orders: 10})
			return err
		}
	}
	everybody := []call{
		{"a read of the product", read("locked")},
		{"a read of another product", read("free")},
		{"a list of products", func(c *crowd) error { _, err := c.Products(context.Background(), "", 10); return err }},
		{"a read of the hold", func(c *crowd) error { _, err := c.Hold(context.Background(), checkout.Caller{}, c.due); return err }},
		{"a read of the order", func(c *crowd) error {
			_, err := c.Order(context.Background(), checkout.Caller{}, c.ordered)
			return err
		}},
		{"a hold of another product", place("free")},
		{"a sweep of another product", sweep("free")},
		{"the list of due products", func(c *crowd) error { _, err := c.DueProducts(context.Background(), 10); return err }},
		{"the list of waiting events", func(c *crowd) error { _, err := c.WaitingEvents(context.Background(), 10); return err }},
		{"an order of a hold", func(c *crowd) error {
			_, err := c.CreateOrder(context.Background(), checkout.Caller{}, c.held, checkout.OrderTerms{Window: window})
			return err
		}},
		{"a payment of another order", func(c *crowd) error {
			_, err := c.ApplyEvent(context.Background(), (&stage{Env: c.Env, product: "free", id: c.other}).event(onSucceeded), window)
			return err
		}},
		{"a change of another product", func(c *crowd) error {
			stock := int64(200)
			_, _, err := c.PutProduct(context.Background(), checkout.ProductChange{ID: "free", Stock: &stock})
			return err
		}},
		{"the audit", func(c *crowd) error { _, err := c.Audit(context.Background()); return err }},
	}
	ofProduct := []call{{"a hold of its product, of what else is due", place("locked")}, {"a batch of its holds", (*crowd).placeBatch}, {"a sweep of its product", sweep("locked")}}
	for name, tc := range map[string]struct {
		lock  func(*testing.T, *crowd) func()
		calls []call
	}{
		"product": {func(t *testing.T, c *crowd) func() {
			return c.lock(t, "products SET version = version + 1 WHERE id = 'locked'")
		}, everybody},
		"hold": {func(t *testing.T, c *crowd) func() {
			return c.lock(t, "holds SET expires_at = expires_at + INTERVAL 1 SECOND WHERE id = UNHEX(?)", hex.EncodeToString(c.due[:]))
		}, append(everybody, ofProduct...)},
		"order": {func(t *testing.T, c *crowd) func() {
			return c.lock(t, "orders SET pay_by = pay_by + INTERVAL 1 SECOND WHERE id = UNHEX(?)", hex.EncodeToString(c.ordered[:]))
		}, append(everybody, ofProduct...)},
		"event": {func(t *testing.T, c *crowd) func() {
			return c.lock(t, "payment_events SET retry_at = retry_at + INTERVAL 1 SECOND WHERE provider = ? AND event_id = ?", c.waits.Provider, c.waits.EventID)
		}, append(everybody, ofProduct...)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t)
			unlock := tc.lock(t, c)
			for _, call := range tc.calls {
				if err := call.do(c); err != nil {
					t.Errorf("while the %s is locked, %s returned %v", name, call.name, err)
				}
			}
			unlock()
			c.MustAudit(t)
		})
	}
}

// Calls that wait for a locked product leave connections to the holds, orders and payments of other products.
func TestLockedProductLeavesConnections(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c.MustPut(t, "locked", 100) // so that each hold needs the row
	paid := (&stage{Env: c.Env, product: "locked", id: c.held}).event(onSucceeded)
	paid.PaymentID = "pay_locked"
	if r, err := c.ApplyEvent(t.Context(), paid, window); err != nil || r.Result != checkout.PaymentApplied {
		t.Fatal(r, err)
	}
	unlockOrder := c.lock(t, "holds SET expires_at = expires_at + INTERVAL 1 SECOND WHERE id = UNHEX(?)", hex.EncodeToString(c.held[:]))
	defer unlockOrder()
	unlock := c.lock(t, "products SET version = version + 1 WHERE id = 'locked'")
	var returned atomic.Int64
	var wg sync.WaitGroup
	for range 40 {
		for _, do := range []func(){
			func() {
				_, _ = c.PlaceHold(context.Background(), checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: "locked", Qty: 1, TTL: ttl})
				returned.Add(1)
			},
			func() {
				s := &stage{Env: c.Env, product: "locked", id: c.held}
				_, _ = c.ApplyEvent(context.Background(), s.event(onSecond), window)
			},
			func() { _, _ = c.CancelOrder(context.Background(), checkout.Caller{}, c.ordered) },
			func() { // a refund that names its payment only
				e := checkout.PaymentEvent{
					Provider: checkout.ProviderStandard, EventID: uuid.NewString(), Type: "payment.refunded", Kind: checkout.PaymentRefunded,
					PaymentID: "pay_locked", RefundID: uuid.NewString(), Amount: checkout.Money{Amount: 1, Currency: "USD"},
				}
				_, _ = c.ApplyEvent(context.Background(), e, window)
			},
		} {
			wg.Go(do)
		}
	}
	c.mustPlace(t, "free", ledgertest.NewID())
	if _, err := c.CancelOrder(t.Context(), checkout.Caller{}, c.other); err != nil {
		t.Errorf("the order of another product: %v", err)
	}
	if n := returned.Load(); n > 0 {
		t.Errorf("%d holds of the locked product returned before the calls of another product", n)
	}
	unlock()
	wg.Wait()
}

// MySQL runs no handler when a call is killed, and leaves its transaction open. Here the retry needs what that transaction has
// locked: the hold's id. The connection is closed.
func TestKilledCallIsRetriedWithoutItsLocks(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	unlock := c.lock(t, "products SET version = version + 1 WHERE id = 'free'")
	placed := make(chan error, 1)
	go func() {
		_, err := c.PlaceHold(context.Background(), checkout.HoldRequest{
			ID: ledgertest.NewID(), ProductID: "free", Qty: 1, TTL: ttl, Price: &checkout.Money{Amount: 4999, Currency: "USD"},
		})
		placed <- err
	}()
	id := waitForLockWait(t, c.Env)
	exec(t, c.Admin, "KILL QUERY ?", id)
	unlock()
	if err := <-placed; err != nil {
		t.Errorf("the retry of a killed call: %v", err)
	}
	for deadline, open := time.Now().Add(10*time.Second), 1; open > 0; {
		err := c.Admin.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.processlist WHERE id = ?", id).Scan(&open)
		if err != nil && !ledgertest.Unlisted(err) {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatal("the connection of the killed call is still open")
		}
		time.Sleep(10 * time.Millisecond) // the server notices a closed connection a little later
	}
	c.MustAudit(t)
}

// Whatever is killed beside them, calls succeed or are busy.
func TestKilledCallsAreNeverErrors(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	env.MustPut(t, "hot", 1_000_000)
	accounts, err := ledger.AccountsOf(env.AdminDSN)
	if err != nil {
		t.Fatal(err)
	}
	user, err := mysql.ParseDSN(accounts.DSN(ledger.RoleApp))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	var killed atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-ended:
				return
			default:
			}
			var id int64
			if env.Admin.QueryRow("SELECT id FROM information_schema.processlist WHERE user = ? AND command <> 'Sleep' LIMIT 1", user.User).Scan(&id) == nil {
				if _, err := env.Admin.Exec("KILL QUERY ?", id); err == nil {
					killed.Add(1)
				}
			}
		}
	})
	var placed atomic.Int64
	var callers sync.WaitGroup
	deadline := time.Now().Add(ledgertest.Thorough(3*time.Second, 10*time.Second))
	for range 8 {
		callers.Go(func() {
			for time.Now().Before(deadline) || killed.Load() < 20 {
				_, err := env.PlaceHold(context.Background(), checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: "hot", Qty: 1, TTL: ttl})
				switch {
				case err == nil:
					placed.Add(1)
				case checkout.CodeOf(err) != checkout.CodeBusy:
					t.Errorf("a hold beside killed calls returned %v, expected success or busy", err)
					return
				}
			}
		})
	}
	callers.Wait()
	close(ended)
	wg.Wait()
	t.Logf("%d queries killed, %d holds placed", killed.Load(), placed.Load())
	if p := env.MustAudit(t); p.Holds < placed.Load() {
		t.Errorf("%d holds exist, expected at least the %d that were placed", p.Holds, placed.Load())
	}
}
