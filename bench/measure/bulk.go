package bench

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"flashsale/pkg/checkout"
)

// bulkRows is how many rows one statement makes: enough to be quick, few enough not to fill the undo log.
const bulkRows = 50_000

// numbers is a table of the numbers below 100,000 in a column n, on servers that have no sequences.
var numbers = func() string {
	const digit = "(SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 " +
		"UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)"
	return "(SELECT a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d AS n FROM " +
		strings.Join([]string{digit + " a", digit + " b", digit + " c", digit + " d", digit + " e"}, " JOIN ") + ") numbers"
}()

// kind is what holds made in bulk are.
type kind int

const (
	old       kind = iota // expired a day ago
	cancelled             // ordered, not paid, and cancelled a day ago
	due                   // expired a moment ago, and still reserve their units
	open                  // expire tomorrow
)

// bulk are holds made in bulk.
type bulk struct{ prefix [10]byte }

// ID returns the id of the n-th hold, and qty its units.
func (b bulk) ID(n int) (id checkout.ID) {
	binary.BigEndian.PutUint64(id[8:], uint64(n)) //nolint:gosec // G115: never negative
	copy(id[:], b.prefix[:])
	return id
}

func (b bulk) qty(n int) int64 { return int64(1 + n%3) }

// holdsInBulk makes n holds of 1 to 3 units of the products by turns, as if they had been placed before, and makes the
// products' counters agree.
func (s *schema) holdsInBulk(ctx context.Context, products []string, n int, k kind) (bulk, error) {
	run := newID()
	b := bulk{[10]byte(run[:10])}
	status, expires := "active", "UTC_TIMESTAMP(6) - INTERVAL 1 SECOND - INTERVAL (100000 - n) MICROSECOND"
	switch k {
	case old, cancelled:
		status, expires = "expired", "UTC_TIMESTAMP(6) - INTERVAL 1 DAY - INTERVAL (100000 - n) MICROSECOND"
		if k == cancelled {
			status = "ordered"
		}
	case open:
		expires = "UTC_TIMESTAMP(6) + INTERVAL 1 DAY"
	case due:
	}
	for first := 0; first < n; first += bulkRows {
		//nolint:gosec // G202: nothing but constants and question marks
		_, err := s.admin.ExecContext(ctx, `
			INSERT INTO holds (id, product_id, qty, unit_price, currency, status, created_at, expires_at)
			SELECT id, product_id, qty, 4999, 'USD', ?, expires_at - INTERVAL 2 DAY, expires_at
			FROM (SELECT UNHEX(CONCAT(?, LPAD(HEX(? + n), 12, '0'))) AS id, ELT(1 + (? + n) % ?, `+places(len(products))+`) AS product_id,
			             1 + (? + n) % 3 AS qty, `+expires+` AS expires_at
			      FROM `+numbers+` WHERE n < ?) made`,
			concat([]any{status, hex.EncodeToString(b.prefix[:]), first, first, len(products)}, anys(products), []any{first, min(bulkRows, n-first)})...)
		if err != nil {
			return b, fmt.Errorf("making holds: %w", err)
		}
	}
	switch k {
	case old:
		return b, nil
	case cancelled:
		return b, s.cancelInBulk(ctx, b)
	case due, open:
	}
	//nolint:gosec // G202: question marks
	_, err := s.admin.ExecContext(ctx, `
		UPDATE products p SET version = version + 1,
		  reserved_stock = (SELECT COALESCE(SUM(qty), 0) FROM holds h WHERE h.product_id = p.id AND h.status = 'active')
		WHERE id IN (`+places(len(products))+`)`, anys(products)...)
	if err != nil {
		return b, fmt.Errorf("counting what the holds reserve: %w", err)
	}
	return b, nil
}

// cancelInBulk makes the orders of the holds of a bulk, whose time to pay is over.
func (s *schema) cancelInBulk(ctx context.Context, b bulk) error {
	_, err := s.admin.ExecContext(ctx, `
		INSERT INTO orders (id, product_id, qty, amount, currency, status, reason, stock, pay_by, created_at, updated_at)
		SELECT id, product_id, qty, qty * unit_price, currency, 'cancelled', 'payment_timeout', 'none', expires_at, created_at, expires_at
		FROM holds WHERE id >= UNHEX(CONCAT(?, '000000000000')) AND id <= UNHEX(CONCAT(?, 'FFFFFFFFFFFF'))`,
		hex.EncodeToString(b.prefix[:]), hex.EncodeToString(b.prefix[:]))
	if err != nil {
		return fmt.Errorf("making cancelled orders: %w", err)
	}
	return nil
}

func places(n int) string { return strings.TrimSuffix(strings.Repeat("?,", n), ",") }

func anys[T any](values []T) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}

func concat(parts ...[]any) (all []any) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
