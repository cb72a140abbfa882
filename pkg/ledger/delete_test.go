package ledger_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
)

// Only a product without holds can be deleted. Its id can be used again.
func TestDeleteProduct(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	env.MustPut(t, "used", 5)
	env.MustPut(t, "typo", 5)
	placed, err := env.PlaceHold(t.Context(), checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: "used", Qty: 1, TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := env.ReleaseHold(t.Context(), checkout.Caller{}, placed.Hold.ID); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]checkout.Code{"used": checkout.CodeInvalidRequest, "none": checkout.CodeProductNotFound, "typo": ""} {
		if err := env.DeleteProduct(t.Context(), id); checkout.CodeOf(err) != want || (err != nil) != (want != "") {
			t.Errorf("deleting %s: got %v, expected the code %q", id, err, want)
		}
	}
	if products, err := env.Products(t.Context(), "", 10); err != nil || len(products) != 1 || products[0].ID != "used" {
		t.Errorf("the products are %v (%v), expected the used one", products, err)
	}
	env.MustAudit(t)
	if p := env.MustPut(t, "typo", 7); p.AvailableStock() != 7 {
		t.Errorf("the product is %+v, expected a new one", p)
	}
}

// Of a hold and a deletion at the same time one wins: no hold is left without its product.
func TestDeleteProductAgainstHolds(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	for round := range 30 {
		id := fmt.Sprintf("p-%d", round)
		env.MustPut(t, id, 10)
		start, errs := make(chan struct{}), make([]error, 5)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() {
				<-start
				if i == 0 {
					errs[i] = env.DeleteProduct(t.Context(), id)
					return
				}
				_, errs[i] = env.PlaceHold(t.Context(), checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: id, Qty: 1, TTL: time.Minute})
			})
		}
		close(start)
		all.Wait()
		for i, err := range errs[1:] {
			if (err == nil) == (errs[0] == nil) {
				t.Errorf("round %d: deleting returned %v and hold %d %v, expected that one of both succeeds", round, errs[0], i, err)
			}
		}
	}
	env.MustAudit(t)
}
