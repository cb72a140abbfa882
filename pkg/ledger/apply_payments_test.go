package ledger_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// success is the payment of a hold of MustPut's product.
func success(hold checkout.ID, qty int64) checkout.PaymentEvent {
	return checkout.PaymentEvent{
		Provider: checkout.ProviderStandard, EventID: "evt_" + hold.HoldID(), Type: "payment.succeeded", Kind: checkout.PaymentSucceeded,
		Subject: &hold, PaymentID: "pay_" + hold.HoldID(), Amount: checkout.Money{Amount: 4999 * qty, Currency: "USD"}, Digest: [32]byte{1, 2, 3},
	}
}

// held places n holds of a product and returns the payment of each.
func held(t *testing.T, env *ledgertest.Env, product string, n int, change func(i int, r *checkout.HoldRequest)) []checkout.PaymentEvent {
	t.Helper()
	var events []checkout.PaymentEvent
	for _, r := range requests(n, product, change) {
		if _, err := env.PlaceHold(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		events = append(events, success(r.ID, r.Qty))
	}
	return events
}

// results names what became of each event of a batch, such as "shared applied" or "alone ignored".
func results(applied []ledger.Applied) []string {
	var names []string
	for _, a := range applied {
		switch {
		case a.Err != nil:
			names = append(names, string(checkout.CodeOf(a.Err)))
		case a.Receipt.Cause != nil:
			names = append(names, a.Receipt.Cause.Error())
		default:
			names = append(names, map[bool]string{true: "shared ", false: "alone "}[a.Shared]+string(a.Receipt.Result))
		}
	}
	return names
}

// change does something to one position of a batch.
type change map[int]func(t *testing.T, s *stage, e *checkout.PaymentEvent)

func order(t *testing.T, s *stage, e *checkout.PaymentEvent) {
	if _, err := s.CreateOrder(t.Context(), checkout.Caller{}, *e.Subject, checkout.OrderTerms{Window: window}); err != nil {
		t.Fatal(err)
	}
}

func cancel(t *testing.T, s *stage, e *checkout.PaymentEvent) {
	order(t, s, e)
	if _, err := s.CancelOrder(t.Context(), checkout.Caller{}, *e.Subject); err != nil {
		t.Fatal(err)
	}
}

func release(t *testing.T, s *stage, e *checkout.PaymentEvent) {
	if _, err := s.ReleaseHold(t.Context(), checkout.Caller{}, *e.Subject); err != nil {
		t.Fatal(err)
	}
}

// before sends another event first: the same one, changed.
func before(alter func(e *checkout.PaymentEvent)) func(*testing.T, *stage, *checkout.PaymentEvent) {
	return func(t *testing.T, s *stage, e *checkout.PaymentEvent) {
		first := *e
		alter(&first)
		if r, err := s.ApplyEvent(t.Context(), first, window); err != nil || r.Cause != nil {
			t.Fatal(err, r.Cause)
		}
	}
}

// batches are events whose positions 1 and 3 are not as the others, or all of them.
var batches = map[string]struct {
	all    func(t *testing.T, s *stage, e *checkout.PaymentEvent)
	change change
	qty    int64
	want   []string // of positions 1 and 3, or of all; none: all share the call
}{
	"holds":                                 {},
	"orders":                                {all: order},
	"holds and orders":                      {change: change{1: order, 3: order}},
	"quantities":                            {qty: 3},
	"a hold that is over":                   {change: change{1: func(t *testing.T, s *stage, e *checkout.PaymentEvent) { s.age(t, *e.Subject) }}},
	"an order that is over":                 {change: change{1: func(t *testing.T, s *stage, e *checkout.PaymentEvent) { order(t, s, e); s.age(t, *e.Subject) }}},
	"a released hold and a cancelled order": {change: change{1: release, 3: cancel}, want: []string{"alone applied", "alone applied"}},
	"an expired hold": {change: change{1: func(t *testing.T, s *stage, e *checkout.PaymentEvent) {
		s.age(t, *e.Subject)
		s.sweep(t)
	}}, want: []string{"alone applied", "shared applied"}},
	"wrong amounts": {change: change{
		1: func(_ *testing.T, _ *stage, e *checkout.PaymentEvent) { e.Amount.Amount++ },
		3: func(_ *testing.T, _ *stage, e *checkout.PaymentEvent) { e.Amount.Currency = "EUR" },
	}, want: []string{"alone applied", "alone applied"}},
	"another currency": {all: func(_ *testing.T, _ *stage, e *checkout.PaymentEvent) { e.Amount.Currency = "EUR" }, want: times(5, "alone applied")},
	"a known event and a known payment": {change: change{
		1: before(func(*checkout.PaymentEvent) {}),
		3: before(func(e *checkout.PaymentEvent) { e.EventID += "_first" }),
	}, want: []string{"alone duplicate", "alone ignored"}},
	"a used event id and a paid order": {change: change{
		1: before(func(e *checkout.PaymentEvent) { e.PaymentID += "_other" }),
		3: before(func(e *checkout.PaymentEvent) { e.EventID += "_other"; e.PaymentID += "_other" }),
	}, want: []string{"event_id_reused", "alone applied"}},
	"refunds that wait": {change: change{
		1: before(func(e *checkout.PaymentEvent) {
			e.EventID, e.PaymentID, e.RefundID, e.Type, e.Kind = "re_"+e.EventID, "", "re_"+e.EventID, "payment.refunded", checkout.PaymentRefunded
		}),
		3: before(func(e *checkout.PaymentEvent) { // it makes the payment's row
			e.EventID, e.RefundID, e.Type, e.Kind, e.Subject = "re_"+e.EventID, "re_"+e.EventID, "payment.refunded", checkout.PaymentRefunded, nil
		}),
	}, want: []string{"alone applied", "alone applied"}},
	"a failure that came first": {change: change{1: before(func(e *checkout.PaymentEvent) {
		e.EventID, e.Type, e.Kind, e.Amount = "no_"+e.EventID, "payment.failed", checkout.PaymentFailed, checkout.Money{}
	})}},
	"an unknown hold and ids that need escapes": {change: change{
		1: func(_ *testing.T, _ *stage, e *checkout.PaymentEvent) { id := ledgertest.NewID(); e.Subject = &id },
		3: func(_ *testing.T, _ *stage, e *checkout.PaymentEvent) { e.EventID += `"\'é` },
	}, want: []string{"alone unmatched", "alone applied"}},
	"a hold of another product": {change: change{1: func(t *testing.T, s *stage, e *checkout.PaymentEvent) {
		s.MustPut(t, "other-"+s.product, 1000)
		*e = held(t, s.Env, "other-"+s.product, 1, nil)[0]
	}}, want: []string{"alone applied", "shared applied"}},
	"one id twice": {change: change{
		1: func(_ *testing.T, s *stage, e *checkout.PaymentEvent) { e.PaymentID = "twice_" + s.product },
		3: func(_ *testing.T, s *stage, e *checkout.PaymentEvent) { e.PaymentID = "twice_" + s.product },
	}, want: []string{"shared applied", "alone unmatched"}},
}

// A batch is only a faster way to what apply_event does with each of its events: the rows are the same.
func TestBatchOfPayments(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	at := time.Date(2026, 11, 28, 1, 2, 3, 456789999, time.FixedZone("", 3600))
	for name, tc := range batches {
		var rows [2]string
		for alone := range rows {
			s := &stage{Env: env, product: fmt.Sprint(strings.ReplaceAll(name, " ", "-"), alone)}
			s.MustPut(t, s.product, 1000)
			events := held(t, s.Env, s.product, 5, func(_ int, r *checkout.HoldRequest) { r.Qty = max(tc.qty, 1) })
			for i := range events {
				events[i].OccurredAt, events[i].EventID, events[i].PaymentID = &at, events[i].EventID+s.product, events[i].PaymentID+s.product
				if tc.all != nil {
					tc.all(t, s, &events[i])
				}
				if tc.change[i] != nil {
					tc.change[i](t, s, &events[i])
				}
			}
			if alone == 1 {
				for _, e := range events {
					if _, err := s.ApplyEvent(t.Context(), e, window); err != nil && checkout.CodeOf(err) != checkout.CodeEventIDReused {
						t.Fatal(err)
					}
				}
			} else {
				want := times(5, "shared applied")
				if len(tc.want) == 5 {
					want = tc.want
				} else if tc.want != nil {
					want[1], want[3] = tc.want[0], tc.want[1]
				}
				applied := s.ApplyTogether(t.Context(), s.product, events, window)
				if got := results(applied); !slices.Equal(got, want) {
					t.Errorf("%s: the events are %q, expected %q", name, got, want)
				}
				for i, a := range applied {
					if a.Shared && (a.Receipt.Order.ID != *events[i].Subject || a.Receipt.Order.Status != checkout.OrderPaid || a.Receipt.Product.SoldStock == 0) {
						t.Errorf("%s: the receipt of event %d is %+v, expected its order, paid, and the product", name, i, a.Receipt)
					}
				}
			}
			rows[alone] = rowsOf(t, s)
		}
		if diff := cmp.Diff(rows[1], rows[0]); diff != "" {
			t.Errorf("%s: the rows differ, alone (-) and in a batch (+):\n%s", name, diff)
		}
	}
	env.MustAudit(t)
}

// rowsOf describes all that payments change, without ids and times.
func rowsOf(t *testing.T, s *stage) string {
	t.Helper()
	var all strings.Builder
	for _, query := range []string{
		"SELECT CONCAT_WS('|', reserved_stock, sold_stock) FROM products WHERE id = ?",
		`SELECT CONCAT_WS('|', h.status, h.ended_at = o.created_at, o.product_id = h.product_id, o.qty, o.amount, o.currency, o.status, o.reason, o.stock,
			TIMESTAMPDIFF(SECOND, o.created_at, o.pay_by), o.updated_at >= o.created_at) FROM holds h LEFT JOIN orders o ON o.id = h.id WHERE h.product_id = ? ORDER BY h.id`,
		`SELECT CONCAT_WS('|', provider, order_id = settles, currency, received, returned, unsent, exact, kept, owed, created_at <= updated_at)
			FROM payments WHERE payment_id LIKE CONCAT('%', ?, '%') ORDER BY order_id, owed`,
		`SELECT CONCAT_WS('|', provider, LEFT(event_id, 4), type, kind, LEFT(payment_id, 4), amount, currency, HEX(payload_digest), result, deliveries,
			occurred_at, received_at <= settled_at, retry_at IS NULL, LEFT(refund_id, 3)) FROM payment_events WHERE event_id LIKE CONCAT('%', ?, '%') ORDER BY subject_id, received_at`,
	} {
		all.WriteString(strings.Join(lines(t, s.Env, query, s.product), "\n") + "\n")
	}
	return all.String()
}

// lines returns the only column of a query.
func lines(t *testing.T, env *ledgertest.Env, query string, args ...any) (all []string) {
	t.Helper()
	rows, err := env.Admin.Query(query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // read to the end
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		all = append(all, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
