package checkout_test

import (
	"testing"

	"pgregory.net/rapid"

	"flashsale/pkg/checkout"
)

func anyPayments(t *rapid.T) []checkout.Payment {
	payments := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) checkout.Payment {
		amount := rapid.SampledFrom([]int64{0, 1, 300, 1000, 1001, 1000000}).Draw(t, "received")
		return checkout.Payment{
			Received: amount, Returned: rapid.SampledFrom([]int64{0, 0, 1, 300, 1000}).Draw(t, "returned"),
			Unsent: rapid.SampledFrom([]int64{0, 0, 300, 1000}).Draw(t, "unsent"), Exact: amount == 1000 && rapid.Bool().Draw(t, "USD"),
		}
	}), 0, 4).Draw(t, "payments")
	return payments
}

// Whatever the payments are: at most one settles, what it keeps is the price, and every cent is kept, returned or owed.
func TestSettleAccountsForEveryCent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		payments := anyPayments(t)
		from := rapid.SampledFrom([]checkout.StockPlace{checkout.StockReserved, checkout.StockAvailable, checkout.StockSold}).Draw(t, "units")
		enough, asked := rapid.Bool().Draw(t, "enough"), false
		unpaid := checkout.Standing{Status: checkout.OrderCancelled, Reason: checkout.ReasonCustomer}
		units := checkout.Settle(from, 1000, payments, func() bool { asked = true; return enough })
		standing := checkout.StandingOf(units, 1000, payments, unpaid)
		if asked && from != checkout.StockAvailable {
			t.Fatal("units were taken for an order that has some")
		}
		if from == checkout.StockSold && units != checkout.StockSold {
			t.Fatalf("sold units are %s afterwards, expected them to stay sold", units)
		}
		settling := 0
		var received, kept, owed int64
		for _, p := range payments {
			received += p.Received
			owed += p.Owed()
			if p.Settles {
				settling++
				kept = p.Kept()
				if !p.Exact || kept == 0 {
					t.Fatalf("%+v settles, expected the exact amount and something kept", p)
				}
			}
			held := p.Owed()
			if p.Settles {
				held += p.Kept()
			}
			if held != p.Held() {
				t.Fatalf("%+v: %d are kept or owed, expected all that is held", p, held)
			}
		}
		if settling > 1 {
			t.Fatalf("%d payments settle one order", settling)
		}
		if (standing.Status == checkout.OrderPaid) != (settling == 1) {
			t.Fatalf("the order is %s with %d settling payments", standing.Status, settling)
		}
		if settling == 1 && units != checkout.StockSold {
			t.Fatalf("a payment settles units that are %s", units)
		}
		if owed > 0 && standing.Status != checkout.OrderPaid && standing.Status != checkout.OrderRefundDue {
			t.Fatalf("%d are owed, but the order is %s", owed, standing.Status)
		}
		if standing.Status == checkout.OrderRefundDue && owed == 0 {
			t.Fatal("the order is refund_due, but nothing is owed")
		}
		if (received == 0) != (standing == unpaid) {
			t.Fatalf("%d were received, and the order is %s", received, standing.Status)
		}
		if units == checkout.StockReserved && received > 0 {
			t.Fatal("units stay reserved although money came")
		}
		// Deciding again changes nothing, unless units are taken.
		if again := checkout.Settle(units, 1000, payments, func() bool { return false }); again != units || checkout.StandingOf(again, 1000, payments, unpaid) != standing {
			t.Fatalf("deciding again gives %s, expected %s as before", again, units)
		}
	})
}

func TestFreeOrders(t *testing.T) {
	t.Parallel()
	unpaid := checkout.Standing{Status: checkout.OrderPaid}
	extra := []checkout.Payment{{Received: 500}}
	units := checkout.Settle(checkout.StockSold, 0, extra, nil)
	if got := checkout.StandingOf(units, 0, extra, unpaid); units != checkout.StockSold || got.Status != checkout.OrderPaid || extra[0].Owed() != 500 {
		t.Errorf("a free order that got 5.00 is %s, and %d are owed; expected paid and 500", got.Status, extra[0].Owed())
	}
	nothing := []checkout.Payment{{Exact: true}}
	units = checkout.Settle(checkout.StockReserved, 0, nothing, nil)
	if got := checkout.StandingOf(units, 0, nothing, checkout.Standing{}); units != checkout.StockSold || got.Status != checkout.OrderPaid {
		t.Errorf("a free order with a payment of 0 is %q, its units are %s; expected paid and sold", got.Status, units)
	}
}
