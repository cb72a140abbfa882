package races

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"flashsale/internal/ledgertest"
	"flashsale/internal/shoptest"
	"flashsale/internal/simulator"
	"flashsale/pkg/checkout"
)

// salesClerk is what a rush needs of an operator, on a test's own schema.
type salesClerk struct{ *ledgertest.Env }

func (c salesClerk) PutOnSale(ctx context.Context, o simulator.Offer) error {
	_, _, err := c.PutProduct(ctx, checkout.ProductChange{
		ID: o.ID, Name: &o.Name, Price: &checkout.Money{Amount: o.Price, Currency: o.Currency}, Stock: &o.Stock, MaxQtyPerHold: &o.MaxQtyPerHold,
	})
	return err
}

func (c salesClerk) Audit(ctx context.Context) ([]simulator.Finding, error) {
	audit, err := c.Env.Audit(ctx)
	var found []simulator.Finding
	for _, f := range audit.Broken {
		found = append(found, simulator.Finding(f))
	}
	return found, err
}

// small is a sale of a second in which a unit is fought for; a test takes other numbers where it has to.
func small(shoppers int, stock int64) simulator.Sale {
	return simulator.Sale{Seed: 1, Shoppers: shoppers, Stock: stock, Spike: 600 * time.Millisecond, Duration: time.Second}
}

// rushOn plays a sale at a shop.
func rushOn(ctx context.Context, t *testing.T, s *shoptest.Shop, sale simulator.Sale) *simulator.Report {
	t.Helper()
	report, err := simulator.Run(ctx, simulator.Options{
		Sale: sale, URL: s.URL, Product: "rush-" + uuid.NewString(), Operator: salesClerk{s.Env}, Signer: s.Signer,
		HoldTTL: s.App.Service.HoldTTL, Quiet: 2 * time.Second, TakenBack: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// Everything holds on a correct ledger, with somebody else's sale beside it, and everything that a rush is made of happens.
func TestRush(t *testing.T) {
	s := shoptest.Open(t, 50, shoptest.Options{HoldTTL: 1500 * time.Millisecond, PaymentWindow: 2 * time.Second})
	t.Parallel()
	ctx, stop := context.WithCancel(context.Background())
	elsewhere := make(chan struct{})
	go func() {
		defer close(elsewhere)
		for ctx.Err() == nil {
			_, _ = s.Try(http.MethodPost, "/v1/holds", s.HoldBody(1), nil)
		}
	}()
	report := rushOn(context.Background(), t, s, small(500, 60))
	stop()
	<-elsewhere
	for _, c := range report.Invariants {
		if !c.Holds {
			t.Errorf("%s: %d broken: %v", c.Name, c.Broken, c.Evidence)
		}
		if c.LookedAt == 0 && c.Name != "leftovers_can_be_bought" {
			t.Errorf("%s looked at nothing", c.Name)
		}
	}
	f := report.Figures
	if !report.Clean || f.Shoppers != 500 || f.Holds < 40 || f.Refusals["sold_out"] < 100 || f.Duplicates == 0 || f.Replays == 0 || f.SoldOutAfter < 0 {
		t.Errorf("clean %t, %+v", report.Clean, f)
	}
	came := 0
	for _, o := range report.Outcomes {
		came += o.Shoppers
	}
	if came != 500 {
		t.Errorf("%d outcomes: %v", came, report.Outcomes)
	}
}

// Nobody comes any more after an interrupt, and everything is checked all the same.
func TestRushIsInterrupted(t *testing.T) {
	s := shoptest.Open(t, 1, shoptest.Options{HoldTTL: time.Second, PaymentWindow: time.Second})
	t.Parallel()
	ctx, stop := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer stop()
	report := rushOn(ctx, t, s, small(300, 60))
	if !report.Clean || !report.Interrupted || report.Figures.Shoppers == 0 || report.Figures.Shoppers == 300 {
		t.Errorf("%v %v %+v", report.BrokenNames(), report.Interrupted, report.Figures)
	}
}

// On a server with the usual times nothing can be waited for, and the bounds are wide; they still hold.
func TestRushOnLongTimes(t *testing.T) {
	s := shoptest.Open(t, 1, shoptest.Options{})
	t.Parallel()
	if report := rushOn(context.Background(), t, s, small(300, 60)); !report.Clean {
		t.Errorf("%+v", report.Invariants)
	}
}

// wrong is a ledger with a defect: a routine in which a text is another one.
type wrong struct {
	routine   string
	replace   []string // old, new, old, new …
	unchecked bool     // without the CHECK that would stop it
	sale      simulator.Sale
	breaks    []string // at least one of these invariants, each of which would tell
}

func TestRushFindsWrongLedgers(t *testing.T) {
	// A few units are sold out at once; of many everybody gets some; in a long sale what comes back is bought again.
	few, many, long := small(400, 60), small(400, 400), small(1500, 100)
	long.Spike, long.Duration = 3*time.Second, 3*time.Second
	const has = "stock - reserved_stock - sold_stock >= p_qty"
	guard := []string{"WHERE id = p_product_id AND " + has, "WHERE id = p_product_id"}
	for name, w := range map[string]wrong{
		"no guard":              {"place_hold", guard, false, few, []string{"no_internal_error"}},
		"no guard and no CHECK": {"place_hold", guard, true, few, []string{"never_oversold"}},
		"refuses too early": {
			"place_hold", []string{has, has + " + 20", "WHEN p_qty > stock", "WHEN p_qty + 20 > stock"}, false, few, []string{"sold_out_is_true"},
		},
		"a release gives back twice": {
			"release_hold", []string{"IF v_status = 'active' THEN", "IF v_status IN ('active', 'released') THEN"}, true, many,
			[]string{"reserved_is_what_is_held", "no_internal_error"},
		},
		"a cancellation keeps the units": {
			"cancel_order", []string{"reserved_stock = reserved_stock - v_qty,", ""}, false, many, []string{"reserved_is_what_is_held"},
		},
		"a payment counts twice": {
			"apply_payment", []string{
				"IF v_event = 'unmatched' AND p_kind", "IF p_kind", "IF v_event <> 'unmatched' THEN", "IF FALSE THEN",
				"COALESCE(v_order, 'cancelled') IN ('pending_payment', 'cancelled')", "COALESCE(v_order, 'cancelled') IN ('pending_payment', 'cancelled', 'paid')",
			},
			true, many, []string{"events_apply_once"},
		},
		"any amount will do": {
			"apply_payment", []string{"SET v_right = COALESCE(p_amount = v_qty * v_price AND p_currency = v_currency, FALSE)", "SET v_right = TRUE"},
			false, many, []string{"no_money_is_lost"},
		},
		"a late payment sells what is not there": {
			"apply_payment", []string{"AND stock - reserved_stock - sold_stock >= v_qty", ""}, true, long, []string{"never_oversold", "stock_adds_up"},
		},
		"a payment has no effect": {
			"apply_payment", []string{"SET v_to = 'paid';\n      ELSE", "SET v_outcome = 'ignored';\n      ELSE"}, false, few, []string{"no_money_is_lost"},
		},
		"holds expire early": {
			"reclaim_due", []string{"expires_at <= v_now", "expires_at <= v_now + INTERVAL 4 SECOND"},
			false, many, []string{"no_hold_ends_early", "never_oversold"},
		},
		"holds last a third of their time": {
			"place_hold", []string{"INTERVAL p_ttl_us MICROSECOND", "INTERVAL p_ttl_us DIV 3 MICROSECOND"}, false, few, []string{"grants_are_true"},
		},
		"a hold can be ordered when it is over": {
			"create_order", []string{"v_status = 'active' AND v_now < v_expires_at", "v_status IN ('active', 'expired')"}, true, many,
			[]string{"orders_are_their_holds"},
		},
		"an unpaid order never ends": {
			"reclaim_due", []string{"pay_by <= v_now", "pay_by <= v_now - INTERVAL 1 DAY"}, false, many, []string{"orders_end_for_a_reason"},
		},
		"a paid order can be cancelled": {
			"cancel_order", []string{"WHEN 'pending_payment' THEN 'cancelled'", "WHEN 'pending_payment' THEN 'cancelled' WHEN 'paid' THEN 'cancelled'"}, true, many,
			[]string{"orders_end_for_a_reason", "no_internal_error"},
		},
		"an ordered hold can be released": {
			"release_hold", []string{"WHEN v_status = 'ordered' THEN 'hold_ordered'\n", "", "v_status = 'active'", "v_status IN ('active', 'ordered')"}, true, many,
			[]string{"holds_end_for_a_reason", "no_internal_error"},
		},
		"orders time out early": {
			"reclaim_due", []string{"pay_by <= v_now", "pay_by <= v_now + INTERVAL 4 SECOND"}, false, many, []string{"no_hold_ends_early"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			times := shoptest.Options{HoldTTL: 1500 * time.Millisecond, PaymentWindow: 2 * time.Second}
			if w.routine == "reclaim_due" { // what it does four seconds early has to show before its time, on a slow machine too
				times = shoptest.Options{HoldTTL: 5 * time.Second, PaymentWindow: 5 * time.Second}
			}
			s := shoptest.Open(t, 1, times)
			install(t, s, w)
			t.Parallel()
			report := rushOn(context.Background(), t, s, w.sale)
			found := slices.ContainsFunc(w.breaks, func(check string) bool { return slices.Contains(report.BrokenNames(), check) })
			if report.Clean || !found {
				t.Errorf("broken: %v, want one of %v", report.BrokenNames(), w.breaks)
			}
			for _, c := range report.Invariants {
				if !c.Holds && len(c.Evidence) == 0 {
					t.Errorf("%s is broken without evidence", c.Name)
				}
			}
		})
	}
}

// install makes the defect in the shop's schema.
func install(t *testing.T, s *shoptest.Shop, w wrong) {
	t.Helper()
	s.BreakRoutine(t, w.routine, w.replace...)
	if w.unchecked {
		s.MustExec(t, "ALTER TABLE products DROP CONSTRAINT products_never_oversold")
	}
}
