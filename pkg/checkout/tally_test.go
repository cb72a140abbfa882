package checkout_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"flashsale/pkg/checkout"
)

// The sums of a payment do not depend on the order in which its events are added, nor on duplicates.
func TestTallyIsIndependentOfOrder(t *testing.T) {
	t.Parallel()
	order, other := checkout.ID{1}, checkout.ID{2}
	usd := func(amount int64) checkout.Money { return checkout.Money{Amount: amount, Currency: "USD"} }
	rapid.Check(t, func(t *rapid.T) {
		kinds := []checkout.PaymentKind{
			checkout.PaymentSucceeded, checkout.PaymentFailed, checkout.PaymentRefunded, checkout.PaymentRefundedSum, checkout.PaymentRefundFailed,
			checkout.PaymentDisputed, checkout.PaymentDisputeWon, checkout.PaymentDisputeLost, checkout.PaymentOther,
		}
		n := 0
		events := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) checkout.PaymentEvent {
			n++
			e := checkout.PaymentEvent{EventID: fmt.Sprint("evt", n), Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Amount: usd(rapid.SampledFrom([]int64{300, 1000}).Draw(t, "amount"))}
			switch e.Kind {
			case checkout.PaymentSucceeded:
				e.Subject = rapid.SampledFrom([]*checkout.ID{&order, &order, &other, nil}).Draw(t, "order")
			case checkout.PaymentRefunded, checkout.PaymentRefundFailed:
				e.RefundID = rapid.SampledFrom([]string{"", "r1", "r2"}).Draw(t, "refund")
			case checkout.PaymentDisputed, checkout.PaymentDisputeWon, checkout.PaymentDisputeLost:
				e.RefundID = "d"
			}
			return e
		}), 1, 8).Draw(t, "events")
		sums := func(events []checkout.PaymentEvent) checkout.Payment {
			var tally checkout.Tally
			for _, e := range events {
				tally.Add(e)
			}
			p := tally.Payment("standard", "A", order, usd(1000))
			p.Order = nil
			return p
		}
		shuffled := rapid.Permutation(events).Draw(t, "shuffled")
		if one, again := sums(events), sums(append(shuffled, shuffled[0])); one != again {
			t.Fatalf("%+v\nin another order: %+v", one, again)
		}
	})
}

func TestReturns(t *testing.T) {
	t.Parallel()
	amount := func(n int64) *int64 { return &n }
	for name, c := range map[string]struct {
		sum                    int64
		refunds                []checkout.Refund
		wantReturned, wantLeft int64 // left: unsent
	}{
		"nothing":                             {0, nil, 0, 0},
		"two refunds":                         {0, []checkout.Refund{{Status: checkout.RefundSent, Amount: amount(300)}, {Status: checkout.RefundSent, Amount: amount(200)}}, 500, 0},
		"all that is left":                    {0, []checkout.Refund{{Status: checkout.RefundSent, Amount: amount(300)}, {Status: checkout.RefundSent}}, 1000, 0},
		"a sum and its refund count once":     {300, []checkout.Refund{{Status: checkout.RefundSent, Amount: amount(300)}}, 300, 0},
		"a failed refund":                     {0, []checkout.Refund{{Status: checkout.RefundFailed, Amount: amount(300)}}, 0, 300},
		"a sum that includes a failed refund": {1000, []checkout.Refund{{Status: checkout.RefundFailed, Amount: amount(300)}}, 700, 300},
		"failed and repeated":                 {0, []checkout.Refund{{Status: checkout.RefundFailed, Amount: amount(300)}, {Status: checkout.RefundSent, Amount: amount(300)}}, 300, 0},
		"another currency":                    {0, []checkout.Refund{{Status: checkout.RefundSent, Amount: amount(300), Currency: "EUR"}}, 0, 0},
		"dispute open":                        {0, []checkout.Refund{{Status: checkout.DisputeOpen, Amount: amount(1000)}}, 0, 0},
		"dispute won":                         {0, []checkout.Refund{{Status: checkout.DisputeWon, Amount: amount(1000)}}, 0, 0},
		"dispute lost":                        {0, []checkout.Refund{{Status: checkout.DisputeLost}}, 1000, 0},
	} {
		if returned, unsent := checkout.Returns(1000, "USD", c.sum, c.refunds); returned != c.wantReturned || unsent != c.wantLeft {
			t.Errorf("%s: returned %d, unsent %d, expected %d, %d", name, returned, unsent, c.wantReturned, c.wantLeft)
		}
	}
}
