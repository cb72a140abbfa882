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
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// TestModel drives random sequences of all operations against the ledger, and against a model that knows only
// checkout.Transitions, Tally, Settle and StandingOf. After every step the counters and states agree, and the audit is clean. rapid prints the seed
// and the shortest sequence of a failure.
func TestModel(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue { // unless the command line says how many
		if err := f.Value.Set(ledgertest.Thorough("40", "200")); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t, env)
		defer m.close(t)
		actions := map[string]func(*rapid.T){
			"place":   m.place,
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
	})
}

// machine is a ledger on one connection, whose clock the test sets, beside the model of one product.
type machine struct {
	ctx     context.Context //nolint:containedctx // rapid calls its methods without one
	db      *sql.DB
	ledger  *ledger.Ledger
	product string
	now     time.Time
	stock   int64
	ids     []checkout.ID // in order of creation, so that a seed draws the same
	entries map[checkout.ID]*entry
	keys    map[checkout.IdempotencyKey]checkout.ID
	sent    []checkout.PaymentEvent
	settled map[string]bool // events that have been applied or ignored
}

// entry is a hold and its order in the model.
type entry struct {
	qty     int64
	expires time.Time
	payBy   time.Time
	hold    checkout.HoldStatus  // as stored: an overdue one is active until its units are reclaimed
	order   checkout.OrderStatus // empty: none
	reason  checkout.Reason
	unpaid  checkout.Standing          // before any money
	place   checkout.StockPlace        // of its units
	tallies map[string]*checkout.Tally // by payment id: what the events said
	settles string                     // the payment that settles it; empty: none
	first   map[string]int             // in which order the payments came
}

// payments returns the payments of an order as its events describe them, in the order in which they came.
func (e *entry) payments(id checkout.ID) (ids []string, payments []checkout.Payment) {
	for name, tally := range e.tallies {
		if tally.Payment("", name, id, e.amount()).Order != nil {
			ids = append(ids, name)
		}
	}
	slices.SortFunc(ids, func(a, b string) int { return e.first[a] - e.first[b] })
	for _, name := range ids {
		p := e.tallies[name].Payment(checkout.ProviderStandard, name, id, e.amount())
		p.Settles = name == e.settles
		payments = append(payments, p)
	}
	return ids, payments
}

func (e *entry) amount() checkout.Money {
	return checkout.Money{Amount: e.qty * unitPrice, Currency: "USD"}
}

const unitPrice = 4999

func newMachine(t *rapid.T, env *ledgertest.Env) *machine {
	accounts, err := ledger.AccountsOf(env.AdminDSN)
	must(t, err)
	cfg, err := ledger.Config(accounts.AppDSN)
	must(t, err)
	connector, err := mysql.NewConnector(cfg)
	must(t, err)
	m := &machine{
		ctx: context.Background(), db: sql.OpenDB(connector), now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
		product: "m" + uuid.NewString()[:13], stock: rapid.Int64Range(1, 8).Draw(t, "stock"),
		entries: map[checkout.ID]*entry{}, keys: map[checkout.IdempotencyKey]checkout.ID{}, settled: map[string]bool{},
	}
	m.db.SetMaxOpenConns(1) // the clock belongs to the connection
	m.ledger = ledger.New(m.db, checkout.NoRecorder{})
	for _, table := range []string{"payment_events", "refunds", "payments", "orders", "holds", "products"} {
		_, err := env.Admin.ExecContext(m.ctx, "DELETE FROM "+table)
		must(t, err)
	}
	m.setClock(t)
	name, maxQty := "Model", int64(4)
	_, _, err = m.ledger.PutProduct(m.ctx, checkout.ProductChange{
		ID: m.product, Name: &name, Price: &checkout.Money{Amount: unitPrice, Currency: "USD"}, Stock: &m.stock, MaxQtyPerHold: &maxQty,
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
	for _, e := range m.entries {
		switch e.place {
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

func (m *machine) due(e *entry) bool {
	return (e.hold == checkout.HoldActive && !m.now.Before(e.expires)) || (e.order == checkout.OrderPendingPayment && !m.now.Before(e.payBy))
}

// reclaim models what the ledger does when stock runs short, and what a sweep does.
func (m *machine) reclaim() {
	for _, e := range m.entries {
		if !m.due(e) {
			continue
		}
		if e.order == "" {
			e.hold, e.place = checkout.HoldExpired, checkout.StockAvailable
		} else {
			m.move(e, checkout.OnPayBy)
		}
	}
}

func (m *machine) state(e *entry) checkout.State {
	switch {
	case e.order != "":
		return checkout.State(e.order)
	case e.hold == checkout.HoldActive && m.due(e):
		return checkout.NoOrderExpired
	default:
		return checkout.State(e.hold) + " hold"
	}
}

// move applies the table's row, and returns false if there is none.
func (m *machine) move(e *entry, on checkout.Trigger) bool {
	row, ok := checkout.Find(m.state(e), on)
	if !ok {
		return false
	}
	if e.hold == checkout.HoldActive {
		e.hold = checkout.HoldOrdered
	}
	if e.order == "" {
		e.payBy = m.now.Add(window)
	}
	e.order, e.reason, e.unpaid, e.place = row.To.Status, row.To.Reason, row.To, row.Units
	return true
}

// settle makes the order follow its payments. raises tells whether the event can have raised what a payment holds.
func (m *machine) settle(id checkout.ID, e *entry, raises bool) {
	ids, payments := e.payments(id)
	if !slices.ContainsFunc(payments, func(p checkout.Payment) bool { return p.Received > 0 }) {
		return
	}
	e.place = checkout.Settle(e.place, e.amount().Amount, payments, func() bool {
		if raises && m.available() < e.qty {
			m.reclaim()
		}
		return raises && m.available() >= e.qty
	})
	e.settles = ""
	for i, p := range payments {
		if p.Settles {
			e.settles = ids[i]
		}
	}
	if e.hold == checkout.HoldActive {
		e.hold = checkout.HoldOrdered
		if !m.now.Before(e.expires) {
			e.hold = checkout.HoldExpired
		}
	}
	if e.order == "" {
		e.payBy = m.now.Add(window)
	}
	standing := checkout.StandingOf(e.place, e.amount().Amount, payments, e.unpaid)
	e.order, e.reason = standing.Status, standing.Reason
}

func (m *machine) draw(t *rapid.T) (checkout.ID, *entry) {
	if len(m.ids) == 0 {
		t.Skip("no hold yet")
	}
	id := rapid.SampledFrom(m.ids).Draw(t, "hold")
	return id, m.entries[id]
}

func (m *machine) place(t *rapid.T) {
	req := checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: m.product, Qty: rapid.Int64Range(1, 5).Draw(t, "qty"), TTL: ttl}
	if n := rapid.IntRange(0, 6).Draw(t, "key"); n > 0 {
		req.Key = &checkout.IdempotencyKey{byte(n)}
	}
	if seen := rapid.SampledFrom([]int64{-1, unitPrice, unitPrice + 1}).Draw(t, "price seen"); seen >= 0 {
		req.Price = &checkout.Money{Amount: seen, Currency: rapid.SampledFrom([]string{"USD", "EUR"}).Draw(t, "currency seen")}
	}
	receipt, err := m.ledger.PlaceHold(m.ctx, req)
	if req.Key != nil {
		if first, used := m.keys[*req.Key]; used {
			if m.entries[first].qty != req.Qty {
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
	m.entries[req.ID] = &entry{qty: req.Qty, expires: m.now.Add(ttl), hold: checkout.HoldActive, place: checkout.StockReserved}
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
	_, err := m.ledger.ReleaseHold(m.ctx, id)
	switch e.hold {
	case checkout.HoldOrdered:
		m.want(t, err, checkout.CodeHoldOrdered)
	case checkout.HoldActive:
		must(t, err)
		e.hold, e.place = checkout.HoldReleased, checkout.StockAvailable
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
	_, err := m.ledger.CreateOrder(m.ctx, id, window)
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
	_, err := m.ledger.CancelOrder(m.ctx, id)
	switch {
	case e.order == "":
		m.want(t, err, checkout.CodeOrderNotFound)
	case m.move(e, checkout.OnCancel) || e.order == checkout.OrderCancelled:
		must(t, err)
	default:
		m.want(t, err, checkout.CodeOrderNotCancellable)
	}
}

// event sends an event about one of three payments of a hold, or of an unknown one.
func (m *machine) event(t *rapid.T) {
	id := ledgertest.NewID() // an id without a hold
	if len(m.ids) > 0 && rapid.IntRange(0, 9).Draw(t, "unknown") > 0 {
		id, _ = m.draw(t)
	}
	name := rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "payment")
	e := checkout.PaymentEvent{
		Provider: checkout.ProviderStandard, EventID: uuid.NewString(), Type: "x", Kind: checkout.PaymentSucceeded, Subject: &id, PaymentID: id.HoldID() + name,
	}
	amount := int64(unitPrice)
	if held := m.entries[id]; held != nil {
		amount = held.qty * unitPrice
	}
	refund := id.HoldID() + name + rapid.SampledFrom([]string{"r1", "r2"}).Draw(t, "refund")
	switch rapid.SampledFrom([]string{"right", "right", "wrong", "foreign", "refund", "rest", "failed refund", "dispute", "won", "lost", "failed"}).Draw(t, "event") {
	case "right":
		e.Amount = checkout.Money{Amount: amount, Currency: "USD"}
	case "wrong":
		e.Amount = checkout.Money{Amount: amount - 1, Currency: "USD"}
	case "foreign":
		e.PaymentID += "foreign" // one payment has one currency
		e.Amount = checkout.Money{Amount: amount, Currency: "EUR"}
	case "refund":
		e.Kind, e.RefundID, e.Amount = checkout.PaymentRefunded, refund, checkout.Money{Amount: rapid.SampledFrom([]int64{1, 100, amount}).Draw(t, "amount"), Currency: "USD"}
	case "rest":
		e.Kind, e.RefundID = checkout.PaymentRefunded, refund
	case "failed refund":
		e.Kind, e.RefundID = checkout.PaymentRefundFailed, refund
	case "dispute":
		e.Kind, e.RefundID = checkout.PaymentDisputed, "dispute:"+e.PaymentID
	case "won":
		e.Kind, e.RefundID = checkout.PaymentDisputeWon, "dispute:"+e.PaymentID
	case "lost":
		e.Kind, e.RefundID = checkout.PaymentDisputeLost, "dispute:"+e.PaymentID
	case "failed":
		e.Kind = checkout.PaymentFailed
	}
	m.sent = append(m.sent, e)
	m.deliver(t, e)
}

func (m *machine) redeliver(t *rapid.T) {
	if len(m.sent) == 0 {
		t.Skip("no event yet")
	}
	m.deliver(t, rapid.SampledFrom(m.sent).Draw(t, "event"))
}

func (m *machine) deliver(t *rapid.T, event checkout.PaymentEvent) {
	receipt, err := m.ledger.ApplyEvent(m.ctx, event, window)
	must(t, err)
	must(t, receipt.Cause)
	id := *event.Subject
	e := m.entries[id]
	if m.settled[event.EventID] {
		if receipt.Result != checkout.PaymentDuplicate {
			t.Fatalf("%+v: got %s, expected duplicate", event, receipt.Result)
		}
		return
	}
	// An event without effect may be ignored; one that waits for its payment counts already.
	m.settled[event.EventID] = receipt.Result == checkout.PaymentApplied || receipt.Result == checkout.PaymentIgnored
	switch {
	case e == nil:
		if receipt.Result != checkout.PaymentUnmatched {
			t.Fatalf("%+v: got %s, expected unmatched", event, receipt.Result)
		}
	case event.Kind == checkout.PaymentFailed:
		if !m.move(e, checkout.OnFailed) && receipt.Result != checkout.PaymentIgnored {
			t.Fatalf("%+v: got %s, expected ignored", event, receipt.Result)
		}
	default:
		if e.tallies == nil {
			e.tallies, e.first = map[string]*checkout.Tally{}, map[string]int{}
		}
		if e.tallies[event.PaymentID] == nil {
			e.tallies[event.PaymentID], e.first[event.PaymentID] = &checkout.Tally{}, len(m.sent)*100+len(e.tallies)
		}
		e.tallies[event.PaymentID].Add(event)
		m.settle(id, e, event.Kind == checkout.PaymentSucceeded || event.Kind == checkout.PaymentRefundFailed)
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
	for id, e := range m.entries {
		h, err := m.ledger.Hold(m.ctx, id)
		must(t, err)
		wantHold := e.hold
		if e.hold == checkout.HoldActive && m.due(e) {
			wantHold = checkout.HoldExpired
		}
		if h.Status != wantHold || h.HasOrder != (e.order != "") {
			t.Fatalf("hold %s is %+v, the model has %s", id.HoldID(), h, wantHold)
		}
		if e.order == "" {
			continue
		}
		o, err := m.ledger.Order(m.ctx, id)
		must(t, err)
		got := entry{order: o.Status, reason: o.Reason, payBy: o.PayBy}
		want := entry{order: e.order, reason: e.reason, payBy: e.payBy}
		m.checkPayments(t, id, e)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(entry{})); diff != "" {
			t.Fatalf("order %s (-model +ledger):\n%s", id.OrderID(), diff)
		}
	}
	audit, err := m.ledger.Audit(m.ctx)
	must(t, err)
	if !audit.Clean {
		t.Fatalf("audit: %+v", audit.Broken)
	}
}

// checkPayments compares the ledger's payments of an order with the model's.
func (m *machine) checkPayments(t *rapid.T, id checkout.ID, e *entry) {
	h, err := m.ledger.OrderHistory(m.ctx, id)
	must(t, err)
	var got, want []string
	for _, p := range h.Payments {
		got = append(got, fmt.Sprintf("%s received %d, returned %d, owed %d, settles %t", p.PaymentID, p.Received, p.Returned, p.Owed, p.Settles))
	}
	_, payments := e.payments(id)
	for _, p := range payments {
		want = append(want, fmt.Sprintf("%s received %d, returned %d, owed %d, settles %t", p.ID, p.Received, p.Returned, p.Owed(), p.Settles))
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("the payments of order %s (-model +ledger):\n%s", id.OrderID(), diff)
	}
}
