package awsauth_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"

	"flashsale/internal/awstest"
	"flashsale/internal/ledgertest"
	"flashsale/pkg/awsauth"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// proxied has a schema, and a stand-in for RDS Proxy in front of it.
type proxied struct {
	*ledgertest.Env
	account *awstest.Account
	proxy   *awstest.RDSProxy
}

func newProxied(t *testing.T, change func(*awstest.RDSProxyOptions)) proxied {
	t.Helper()
	return proxy(t, ledgertest.New(t), change)
}

func proxy(t *testing.T, e *ledgertest.Env, change func(*awstest.RDSProxyOptions)) proxied {
	t.Helper()
	p := proxied{Env: e, account: awstest.NewAccount()}
	o := awstest.RDSProxyOptions{Account: p.account, Authority: authority, Database: appConfig(t, p.Env).FormatDSN()}
	if change != nil {
		change(&o)
	}
	p.proxy = awstest.StartRDSProxy(t, o)
	return p
}

// config is the configuration of a function's connections.
func (p proxied) config(t *testing.T) *mysql.Config {
	t.Helper()
	app := appConfig(t, p.Env)
	cfg := ledger.ProxyConfig(p.proxy.Addr, app.DBName, app.User)
	if err := awsauth.Database(p.account.Config(), cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func mustOpen(t *testing.T, cfg *mysql.Config) *sql.DB {
	t.Helper()
	db := sql.OpenDB(must(mysql.NewConnector(cfg))(t))
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// proxySale is a sale of one product through the proxy.
type proxySale struct {
	*ledger.Ledger
	ctx                      context.Context //nolint:containedctx // lives as long as the test
	name                     string          // no part of it is SQL
	starts                   time.Time
	key                      checkout.IdempotencyKey
	held, ordered, due, late checkout.ID
}

const proxyProduct = "p-1"

// proxyStep is a call of one method and what it returns.
type proxyStep struct {
	method string
	call   func() (any, error)
	want   any
}

func (s *proxySale) place(id checkout.ID, ttl time.Duration, key *checkout.IdempotencyKey) (checkout.Receipt, error) {
	return s.PlaceHold(s.ctx, checkout.HoldRequest{ID: id, ProductID: proxyProduct, Qty: 2, TTL: ttl, Key: key})
}

func (s *proxySale) success(eventID string, subject checkout.ID) checkout.PaymentEvent {
	return checkout.PaymentEvent{
		Provider: "standard", EventID: eventID, Type: "payment.succeeded", Kind: checkout.PaymentSucceeded, Subject: &subject,
		PaymentID: "pay_1", Amount: checkout.Money{Amount: 2, Currency: "USD"}, Digest: sha256.Sum256([]byte(eventID)), OccurredAt: &s.starts,
	}
}

// shop places, orders and pays.
func (s *proxySale) shop() []proxyStep {
	stock, limit := int64(20), int64(20)
	return []proxyStep{
		{"Check", func() (any, error) { return nil, s.Check(s.ctx) }, nil},
		{"PutProduct", func() (any, error) {
			put, created, err := s.PutProduct(s.ctx, checkout.ProductChange{
				ID: proxyProduct, Name: &s.name, Price: &checkout.Money{Amount: 1, Currency: "USD"}, Stock: &stock, MaxQtyPerHold: &limit,
				SaleStartsAt: &checkout.Moment{At: &s.starts},
			})
			return []any{put.Name, created}, err
		}, []any{s.name, true}},
		{"PlaceHold", func() (any, error) { r, err := s.place(s.held, time.Hour, &s.key); return r.Repeated, err }, false},
		{"PlaceHold", func() (any, error) { r, err := s.place(ledgertest.NewID(), time.Hour, &s.key); return r.Repeated, err }, true},
		{"PlaceHold", func() (any, error) { _, err := s.place(s.ordered, time.Hour, nil); return nil, err }, nil},
		{"PlaceHold", func() (any, error) { _, err := s.place(s.due, time.Millisecond, nil); return nil, err }, nil},
		{"KeyUsed", func() (any, error) { return s.KeyUsed(s.ctx, s.key) }, true},
		{"GrantedKeys", func() (any, error) { return s.GrantedKeys(s.ctx, proxyProduct) }, []checkout.IdempotencyKey{s.key}},
		{"RecentKeys", func() (any, error) { return s.RecentKeys(s.ctx, proxyProduct, checkout.ID{0xff}, 10) }, checkout.RecentKeys{Keys: []checkout.IdempotencyKey{s.key}}},
		{"Hold", func() (any, error) { h, err := s.Hold(s.ctx, checkout.Caller{}, s.held); return h.Status, err }, checkout.HoldActive},
		{"ReleaseHold", func() (any, error) {
			r, err := s.ReleaseHold(s.ctx, checkout.Caller{}, s.held)
			return r.Hold.Status, err
		}, checkout.HoldReleased},
		{"CreateOrder", func() (any, error) {
			r, err := s.CreateOrder(s.ctx, checkout.Caller{}, s.ordered, checkout.OrderTerms{Window: time.Hour})
			return r.Order.Status, err
		}, checkout.OrderPendingPayment},
		{"Order", func() (any, error) { o, err := s.Order(s.ctx, checkout.Caller{}, s.ordered); return o.Qty, err }, int64(2)},
		{"ApplyEvent", func() (any, error) {
			r, err := s.ApplyEvent(s.ctx, s.success("evt_1", s.ordered), time.Hour)
			return []any{r.Result, r.Order.Status}, err
		}, []any{checkout.PaymentApplied, checkout.OrderPaid}},
		{"CancelOrder", func() (any, error) {
			_, err := s.CancelOrder(s.ctx, checkout.Caller{}, s.ordered)
			return checkout.CodeOf(err), nil
		}, checkout.CodeOrderNotCancellable},
		{"DeleteProduct", func() (any, error) { return checkout.CodeOf(s.DeleteProduct(s.ctx, "p-0")), nil }, checkout.CodeProductNotFound},
	}
}

// shoppers lists what a shopper has, and blocks it.
func (s *proxySale) shoppers() []proxyStep {
	shopper := checkout.ShopperOf("https://shop.example.com", s.name)
	latest := checkout.ID{0xff}
	return []proxyStep{
		{"HoldsOf", func() (any, error) { found, err := s.HoldsOf(s.ctx, shopper, latest, 10); return len(found), err }, 0},
		{"OrdersOf", func() (any, error) { found, _, err := s.OrdersOf(s.ctx, shopper, latest, 10); return len(found), err }, 0},
		{"Reservations", func() (any, error) {
			_, err := s.Reservations(s.ctx, ledger.ReservationFilter{ProductID: proxyProduct}, 10)
			return nil, err
		}, nil},
		{"BlockShopper", func() (any, error) { return nil, s.BlockShopper(s.ctx, shopper, true, s.name) }, nil},
		{"Blocked", func() (any, error) { return s.Blocked(s.ctx, shopper) }, true},
		{"BlockedShoppers", func() (any, error) { found, err := s.BlockedShoppers(s.ctx, 10); return found.Total, err }, int64(1)},
	}
}

// money applies events that wait, and records a refund.
func (s *proxySale) money() []proxyStep {
	return []proxyStep{
		{"ApplyEvent", func() (any, error) { // its hold comes later
			r, err := s.ApplyEvent(s.ctx, s.success("evt_2", s.late), time.Hour)
			return r.Result, err
		}, checkout.PaymentUnmatched},
		{"Events", func() (any, error) {
			found, err := s.Events(s.ctx, ledger.EventUnmatched, 10)
			return found.Total, err
		}, int64(1)},
		{"PlaceHold", func() (any, error) { _, err := s.place(s.late, time.Hour, nil); return nil, err }, nil},
		{"WaitingEvents", func() (any, error) { _, err := s.WaitingEvents(s.ctx, 10); return nil, err }, nil},
		{"RetryEvent", func() (any, error) {
			r, err := s.RetryEvent(s.ctx, checkout.EventRef{Provider: "standard", EventID: "evt_2"}, time.Hour)
			return r.Result, err
		}, checkout.PaymentUnmatched}, // its payment id pays another order
		{"EventsWaitingFor", func() (any, error) { found, err := s.EventsWaitingFor(s.ctx, s.late); return len(found), err }, 1},
		{"RejectEvent", func() (any, error) {
			return nil, s.RejectEvent(s.ctx, checkout.RejectedEvent{Provider: "standard", EventID: "evt_3", Detail: s.name})
		}, nil},
		{"RecordRefund", func() (any, error) {
			r, err := s.RecordRefund(s.ctx, checkout.RefundRecord{ID: "record:1", Provider: "standard", PaymentID: "pay_1", Amount: 1, Note: s.name, Operator: s.name})
			return r.Order.Status, err
		}, checkout.OrderPaid},
		{"Payments", func() (any, error) { found, err := s.Payments(s.ctx, "pay_1"); return len(found), err }, 1},
	}
}

// operate lists, sweeps and audits.
func (s *proxySale) operate() []proxyStep {
	return []proxyStep{
		{"Orders", func() (any, error) {
			found, err := s.Orders(s.ctx, ledger.OrderFilter{ProductID: proxyProduct, Since: &s.starts}, 10)
			return found.Total, err
		}, int64(1)},
		{"OrderHistory", func() (any, error) { found, err := s.OrderHistory(s.ctx, s.ordered); return len(found.Refunds), err }, 1},
		{"DueProducts", func() (any, error) { return s.DueProducts(s.ctx, 10) }, []string{proxyProduct}},
		{"ExpireDue", func() (any, error) {
			r, err := s.ExpireDue(s.ctx, proxyProduct, checkout.DueBatch{Holds: 10, Orders: 10})
			return r.Holds, err
		}, 1},
		{"Product", func() (any, error) { r, err := s.Product(s.ctx, proxyProduct); return r.AvailableStock(), err }, int64(16)},
		{"Products", func() (any, error) { found, err := s.Products(s.ctx, "", 10); return len(found), err }, 1},
		{"Owed", func() (any, error) { found, err := s.Owed(s.ctx, 10); return found.Total, err }, int64(0)},
		{"Refund", func() (any, error) { r, err := s.Refund(s.ctx, "standard", "record:1"); return r.Note, err }, s.name},
		{"Audit", func() (any, error) { a, err := s.Audit(s.ctx); return a.Broken, err }, []ledger.Finding{}},
		{"AuditChanges", func() (any, error) { a, err := s.AuditChanges(s.ctx); return a.Broken, err }, []ledger.Finding{}},
		{"RecordAudit", func() (any, error) {
			a, err := s.Audit(s.ctx)
			if err != nil {
				return nil, err
			}
			return nil, s.RecordAudit(s.ctx, a)
		}, nil},
		{"LatestFullAudit", func() (any, error) { at, err := s.LatestFullAudit(s.ctx); return at.IsZero(), err }, false},
		{"Overview", func() (any, error) { o, err := s.Overview(s.ctx); return len(o.Orders), err }, 1},
		{"ReceivedEvents", func() (any, error) {
			found, err := s.ReceivedEvents(s.ctx, &ledger.EventMark{ReceivedAt: s.starts}, 10)
			return len(found.Entries) > 0, err
		}, true},
		{"Prune", func() (any, error) { p, err := s.Prune(s.ctx, time.Hour, 10); return p.Holds, err }, 0},
	}
}

// Every method of the ledger works through a proxy that moves its connections after each statement, and none of them pins
// a connection.
func TestLedgerThroughProxyPinsNothing(t *testing.T) {
	t.Parallel()
	p := newProxied(t, nil)
	sale := &proxySale{
		Ledger: must(ledger.OpenProxy(p.config(t), p.Counts))(t), ctx: context.Background(),
		name: `"Shoes" @'home', SET @a := 1; -- ` + "`é` 👟", starts: time.Now().Add(-time.Hour), key: checkout.IdempotencyKey(sha256.Sum256([]byte("key"))),
		held: ledgertest.NewID(), ordered: ledgertest.NewID(), due: ledgertest.NewID(), late: ledgertest.NewID(),
	}
	t.Cleanup(func() { _ = sale.Close() })
	called := map[string]bool{"Close": true, "Environment": true} // which send nothing
	for _, s := range slices.Concat(sale.shop(), sale.shoppers(), sale.money(), sale.operate()) {
		got, err := s.call()
		if err != nil {
			t.Fatalf("%s: %v", s.method, err)
		}
		if d := cmp.Diff(s.want, got); d != "" {
			t.Errorf("%s: want (-), got (+):\n%s", s.method, d)
		}
		called[s.method] = true
	}
	for m := range reflect.TypeFor[*ledger.Ledger]().Methods() {
		if !called[m.Name] {
			t.Errorf("%s was not called", m.Name)
		}
	}
	p.mustSpread(t)
}

// mustSpread fails the test if something was refused or pinned, or if statements did not move between database
// connections.
func (p proxied) mustSpread(t *testing.T) {
	t.Helper()
	if pins, refusals := p.proxy.Pins(), p.proxy.Refusals(); len(pins)+len(refusals) > 0 {
		t.Errorf("pinned %q and refused %q, expected neither", pins, refusals)
	}
	commands, connections := p.proxy.Served()
	if connections < 3 {
		t.Errorf("expected several database connections, got %d", connections)
	}
	t.Logf("%d commands of %d clients over %d connections of the database", commands, len(p.proxy.Logins()), connections)
}

// A rush through the proxy: the guarantees of a hot row do not depend on which connection a call gets.
func TestRaceThroughProxyNeverOversells(t *testing.T) {
	t.Parallel()
	p := newProxied(t, nil)
	p.MustPut(t, "hot", 50)
	l := must(ledger.OpenProxy(p.config(t), p.Counts))(t)
	t.Cleanup(func() { _ = l.Close() })
	gate, outcomes := make(chan struct{}), make(chan checkout.Code, 128)
	var buyers sync.WaitGroup
	for range cap(outcomes) {
		buyers.Go(func() {
			<-gate
			request := checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: "hot", Qty: 1, TTL: time.Hour}
			_, err := l.PlaceHold(context.Background(), request)
			for checkout.CodeOf(err) == checkout.CodeBusy { // on a busy machine; the id makes a retry safe
				_, err = l.PlaceHold(context.Background(), request)
			}
			outcomes <- checkout.CodeOf(err)
		})
	}
	close(gate)
	buyers.Wait()
	close(outcomes)
	tally := map[checkout.Code]int{}
	for code := range outcomes {
		tally[code]++
	}
	if d := cmp.Diff(map[checkout.Code]int{"": 50, checkout.CodeSoldOut: 78}, tally); d != "" {
		t.Errorf("want (-), got (+):\n%s", d)
	}
	p.MustAudit(t)
	p.mustSpread(t)
}

// The stand-in detects what pins RDS Proxy's connections. Without this test, the tests above would prove nothing.
func TestProxyDetectsPins(t *testing.T) {
	t.Parallel()
	e := ledgertest.New(t)
	plain := func(*mysql.Config) {}
	for _, test := range []struct {
		name   string
		change func(*mysql.Config)
		do     func(context.Context, *sql.DB) error
		want   string
	}{
		{"SET of the direct ledger", func(c *mysql.Config) { // ledger.Config's
			c.Params = map[string]string{"innodb_lock_wait_timeout": "2"}
		}, exec("SELECT 1"), "SET innodb_lock_wait_timeout"},
		{"prepared statement", func(c *mysql.Config) { c.InterpolateParams = false }, func(ctx context.Context, db *sql.DB) error {
			return db.QueryRowContext(ctx, "SELECT ?", 1).Scan(new(int))
		}, "command 0x16"},
		{"isolation level", plain, func(ctx context.Context, db *sql.DB) error {
			tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
			if err != nil {
				return err
			}
			return tx.Rollback()
		}, "SET TRANSACTION ISOLATION LEVEL"},
		{"transaction that writes", plain, func(ctx context.Context, db *sql.DB) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			return tx.Rollback()
		}, "START TRANSACTION"},
		{"user variable", plain, exec("SELECT @a := 1"), "@"},
		{"system variable", plain, exec("SELECT @@version"), "@"},
		{"named lock", plain, exec("SELECT GET_LOCK('a', 0)"), "GET_LOCK"},
		{"ROW_COUNT", plain, exec("SELECT ROW_COUNT()"), "ROW_COUNT"},
		{"LAST_INSERT_ID", plain, exec("SELECT last_insert_id()"), "last_insert_id"},
		{"temporary table", plain, func(ctx context.Context, db *sql.DB) error {
			_ = exec("CREATE TEMPORARY TABLE t (n INT)")(ctx, db) // the user may not
			return nil
		}, "CREATE TEMPORARY TABLE"},
		{"long statement", plain, exec("SELECT '" + strings.Repeat("x", 16<<10) + "'"), "a statement of 163"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := proxy(t, e, nil)
			cfg := p.config(t)
			test.change(cfg)
			if err := test.do(context.Background(), mustOpen(t, cfg)); err != nil {
				t.Fatal(err)
			}
			pins := p.proxy.Pins()
			if len(pins) == 0 || !strings.Contains(pins[0], test.want) {
				t.Errorf("the pins are %q, expected one that contains %q", pins, test.want)
			}
		})
	}
}

func exec(statement string) func(context.Context, *sql.DB) error {
	return func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, statement)
		return err
	}
}
