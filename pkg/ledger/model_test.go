package ledger_test

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// TestMain decides how many random sequences a rapid.Check runs, unless the command line does.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", ledgertest.Thorough("25", "200")); err != nil {
		panic(err)
	}
	m.Run()
}

// TestModel drives random sequences of all operations against the ledger, and against a model that knows only
// checkout.Transitions, Tally, Settle and StandingOf. After every step the counters, states and sums agree. The audit is
// clean after every fourth and at the end. rapid prints the seed and the shortest sequence of a failure.
func TestModel(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t, env)
		defer m.close(t)
		actions := map[string]func(*rapid.T){
			"place":   m.place,
			"batch":   m.placeTogether,
			"release": m.release,
			"order":   m.order,
			"cancel":  m.cancel,
			"event":   m.event,
			"events":  m.eventsTogether,
			"again":   m.redeliver,
			"pass":    m.pass,
			"sweep":   m.sweep,
			"":        m.check,
		}
		t.Repeat(actions)
		m.mustBeClean(t)
	})
}

// machine is a ledger on one connection, whose clock the test sets, beside the model of one product.
type machine struct {
	world
	env     *ledgertest.Env
	ctx     context.Context //nolint:containedctx // rapid calls its methods without one
	db      *sql.DB
	ledger  *ledger.Ledger
	product string
	price   int64
	stock   int64
	ids     []checkout.ID // in order of creation, so that a seed draws the same
	keys    map[checkout.IdempotencyKey]checkout.ID
	sent    []checkout.PaymentEvent
	checks  int
}

const unitPrice = 4999

func newMachine(t *rapid.T, env *ledgertest.Env) *machine {
	accounts, err := ledger.AccountsOf(env.AdminDSN)
	must(t, err)
	cfg, err := ledger.Config(accounts.DSN(ledger.RoleApp))
	must(t, err)
	connector, err := mysql.NewConnector(cfg)
	must(t, err)
	m := &machine{
		env: env, ctx: context.Background(), db: sql.OpenDB(connector),
		product: "m" + uuid.NewString()[:13], stock: rapid.Int64Range(1, 8).Draw(t, "stock"),
		price: rapid.SampledFrom([]int64{unitPrice, unitPrice, unitPrice, 0}).Draw(t, "price"), keys: map[checkout.IdempotencyKey]checkout.ID{},
	}
	m.world = world{
		now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), payers: map[checkout.EventRef]*payer{}, accounts: map[checkout.ID]*account{},
		settled: map[string]bool{}, reclaim: m.reclaim, free: m.available,
	}
	m.db.SetMaxOpenConns(1) // the clock belongs to the connection
	m.ledger = ledger.New(m.db, checkout.NoRecorder{})
	for _, table := range []string{"refunds", "payments", "payment_events", "orders", "holds", "products"} {
		_, err := env.Admin.ExecContext(m.ctx, "DELETE FROM "+table)
		must(t, err)
	}
	m.setClock(t)
	name, maxQty := "Model", int64(4)
	_, _, err = m.ledger.PutProduct(m.ctx, checkout.ProductChange{
		ID: m.product, Name: &name, Price: &checkout.Money{Amount: m.price, Currency: "USD"}, Stock: &m.stock, MaxQtyPerHold: &maxQty,
	})
	must(t, err)
	return m
}

func (m *machine) close(t *rapid.T) { must(t, m.db.Close()) }

func (m *machine) setClock(t *rapid.T) {
	_, err := m.db.ExecContext(m.ctx, fmt.Sprintf("SET timestamp = %d", m.now.Unix()))
	must(t, err)
}

func must(t *rapid.T, err error) {
	if err != nil {
		t.Fatalf("%v", err)
	}
}

func (m *machine) count() (reserved, sold int64) {
	for _, e := range m.accounts {
		switch e.units {
		case checkout.StockReserved:
			reserved += e.qty
		case checkout.StockSold:
			sold += e.qty
		}
	}
	return reserved, sold
}

func (m *machine) available() int64 {
	reserved, sold := m.count()
	return m.stock - reserved - sold
}

func (m *machine) due(e *account) bool {
	return (e.hold == checkout.HoldActive && !m.now.Before(e.expires)) || (e.standing.Status == checkout.OrderPendingPayment && !m.now.Before(e.payBy))
}

// reclaim models what the ledger does when stock runs short, and what a sweep does.
func (m *machine) reclaim() {
	for _, e := range m.accounts {
		if !m.due(e) {
			continue
		}
		if e.standing.Status == "" {
			e.hold, e.units = checkout.HoldExpired, checkout.StockAvailable
		} else {
			m.move(e, checkout.OnPayBy)
		}
	}
}

func (m *machine) draw(t *rapid.T) (checkout.ID, *account) {
	if len(m.ids) == 0 {
		t.Skip("no hold yet")
	}
	id := rapid.SampledFrom(m.ids).Draw(t, "hold")
	return id, m.accounts[id]
}

func (m *machine) order(t *rapid.T) {
	id, e := m.draw(t)
	state := m.state(e)
	_, err := m.ledger.CreateOrder(m.ctx, checkout.Caller{}, id, checkout.OrderTerms{Window: window})
	switch state {
	case checkout.NoOrderReleased:
		m.want(t, err, checkout.CodeHoldReleased)
	case checkout.NoOrderExpired:
		m.want(t, err, checkout.CodeHoldExpired)
	default:
		must(t, err)
		m.move(e, checkout.OnOrder)
	}
}

func (m *machine) cancel(t *rapid.T) {
	id, e := m.draw(t)
	_, err := m.ledger.CancelOrder(m.ctx, checkout.Caller{}, id)
	switch {
	case e.standing.Status == "":
		m.want(t, err, checkout.CodeOrderNotFound)
	case m.move(e, checkout.OnCancel) || e.standing.Status == checkout.OrderCancelled:
		must(t, err)
	default:
		m.want(t, err, checkout.CodeOrderNotCancellable)
	}
}

// pass advances the clock, often to the very instant at which something is due.
func (m *machine) pass(t *rapid.T) {
	if len(m.ids) > 0 && rapid.Bool().Draw(t, "to the instant") {
		_, e := m.draw(t)
		for _, at := range []time.Time{e.expires, e.payBy} {
			if at.After(m.now) {
				m.now = at
				break
			}
		}
	} else {
		m.now = m.now.Add(time.Duration(rapid.IntRange(1, 200).Draw(t, "seconds")) * time.Second)
	}
	m.setClock(t)
}

func (m *machine) sweep(t *rapid.T) {
	_, err := m.ledger.ExpireDue(m.ctx, m.product, checkout.DueBatch{Holds: 100, Orders: 100})
	must(t, err)
	m.reclaim()
	waiting, err := m.ledger.WaitingEvents(m.ctx, 100)
	must(t, err)
	for _, ref := range waiting {
		receipt, err := m.ledger.RetryEvent(m.ctx, ref, window)
		must(t, err)
		i := slices.IndexFunc(m.sent, func(e checkout.PaymentEvent) bool { return e.EventID == ref.EventID })
		if want := m.deliver(m.sent[i]); !slices.Contains(want, receipt.Result) {
			t.Fatalf("retry of %+v: got %s, expected %v", m.sent[i], receipt.Result, want)
		}
	}
}

// check compares the ledger's counters and states with the model's.
func (m *machine) check(t *rapid.T) {
	products, err := m.ledger.Products(m.ctx, "", 10)
	must(t, err)
	i := slices.IndexFunc(products, func(p checkout.Product) bool { return p.ID == m.product })
	reserved, sold := m.count()
	if p := products[i]; p.ReservedStock != reserved || p.SoldStock != sold || p.AvailableStock() < 0 || p.KeyedHolds != int64(len(m.keys)) {
		t.Fatalf("reserved %d, sold %d, keyed %d; the model has %d, %d, %d", p.ReservedStock, p.SoldStock, p.KeyedHolds, reserved, sold, len(m.keys))
	}
	for id, e := range m.accounts {
		h, err := m.ledger.Hold(m.ctx, checkout.Caller{}, id)
		must(t, err)
		wantHold := e.hold
		if e.hold == checkout.HoldActive && m.due(e) {
			wantHold = checkout.HoldExpired
		}
		if h.Status != wantHold || h.HasOrder != (e.standing.Status != "") {
			t.Fatalf("hold %s is %+v, the model has %s", id.HoldID(), h, wantHold)
		}
		if e.standing.Status == "" {
			continue
		}
		o, err := m.ledger.Order(m.ctx, checkout.Caller{}, id)
		must(t, err)
		got, want := fmt.Sprint(o.Status, o.Reason, o.PayBy), fmt.Sprint(e.standing.Status, e.standing.Reason, e.payBy)
		if got != want {
			t.Fatalf("order %s is %s, the model has %s", id.OrderID(), got, want)
		}
		if got, want := storedPayments(t, m.env, id), m.describe(e); got != want {
			t.Fatalf("order %s has the payments%s\nthe model has%s", id.OrderID(), got, want)
		}
	}
	if m.checks++; m.checks%auditEvery == 0 {
		m.mustBeClean(t)
	}
}

// auditEvery is how many steps one audit covers: it costs as much as ten steps.
const auditEvery = 4

func (m *machine) mustBeClean(t *rapid.T) {
	audit, err := m.ledger.Audit(m.ctx)
	must(t, err)
	if !audit.Clean {
		t.Fatalf("audit: %+v", audit.Broken)
	}
}
