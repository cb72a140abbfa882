package ledger

import (
	"context"
	"database/sql"

	"flashsale/pkg/checkout"
)

// Product reads a product without a lock, as the last change left it. Codes: product_not_found.
func (l *Ledger) Product(ctx context.Context, id string) (checkout.Product, error) {
	found, err := collect(ctx, l, "reading a product", func(rows *sql.Rows) (checkout.Product, error) {
		names, err := rows.Columns()
		if err != nil {
			return checkout.Product{}, err
		}
		var p productRow
		if err := scanByName(rows, names, productRowColumns, p.column); err != nil {
			return checkout.Product{}, err
		}
		return *p.toProduct(), nil
	}, "SELECT "+productColumns+" FROM products WHERE id = ?", id)
	if err != nil {
		return checkout.Product{}, err
	}
	if len(found) == 0 {
		return checkout.Product{}, checkout.ErrProductNotFound
	}
	return found[0], nil
}
