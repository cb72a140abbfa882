package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"flashsale/pkg/checkout"
)

const bulkRows = 50_000 // per statement; more would fill the undo log

// expiry of the n-th hold, in SQL.
const (
	longAgo  = "UTC_TIMESTAMP(6) - INTERVAL 1 DAY - INTERVAL n MICROSECOND"
	justNow  = "UTC_TIMESTAMP(6) - INTERVAL 1 SECOND - INTERVAL n MICROSECOND"
	tomorrow = "UTC_TIMESTAMP(6) + INTERVAL 1 DAY"
)

// holds places n holds of one unit in the database, spread over the first products of the site, as if they had been
// placed one by one. It updates the products' counters to match, and returns the id of the n-th hold.
func (s *site) holds(ctx context.Context, products, n int, status, expires string) (func(n int) checkout.ID, error) {
	prefix := newID() // the last six bytes are the number
	for first := 0; first < n; first += bulkRows {
		//nolint:gosec // G202: constants
		_, err := s.admin.ExecContext(ctx, `
			INSERT INTO holds (id, product_id, qty, unit_price, currency, status, created_at, expires_at)
			SELECT UNHEX(CONCAT(?, LPAD(HEX(n), 12, '0'))), CONCAT(?, n % ?), 1, ?, 'USD', ?, `+expires+` - INTERVAL 2 DAY, `+expires+`
			FROM (SELECT ? + i - 1 AS n FROM JSON_TABLE(CONCAT('[', REPEAT('0,', ? - 1), '0]'), '$[*]' COLUMNS (i FOR ORDINALITY)) t) numbers`,
			hex.EncodeToString(prefix[:10]), s.prefix, products, unitPrice, status, first, min(bulkRows, n-first))
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
		var number [8]byte
		binary.BigEndian.PutUint64(number[:], uint64(n)) //nolint:gosec // G115: never negative
		copy(id[10:], number[2:])
		return id
	}, nil
}
