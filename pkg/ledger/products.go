package ledger

import (
	"context"
	"fmt"
	"time"

	"flashsale/pkg/checkout"
)

// PutProduct creates a product or changes it: routines/put_product.sql. created tells which. Codes: invalid_request.
func (l *Ledger) PutProduct(ctx context.Context, c checkout.ProductChange) (p checkout.Product, created bool, err error) {
	var price, currency any
	if c.Price != nil {
		price, currency = c.Price.Amount, c.Price.Currency
	}
	var starts, ends *time.Time
	if c.SaleStartsAt != nil {
		starts = c.SaleStartsAt.At
	}
	if c.SaleEndsAt != nil {
		ends = c.SaleEndsAt.At
	}
	var perShopper *int64
	if c.MaxPerShopper != nil {
		perShopper = c.MaxPerShopper.Units
	}
	r, err := l.call(ctx, "put_product", c.ID, c.Name, price, currency, c.Stock, c.MaxQtyPerHold,
		c.SaleStartsAt != nil, starts, c.SaleEndsAt != nil, ends, c.MaxPerShopper != nil, perShopper, c.Hidden)
	if err != nil {
		return checkout.Product{}, false, err
	}
	switch r.outcome {
	case "created", "changed":
		return *r.product, r.outcome == "created", nil
	case "incomplete":
		return checkout.Product{}, false, checkout.Invalid("product", "there is no product "+c.ID+"; a new product needs a name, a price with currency, and a stock")
	case "stock_below_taken":
		return checkout.Product{}, false, checkout.Invalid("stock", fmt.Sprintf("expected at least %d: %d are reserved and %d are sold",
			r.product.ReservedStock+r.product.SoldStock, r.product.ReservedStock, r.product.SoldStock))
	case "window_invalid":
		return checkout.Product{}, false, checkout.Invalid("sale_ends_at", "expected a time after sale_starts_at")
	}
	return checkout.Product{}, false, unknownOutcome("put_product", r)
}

// DeleteProduct deletes a product without holds: routines/delete_product.sql. If the response to a call was lost, the repeated call
// returns product_not_found.
func (l *Ledger) DeleteProduct(ctx context.Context, id string) error {
	r, err := l.call(ctx, "delete_product", id)
	if err != nil {
		return err
	}
	switch r.outcome {
	case "deleted":
		return nil
	case "in_use":
		return checkout.Invalid("product", "expected a product without holds and orders, but "+id+" has some; end its sale or hide it instead")
	case "product_not_found":
		return checkout.ErrProductNotFound
	}
	return unknownOutcome("delete_product", r)
}
