package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"flashsale/pkg/checkout"
)

const bulkRows = 50_000 // per statement; more would fill the undo log

// holds places n holds of one unit in the database, spread over the first products of the site, as if they had been
// placed one by one. They expire a microsecond apart. It updates the products' counters to match, and returns the id of
// the n-th hold.
func (s *site) holds(ctx context.Context, products, n int, status string, expiresIn time.Duration) (func(n int) checkout.ID, error) {
	prefix := newID() // the last four bytes are the number
	for first := 0; first < n; first += bulkRows {
		_, err := s.admin.ExecContext(ctx, `
			INSERT INTO holds (id, product_id, qty, unit_price, currency, status, created_at, expires_at)
			SELECT UNHEX(CONCAT(?, LPAD(HEX(n), 8, '0'))), CONCAT(?, n % ?), 1, ?, 'USD', ?, due - INTERVAL 2 DAY, due
			FROM (SELECT n, UTC_TIMESTAMP(6) + INTERVAL ? SECOND - INTERVAL n MICROSECOND AS due FROM (
				SELECT ? + i - 1 AS n FROM JSON_TABLE(CONCAT('[', REPEAT('0,', ? - 1), '0]'), '$[*]' COLUMNS (i FOR ORDINALITY)) t) numbers) times`,
			hex.EncodeToString(prefix[:12]), s.prefix, products, unitPrice, status, int(expiresIn.Seconds()), first, min(bulkRows, n-first))
		if err != nil {
			return nil, fmt.Errorf("making holds: %w", err)
		}
	}
	finish := `UPDATE products p SET version = version + 1,
		reserved_stock = (SELECT COUNT(*) FROM holds h WHERE h.product_id = p.id AND h.status = 'active')`
	if status == "ordered" { // and their time to pay is over
		finish = `INSERT INTO orders (id, product_id, qty, amount, currency, status, reason, stock, pay_by, created_at, updated_at)
			SELECT id, product_id, qty, unit_price, currency, 'cancelled', 'payment_timeout', 'none', expires_at, created_at, expires_at
			FROM holds WHERE status = 'ordered'`
	}
	if _, err := s.admin.ExecContext(ctx, finish); err != nil {
		return nil, fmt.Errorf("finishing the holds: %w", err)
	}
	return func(n int) checkout.ID {
		id := prefix
		binary.BigEndian.PutUint32(id[12:], uint32(n)) //nolint:gosec // G115: small and never negative
		return id
	}, nil
}
