package ledger

import (
	"context"

	"flashsale/pkg/checkout"
)

// Product reads a product without a lock, as the last change left it. Codes: product_not_found.
func (l *Ledger) Product(ctx context.Context, id string) (checkout.Product, error) {
	found, err := collect(ctx, l, "reading a product", scanProduct, "SELECT "+productColumns+" FROM products WHERE id = ?", id)
	if err != nil {
		return checkout.Product{}, err
	}
	if len(found) == 0 {
		return checkout.Product{}, checkout.ErrProductNotFound
	}
	return found[0], nil
}
