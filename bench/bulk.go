package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"flashsale/pkg/checkout"
)

// bulk are holds that one statement made. The n-th has the id prefix + n and 1 + n % 3 units.
type bulk struct {
	prefix [10]byte
	n      int
}

const bulkRows = 50_000 // per statement; more would fill the undo log

// expiry of the n-th hold of a bulk, in SQL.
const (
	longAgo  = "UTC_TIMESTAMP(6) - INTERVAL 1 DAY - INTERVAL n MICROSECOND"
	justNow  = "UTC_TIMESTAMP(6) - INTERVAL 1 SECOND - INTERVAL n MICROSECOND"
	tomorrow = "UTC_TIMESTAMP(6) + INTERVAL 1 DAY"
)

func (b bulk) id(n int) (id checkout.ID) {
	binary.BigEndian.PutUint64(id[8:], uint64(n)) //nolint:gosec // G115: never negative
	copy(id[:], b.prefix[:])
	return id
}

func (b bulk) qty(n int) int64 { return int64(1 + n%3) }

// holds places n holds in the database, spread over the products, as if they had been placed one by one. It updates the
// products' counters to match.
func (s *site) holds(ctx context.Context, products []string, n int, status, expires string) (b bulk, err error) {
	id := newID()
	b = bulk{prefix: [10]byte(id[:10]), n: n}
	args := []any{}
	for _, p := range products {
		args = append(args, p)
	}
	marks := strings.TrimSuffix(strings.Repeat("?,", len(products)), ",")
	for first := 0; first < n; first += bulkRows {
		rows := min(bulkRows, n-first)
		//nolint:gosec // G202: constants and question marks
		_, err = s.admin.ExecContext(ctx, `
			INSERT INTO holds (id, product_id, qty, unit_price, currency, status, created_at, expires_at)
			SELECT UNHEX(CONCAT(?, LPAD(HEX(n), 12, '0'))), ELT(1 + n % ?, `+marks+`), 1 + n % 3, 4999, 'USD', ?,
			       `+expires+` - INTERVAL 2 DAY, `+expires+`
			FROM (SELECT ? + i - 1 AS n FROM JSON_TABLE(CONCAT('[', REPEAT('0,', ? - 1), '0]'), '$[*]' COLUMNS (i FOR ORDINALITY)) t) numbers`,
			append(append([]any{hex.EncodeToString(b.prefix[:]), len(products)}, args...), status, first, rows)...)
		if err != nil {
			return b, fmt.Errorf("making holds: %w", err)
		}
	}
	if status == "ordered" { // and their time to pay is over
		first, last := b.id(0), b.id(n-1)
		_, err = s.admin.ExecContext(ctx, `
			INSERT INTO orders (id, product_id, qty, amount, currency, status, reason, stock, pay_by, created_at, updated_at)
			SELECT id, product_id, qty, qty * unit_price, currency, 'cancelled', 'payment_timeout', 'none', expires_at, created_at, expires_at
			FROM holds WHERE id BETWEEN ? AND ?`, first[:], last[:])
	}
	if status == "active" {
		//nolint:gosec // G202: question marks
		_, err = s.admin.ExecContext(ctx, `UPDATE products p SET version = version + 1,
			reserved_stock = (SELECT SUM(qty) FROM holds h WHERE h.product_id = p.id AND h.status = 'active') WHERE id IN (`+marks+`)`, args...)
	}
	if err != nil {
		return b, fmt.Errorf("finishing the holds: %w", err)
	}
	return b, nil
}
