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

func (m *machine) place(t *rapid.T) {
	req := m.drawHold(t)
	receipt, err := m.ledger.PlaceHold(m.ctx, req)
	m.wantHold(t, req, receipt, err)
}

// placeTogether places a batch. The holds that share its call come first, and the others follow, each by itself.
func (m *machine) placeTogether(t *rapid.T) {
	seen := checkout.Money{Amount: rapid.SampledFrom([]int64{m.price, m.price, m.price + 1}).Draw(t, "price seen"), Currency: "USD"}
	var batch []checkout.HoldRequest
	for range rapid.IntRange(2, 5).Draw(t, "holds") {
		req := m.drawHold(t)
		req.Price = &seen
		batch = append(batch, req)
	}
	placed := m.ledger.PlaceTogether(m.ctx, batch)
	for _, shared := range []bool{true, false} {
		for i, p := range placed {
			if p.Shared == shared {
				m.wantHold(t, batch[i], p.Receipt, p.Err)
			}
		}
	}
}

func (m *machine) drawHold(t *rapid.T) checkout.HoldRequest {
	req := checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: m.product, Qty: rapid.Int64Range(1, 5).Draw(t, "qty"), TTL: ttl}
	if n := rapid.IntRange(0, 6).Draw(t, "key"); n > 0 {
		req.Key = &checkout.IdempotencyKey{byte(n)}
	}
	if seen := rapid.SampledFrom([]int64{-1, m.price, m.price + 1}).Draw(t, "price seen"); seen >= 0 {
		req.Price = &checkout.Money{Amount: seen, Currency: rapid.SampledFrom([]string{"USD", "EUR"}).Draw(t, "currency seen")}
	}
	return req
}

// wantHold checks what became of a hold, and changes the model.
func (m *machine) wantHold(t *rapid.T, req checkout.HoldRequest, receipt checkout.Receipt, err error) {
	if req.Key != nil {
		if first, used := m.keys[*req.Key]; used {
			if m.accounts[first].qty != req.Qty {
				m.want(t, err, checkout.CodeIdempotencyReused)
			} else if must(t, err); receipt.Hold.ID != first || !receipt.Repeated {
				t.Fatalf("the key's hold is %s, got %+v", first.HoldID(), receipt)
			}
			return
		}
	}
	if req.Qty > 4 {
		m.want(t, err, checkout.CodeQtyOverLimit)
		return
	}
	if m.available() < req.Qty {
		m.reclaim()
	}
	if m.available() < req.Qty {
		m.want(t, err, checkout.CodeSoldOut)
		return
	}
	must(t, err)
	m.ids = append(m.ids, req.ID)
	m.accounts[req.ID] = &account{
		id: req.ID, qty: req.Qty, amount: checkout.Money{Amount: req.Qty * m.price, Currency: "USD"}, expires: m.now.Add(ttl),
		hold: checkout.HoldActive, units: checkout.StockReserved,
	}
	if req.Key != nil {
		m.keys[*req.Key] = req.ID
	}
}

func (m *machine) want(t *rapid.T, err error, code checkout.Code) {
	if checkout.CodeOf(err) != code {
		t.Fatalf("got %v, want %q", err, code)
	}
}

func (m *machine) release(t *rapid.T) {
	id, e := m.draw(t)
	_, err := m.ledger.ReleaseHold(m.ctx, checkout.Caller{}, id)
	switch e.hold {
	case checkout.HoldOrdered:
		m.want(t, err, checkout.CodeHoldOrdered)
	case checkout.HoldActive:
		must(t, err)
		e.hold, e.units = checkout.HoldReleased, checkout.StockAvailable
		if !m.now.Before(e.expires) {
			e.hold = checkout.HoldExpired
		}
	default:
		must(t, err)
	}
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

// event sends an event of one of three payments of a hold: A and B at one provider, and A at another. One in ten events
// names an id without a hold, and one in ten successes a payment of another hold.
func (m *machine) event(t *rapid.T) {
	id := ledgertest.NewID()
	if len(m.ids) > 0 && rapid.IntRange(0, 9).Draw(t, "unknown") > 0 {
		id, _ = m.draw(t)
	}
	e := checkout.PaymentEvent{
		Provider: checkout.ProviderStandard, EventID: uuid.NewString(), PaymentID: id.OrderID() + "A", Kind: rapid.SampledFrom([]checkout.PaymentKind{
			checkout.PaymentSucceeded, checkout.PaymentSucceeded, checkout.PaymentSucceeded, checkout.PaymentSucceeded, checkout.PaymentFailed,
			checkout.PaymentRefunded, checkout.PaymentRefunded, checkout.PaymentRefundedSum, checkout.PaymentRefundFailed, checkout.PaymentDisputed,
			checkout.PaymentDisputeWon, checkout.PaymentDisputeLost,
		}).Draw(t, "event"),
	}
	switch rapid.IntRange(0, 3).Draw(t, "payment") {
	case 0:
		e.PaymentID = id.OrderID() + "B"
	case 1:
		e.Provider = checkout.ProviderStripe
	}
	e.Type = "payment." + string(e.Kind)
	all := int64(unitPrice)
	if a := m.accounts[id]; a != nil {
		all = a.amount.Amount
	}
	usd := func(amount int64) checkout.Money { return checkout.Money{Amount: amount, Currency: "USD"} }
	some := []checkout.Money{{}, usd(max(all, 1)), usd(max(all/3, 1)), {Amount: max(all, 1), Currency: "EUR"}}
	switch e.Kind {
	case checkout.PaymentSucceeded:
		e.Subject, e.Amount = &id, rapid.SampledFrom([]checkout.Money{
			usd(all), usd(all), usd(all), usd(1), usd(0), usd(all + 1), {Amount: all, Currency: "EUR"},
		}).Draw(t, "amount")
		if len(m.ids) > 0 && rapid.IntRange(0, 9).Draw(t, "payment of another hold") == 0 {
			other, _ := m.draw(t)
			e.PaymentID = other.OrderID() + "A"
		}
	case checkout.PaymentFailed:
		e.Subject = &id
	case checkout.PaymentRefundedSum:
		e.Amount = rapid.SampledFrom(some[1:3]).Draw(t, "sum")
	case checkout.PaymentRefunded, checkout.PaymentRefundFailed:
		e.RefundID = fmt.Sprint(e.PaymentID, "r", rapid.IntRange(1, 2).Draw(t, "refund"))
		e.Amount = rapid.SampledFrom(some).Draw(t, "amount")
	default:
		e.RefundID = e.PaymentID + "d"
		e.Amount = rapid.SampledFrom(some[:3]).Draw(t, "amount")
	}
	m.sent = append(m.sent, e)
	m.send(t, e)
}

func (m *machine) redeliver(t *rapid.T) {
	if len(m.sent) == 0 {
		t.Skip("no event yet")
	}
	m.send(t, rapid.SampledFrom(m.sent).Draw(t, "event"))
}

func (m *machine) send(t *rapid.T, e checkout.PaymentEvent) {
	receipt, err := m.ledger.ApplyEvent(m.ctx, e, window)
	must(t, err)
	must(t, receipt.Cause)
	if want := m.deliver(e); !slices.Contains(want, receipt.Result) {
		t.Fatalf("%+v: got %s, expected %v", e, receipt.Result, want)
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
