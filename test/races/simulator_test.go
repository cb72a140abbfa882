package races

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
	"flashsale/internal/simulator"
	"flashsale/pkg/checkout"
)

// testOperator does the operator's part of a simulated sale, on a test's own schema.
type testOperator struct{ *ledgertest.Env }

func (c testOperator) PutOnSale(ctx context.Context, o simulator.Offer) error {
	_, _, err := c.PutProduct(ctx, checkout.ProductChange{
		ID: o.ID, Name: &o.Name, Price: &checkout.Money{Amount: o.Price, Currency: o.Currency}, Stock: &o.Stock, MaxQtyPerHold: &o.MaxQtyPerHold,
		MaxPerShopper: &checkout.Limit{Units: o.MaxPerShopper},
	})
	return err
}

func (c testOperator) Audit(ctx context.Context) ([]simulator.Finding, error) {
	audit, err := c.Env.Audit(ctx)
	var found []simulator.Finding
	for _, f := range audit.Broken {
		found = append(found, simulator.Finding(f))
	}
	return found, err
}

func (c testOperator) Owed(ctx context.Context) (map[string]int64, error) {
	list, err := c.Env.Owed(ctx, 1_000_000)
	owed := map[string]int64{}
	for _, p := range list.Entries {
		owed[p.OrderID] += p.Owed.Amount
	}
	return owed, err
}

// shortSale lasts a second.
func shortSale(shoppers int, stock int64) simulator.Sale {
	return simulator.Sale{Seed: 1, Shoppers: shoppers, Stock: stock, Spike: 600 * time.Millisecond, Duration: time.Second}
}

// playSale plays a sale at a shop that needs sign-in. On a wrong ledger it does not wait long for units that may never return.
func playSale(ctx context.Context, t *testing.T, s *shoptest.Shop, sale simulator.Sale, takenBack time.Duration, show func(simulator.Progress)) *simulator.Report {
	t.Helper()
	report, err := simulator.Run(ctx, simulator.Options{
		Sale: sale, URL: s.URL, Product: "rush-" + uuid.NewString(), Operator: testOperator{s.Env}, Signer: s.Signer,
		SignIn:  func(name string) string { return s.Token(t, name) },
		HoldTTL: s.HoldTTL, Quiet: max(2*time.Second, takenBack*6/10), TakenBack: takenBack, // a busy machine works long on a request
		Show: show, ShowEvery: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatalf("the simulation has no result: %v", err)
	}
	return report
}

// On a correct ledger, with another sale beside it, every invariant holds, and every check has something to look at.
func TestSimulationOfCorrectLedger(t *testing.T) {
	s := shoptest.Open(t, 50, shoptest.Options{HoldTTL: 1500 * time.Millisecond, PaymentWindow: 2 * time.Second, SignIn: true})
	other := s.As(t, "a shopper of the other sale")
	t.Parallel()
	ctx, stop := context.WithCancel(context.Background())
	otherSale := make(chan struct{})
	go func() {
		defer close(otherSale)
		for ctx.Err() == nil {
			_, _ = other.Try(http.MethodPost, "/v1/holds", s.HoldBody(1), nil)
		}
	}()
	report := playSale(context.Background(), t, s, shortSale(400, 60), 10*time.Second, nil)
	stop()
	<-otherSale
	for _, c := range report.Invariants {
		if !c.Holds {
			t.Errorf("%s is broken in %d cases: %v", c.Name, c.Broken, c.Evidence)
		}
		if c.LookedAt == 0 && c.Name != "leftovers_can_be_bought" && c.Name != "limit_is_true" { // greedy shoppers may come after the last unit
			t.Errorf("%s checked nothing", c.Name)
		}
	}
	f := report.Figures
	if !report.Clean || f.Shoppers != 400 || f.Holds == 0 || f.Refusals["sold_out"] == 0 || f.Duplicates == 0 || f.Replays == 0 || f.SoldOutAfter < 0 || f.PeakActive == 0 {
		t.Errorf("clean %t, figures %+v; expected a clean sale with all of these", report.Clean, f)
	}
	shoppers := 0
	for _, o := range report.Outcomes {
		shoppers += o.Shoppers
	}
	if shoppers != 400 {
		t.Errorf("the outcomes are of %d shoppers, expected 400: %v", shoppers, report.Outcomes)
	}
}

// While there is stock, the limit alone keeps greedy shoppers from taking it.
func TestGreedyShoppersGetTheLimit(t *testing.T) {
	s := shoptest.Open(t, 1, shoptest.Options{SignIn: true})
	t.Parallel()
	report := playSale(context.Background(), t, s, shortSale(300, plenty), 10*time.Second, nil)
	if g := report.Greedy; !report.Clean || g.Shoppers == 0 || g.MostUnits != g.Limit || g.Refused == 0 || g.Kept == 0 || g.Foreign == 0 || g.Reached > 0 {
		t.Errorf("broken %v, greedy shoppers %+v; expected a clean sale, the limit used up, refusals, and requests about others that reached none", report.BrokenNames(), g)
	}
}

// After an interrupt arrivals stop, and the checks still run. The sale is a minute long, so it cannot end before that.
func TestSimulationIsCheckedAfterInterrupt(t *testing.T) {
	s := shoptest.Open(t, 1, shoptest.Options{HoldTTL: time.Second, PaymentWindow: time.Second, SignIn: true})
	t.Parallel()
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	sale := shortSale(3000, 60)
	sale.Spike, sale.Duration = time.Minute, time.Minute
	report := playSale(ctx, t, s, sale, 10*time.Second, func(p simulator.Progress) {
		if p.Arrived > 0 {
			interrupt()
		}
	})
	if n := report.Figures.Shoppers; !report.Clean || !report.Interrupted || n == 0 || n == 3000 {
		t.Errorf("broken %v, interrupted %t, %d shoppers; expected none, true, 1 to 2999", report.BrokenNames(), report.Interrupted, n)
	}
}

// With limits of minutes the simulation does not wait for expiry. Its bounds are then wide, and must still hold.
func TestSimulationWithLongTimes(t *testing.T) {
	s := shoptest.Open(t, 1, shoptest.Options{SignIn: true})
	t.Parallel()
	if report := playSale(context.Background(), t, s, shortSale(300, 60), 10*time.Second, nil); !report.Clean {
		t.Errorf("broken on a correct ledger: %v", report.BrokenNames())
	}
}

// wrong is a defect: a routine with some of its text replaced.
type wrong struct {
	routine string
	replace []string // old, new, old, new …
	breaks  string   // the invariants that it breaks for certain, separated by spaces; one of them suffices
}

const (
	unitsLeft = "stock - reserved_stock - sold_stock >= p_qty"
	plenty    = 5000 // units: more than all shoppers want
)

// Live sales against wrong ledgers. No race decides the result: every run shows each defect, because the plan leads
// many shoppers to it. Subtle defects are tested with constructed histories in internal/simulator.
func TestSimulationFindsWrongLedgers(t *testing.T) {
	for name, sale := range wrongLedgers {
		t.Run(name, func(t *testing.T) {
			sale.options.SignIn = true
			if sale.noCache {
				sale.options.CacheAddr = shoptest.FreeAddr(t) // nothing listens on this address
			}
			s := shoptest.Open(t, 1, sale.options)
			texts := map[string][]string{}
			for _, d := range sale.defects {
				texts[d.routine] = append(texts[d.routine], d.replace...)
			}
			for routine, replace := range texts {
				s.BreakRoutine(t, routine, replace...)
			}
			for _, check := range []string{"products_never_oversold", "products_counters_not_negative"} { // they would stop the defects
				shoptest.Must(s.Admin.ExecContext(context.Background(), "ALTER TABLE products DROP CONSTRAINT "+check))(t)
			}
			t.Parallel()
			report := playSale(context.Background(), t, s, sale.sale, time.Second, nil)
			broken := report.BrokenNames()
			for _, defect := range sale.defects {
				if defect.breaks == "" {
					continue
				}
				expected := strings.Fields(defect.breaks)
				if !slices.ContainsFunc(expected, func(check string) bool { return slices.Contains(broken, check) }) {
					t.Errorf("the defect in %s is not found: broken are %v, expected one of %v", defect.routine, broken, expected)
				}
			}
		})
	}
}

// inBatches is no defect: a hold that is placed alone takes so long that others come together behind it.
var inBatches = wrong{routine: "place_hold", replace: []string{"SET v_now = UTC_TIMESTAMP(6), v_over", "DO SLEEP(0.2);\n    SET v_now = UTC_TIMESTAMP(6), v_over"}}

// paidInBatches is no defect: a payment that is applied alone takes so long that others come together behind it.
var paidInBatches = wrong{routine: "apply_event", replace: []string{"SET v_now = UTC_TIMESTAMP(6);\n    IF p_type", "DO SLEEP(0.2);\n    SET v_now = UTC_TIMESTAMP(6);\n    IF p_type"}}

// wrongLedgers are ledgers with defects, each with a sale that shows them.
var wrongLedgers = map[string]struct {
	sale    simulator.Sale
	options shoptest.Options
	noCache bool // so that the database decides every request
	defects []wrong
}{
	"units are given back twice, and ended holds get orders": {
		sale: shortSale(250, plenty), options: shoptest.Options{HoldTTL: 2500 * time.Millisecond, PaymentWindow: 2 * time.Second},
		defects: []wrong{
			{"release_hold", []string{"IF v_status = 'active' THEN", "IF v_status IN ('active', 'released') THEN"}, "reserved_is_what_is_held"},
			{"create_order", []string{"v_status = 'active' AND v_now < v_expires_at", "v_status IN ('active', 'expired')"}, "orders_are_their_holds"},
		},
	},
	"any payment counts, and twice; paid orders are cancelled; holds are short and always released": {
		sale: shortSale(250, plenty),
		defects: []wrong{
			{"apply_event", []string{"ELSEIF v_result IN ('applied', 'ignored') AND NOT v_replay THEN", "ELSEIF FALSE THEN", "SET v_changed = v_owner IS NULL OR", "SET v_changed = TRUE OR v_owner IS NULL OR"}, "events_apply_once"},
			{"apply_event", []string{"SET v_exact = p_amount = v_order_amount AND p_currency = v_order_currency", "SET v_exact = TRUE"}, "no_money_is_lost"},
			{"place_hold", []string{"INTERVAL p_ttl_us MICROSECOND", "INTERVAL p_ttl_us DIV 3 MICROSECOND"}, "grants_are_true"},
			{"cancel_order", []string{"WHEN 'pending_payment' THEN 'cancelled'", "WHEN 'pending_payment' THEN 'cancelled' WHEN 'paid' THEN 'cancelled'"}, "orders_end_for_a_reason"},
			{"release_hold", []string{"WHEN v_status = 'ordered' THEN 'hold_ordered'\n", "", "v_status = 'active'", "v_status IN ('active', 'ordered')"}, "holds_end_for_a_reason"},
		},
	},
	"the stock has no limit": {
		sale: shortSale(200, 20),
		defects: []wrong{
			{"place_hold", []string{"WHERE id = p_product_id AND " + unitsLeft, "WHERE id = p_product_id"}, "never_oversold"},
			// The gate would refuse what the stock does not have, and leave the defect to a race. So each hold writes a false
			// entry.
			{"place_hold", []string{"stock AS product_stock,", "stock + 5000 AS product_stock,"}, "never_oversold"},
		},
	},
	"everything is due at once": {
		sale: shortSale(200, 50), noCache: true,
		defects: []wrong{{"reclaim_due", []string{"expires_at <= v_now", "expires_at <= v_now + INTERVAL 1 DAY", "pay_by <= v_now", "pay_by <= v_now + INTERVAL 1 DAY"}, "no_hold_ends_early"}},
	},
	"every request is refused as sold out": {
		sale: shortSale(150, plenty),
		defects: []wrong{
			{"place_hold", []string{unitsLeft, unitsLeft + " AND FALSE", "WHEN p_qty > stock", "WHEN TRUE OR p_qty > stock"}, "sold_out_is_true leftovers_can_be_bought"},
			{"refuse_hold", []string{"WHEN p_qty > p.stock", "WHEN TRUE OR p_qty > p.stock"}, "sold_out_is_true leftovers_can_be_bought"},
		},
	},
	"batches take units that are not counted, and last too short": {
		sale: shortSale(300, plenty),
		defects: []wrong{
			inBatches,
			{"place_holds", []string{"reserved_stock = reserved_stock + p_units", "reserved_stock = reserved_stock + p_units - 1"}, "reserved_is_what_is_held"},
			{"place_holds", []string{"v_now + INTERVAL p_ttl_us MICROSECOND AS", "v_now + INTERVAL p_ttl_us DIV 3 MICROSECOND AS"}, "grants_are_true"},
		},
	},
	"batches forget whose the holds are": {
		sale: shortSale(300, plenty),
		defects: []wrong{
			inBatches,
			{"place_holds", []string{"UNHEX(j.shopper), p_per_shopper", "NULL, p_per_shopper"}, "shoppers_reach_their_own"},
		},
	},
	"batches do not look at the stock": {
		sale: shortSale(300, 60),
		defects: []wrong{
			inBatches,
			{"place_holds", []string{"AND stock - reserved_stock - sold_stock >= p_units", ""}, "never_oversold"},
			// As in the sale whose stock has no limit. A hold that comes alone is refused, but leaves the gate open, too.
			{"place_holds", []string{"stock AS product_stock,", "stock + 5000 AS product_stock,"}, ""},
			{"place_hold", []string{"stock AS product_stock,", "stock + 5000 AS product_stock,"}, ""},
			{"refuse_hold", []string{"p.stock AS product_stock,", "p.stock + 5000 AS product_stock,"}, ""},
			{"snapshot", []string{"p.stock AS product_stock,", "p.stock + 5000 AS product_stock,"}, ""},
		},
	},
	"batches of payments sell units that are not counted": {
		sale: shortSale(300, plenty),
		defects: []wrong{
			paidInBatches,
			{"apply_payments", []string{"sold_stock = sold_stock + v_units", "sold_stock = sold_stock + v_units - 1"}, "sold_is_what_was_paid"},
		},
	},
	"the limit per shopper is not checked": {
		sale:    shortSale(300, plenty),
		defects: []wrong{{"place_hold", []string{"SET v_over = v_yours + p_qty > p_per_shopper OR NOT v_all", "SET v_over = FALSE"}, "limit_is_kept"}},
	},
	"the limit per shopper is checked without a lock": { // in one process, a shopper's holds are placed one after the other
		sale: shortSale(300, plenty), options: shoptest.Options{Two: true},
		defects: []wrong{{"place_hold", []string{
			"INSERT INTO shopper_products (shopper, product_id) VALUES (p_shopper, p_product_id) ON DUPLICATE KEY UPDATE locked = locked + 1;", "",
			"SET v_new = ROW_COUNT() = 1,", "SET v_new = FALSE,",
			// All of a shopper's requests at once have to be past the sum, whatever the speed of the machine.
			"IF p_price IS NOT NULL AND NOT v_over THEN\n      BEGIN", "IF p_price IS NOT NULL AND NOT v_over THEN DO SLEEP(0.1);\n      BEGIN",
		}, "limit_is_kept"}},
	},
	"a late payment takes units over the limit, and others' holds can be released": {
		sale: shortSale(300, plenty),
		defects: []wrong{
			{"settle_order", []string{"IF v_per_shopper IS NOT NULL AND (v_yours + v_qty > v_per_shopper OR NOT v_all) THEN", "IF FALSE THEN"}, "limit_is_kept"},
			{"release_hold", []string{"shopper <=> p_shopper", "TRUE"}, "shoppers_reach_their_own"},
		},
	},
}
