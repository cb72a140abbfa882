package ledger_test

import (
	"context"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
)

// Whatever price the caller passes, the outcome is the same, and a refusal leaves no row behind.
func TestRefusalsDoNotDependOnThePriceSeen(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	ctx := context.Background()
	hour := func(n int) *checkout.Moment {
		at := time.Now().UTC().Add(time.Duration(n) * time.Hour)
		return &checkout.Moment{At: &at}
	}
	two := int64(2)
	for name, tc := range map[string]struct {
		change checkout.ProductChange
		want   checkout.Code
	}{
		"open":        {checkout.ProductChange{SaleStartsAt: hour(-1), SaleEndsAt: hour(1)}, ""},
		"not-started": {checkout.ProductChange{SaleStartsAt: hour(1)}, checkout.CodeSaleNotStarted},
		"ended":       {checkout.ProductChange{SaleEndsAt: hour(-1)}, checkout.CodeSaleEnded},
		"over-limit":  {checkout.ProductChange{MaxQtyPerHold: &two}, checkout.CodeQtyOverLimit},
		"sold-out":    {checkout.ProductChange{Stock: &two}, checkout.CodeSoldOut},
	} {
		env.MustPut(t, name, 100)
		tc.change.ID = name
		if _, _, err := env.PutProduct(ctx, tc.change); err != nil {
			t.Fatal(err)
		}
		for seen, price := range map[string]*checkout.Money{
			"none": nil, "right": {Amount: 4999, Currency: "USD"}, "wrong amount": {Amount: 1, Currency: "USD"}, "wrong currency": {Amount: 4999, Currency: "EUR"},
		} {
			id := ledgertest.NewID()
			_, err := env.PlaceHold(ctx, checkout.HoldRequest{ID: id, ProductID: name, Qty: 3, TTL: ttl, Price: price})
			if checkout.CodeOf(err) != tc.want || (err != nil) != (tc.want != "") {
				t.Errorf("%s, price seen: %s: %v, want %q", name, seen, err, tc.want)
			}
			if _, err := env.Hold(ctx, checkout.Caller{}, id); (err == nil) != (tc.want == "") {
				t.Errorf("%s, price seen: %s: reading the hold: %v", name, seen, err)
			}
		}
	}
	env.MustAudit(t)
}
