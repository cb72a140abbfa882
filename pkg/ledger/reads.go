package ledger

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"flashsale/pkg/checkout"
)

// columnsWithoutDue are the columns of a product whose reserved stock is without the units that are due. A read counts all of
// them only if the product is short of units, and someone may be refused for lack of them. Otherwise a thousand rows would cost
// more than placing a hold, which often fills the stock view first.
var columnsWithoutDue = strings.Replace(productColumns, "reserved_stock AS", "CAST(GREATEST(reserved_stock"+
	" - IF(stock - reserved_stock - sold_stock >= max_qty_per_hold, "+dueUnits(fewDue)+", "+dueUnits(maxDue)+"), 0) AS SIGNED) AS", 1)

// How many due holds, and how many due orders, one read of a product counts at the most.
const (
	fewDue = 50 // while there are units enough for any hold
	maxDue = 1000
)

// dueUnits sums the units of due holds and orders. Its two parameters are the product's id.
func dueUnits(limit int) string {
	return fmt.Sprintf(`COALESCE((SELECT SUM(qty) FROM (SELECT qty FROM holds WHERE product_id = ? AND status = 'active' AND expires_at <= UTC_TIMESTAMP(6) LIMIT %d) AS h), 0)
	+ COALESCE((SELECT SUM(qty) FROM (SELECT qty FROM orders WHERE product_id = ? AND status = 'pending_payment' AND pay_by <= UTC_TIMESTAMP(6) LIMIT %d) AS o), 0)`, limit, limit)
}

// Hold reads a hold with its current status.
func (l *Ledger) Hold(ctx context.Context, by checkout.Caller, id checkout.ID) (checkout.Hold, error) {
	r, err := l.call(ctx, "snapshot", "read", id[:], nil, 0, 0, nil)
	if err != nil {
		return checkout.Hold{}, err
	}
	if r.hold == nil || !by.Owns(r.hold.Shopper) {
		return checkout.Hold{}, checkout.ErrHoldNotFound
	}
	return *r.hold, nil
}

// Order reads an order.
func (l *Ledger) Order(ctx context.Context, by checkout.Caller, id checkout.ID) (checkout.Order, error) {
	r, err := l.call(ctx, "snapshot", "read", id[:], nil, 0, 0, nil)
	if err != nil {
		return checkout.Order{}, err
	}
	if r.order == nil || r.hold == nil || !by.Owns(r.hold.Shopper) {
		return checkout.Order{}, checkout.ErrOrderNotFound
	}
	return *r.order, nil
}

// Products lists products by id, starting after the given one.
func (l *Ledger) Products(ctx context.Context, after string, limit int) ([]checkout.Product, error) {
	query := "SELECT " + productColumns + " FROM products WHERE id > ? ORDER BY id LIMIT ?"
	return collect(ctx, l, "listing products", scanProduct, query, after, limit)
}

func scanProduct(rows *sql.Rows) (checkout.Product, error) {
	names, err := rows.Columns()
	if err != nil {
		return checkout.Product{}, err
	}
	var p productRow
	if err := scanByName(rows, names, productRowColumns, p.column); err != nil {
		return checkout.Product{}, err
	}
	return *p.toProduct(), nil
}

// KeyUsed reports whether there is a hold that was placed with the idempotency key.
func (l *Ledger) KeyUsed(ctx context.Context, key checkout.IdempotencyKey) (bool, error) {
	start, outcome := time.Now(), "unused"
	found, err := collect(ctx, l, "looking up an idempotency key", scanOne[int],
		"SELECT 1 FROM holds WHERE idempotency_key = UNHEX(?)", hex.EncodeToString(key[:]))
	switch {
	case err != nil:
		outcome = "error"
	case len(found) > 0:
		outcome = "used"
	}
	l.record("key_used", outcome, start) // counted as a call, because the gate exists to save it
	return len(found) > 0, err
}

// DueProducts lists the products with due holds or orders.
func (l *Ledger) DueProducts(ctx context.Context, limit int) ([]string, error) {
	return collect(ctx, l, "looking for due holds and orders", scanOne[string], `
		SELECT p.id FROM products p
		WHERE p.reserved_stock > 0
		  AND (EXISTS (SELECT 1 FROM holds h WHERE h.product_id = p.id AND h.status = 'active' AND h.expires_at <= UTC_TIMESTAMP(6))
		    OR EXISTS (SELECT 1 FROM orders o WHERE o.product_id = p.id AND o.status = 'pending_payment' AND o.pay_by <= UTC_TIMESTAMP(6)))
		ORDER BY p.id LIMIT ?`, limit)
}

// WaitingEvents lists stored events whose next try is due, the longest due first.
func (l *Ledger) WaitingEvents(ctx context.Context, limit int) ([]checkout.EventRef, error) {
	return collect(ctx, l, "looking for payment events to apply", scanEventRef, `
		SELECT provider, event_id FROM payment_events
		WHERE result IN ('stored', 'unmatched', 'applied', 'ignored') AND retry_at <= UTC_TIMESTAMP(6) -- all: for the index
		ORDER BY retry_at, received_at LIMIT ?`, limit)
}

// EventsWaitingFor lists the stored events that wait for an order or for one of its payments.
func (l *Ledger) EventsWaitingFor(ctx context.Context, order checkout.ID) ([]checkout.EventRef, error) {
	id := hex.EncodeToString(order[:])
	return collect(ctx, l, "looking for payment events that wait for an order", scanEventRef, `
		SELECT provider, event_id FROM payment_events WHERE subject_id = UNHEX(?) AND result IN ('unmatched', 'stored')
		UNION
		SELECT e.provider, e.event_id FROM payments p JOIN payment_events e ON e.provider = p.provider AND e.payment_id = p.payment_id
		WHERE p.order_id = UNHEX(?) AND e.result IN ('unmatched', 'stored') LIMIT ?`, id, id, maxWoken)
}

// maxWoken limits the events that one delivery applies besides its own. The sweep applies the rest.
const maxWoken = 20

// Product reads a product, to fill the stock view. It locks and reclaims nothing. Units that are due count as
// available already: place_hold reclaims them when they are wanted, also while no sweeper runs. Codes: product_not_found.
func (l *Ledger) Product(ctx context.Context, id string) (checkout.Product, error) {
	asked := time.Now()
	found, err := collect(ctx, l, "reading a product", scanProduct,
		"SELECT "+columnsWithoutDue+" FROM products WHERE id = ?", id, id, id, id, id)
	if err != nil {
		return checkout.Product{}, err
	}
	if len(found) == 0 {
		return checkout.Product{}, checkout.ErrProductNotFound
	}
	found[0].AskedAt = asked
	return found[0], nil
}

// GrantedKeys lists the idempotency keys of all holds of a product.
func (l *Ledger) GrantedKeys(ctx context.Context, productID string) ([]checkout.IdempotencyKey, error) {
	return collect(ctx, l, "listing granted idempotency keys", scanKey,
		"SELECT idempotency_key FROM holds WHERE product_id = ? AND idempotency_key IS NOT NULL", productID)
}

// RecentKeys reads a number of holds before a hold, the latest first, and lists the keys of those of a product. Its cost is
// that of the holds, whatever their products and however many there are. Their ids are in the order of time.
func (l *Ledger) RecentKeys(ctx context.Context, productID string, before checkout.ID, holds int) (recent checkout.RecentKeys, err error) {
	const doing = "listing recent idempotency keys"
	end := hex.EncodeToString(before[:])
	first, err := collect(ctx, l, doing, scanOne[[]byte],
		"SELECT id FROM holds WHERE id < UNHEX(?) ORDER BY id DESC LIMIT 1 OFFSET ?", end, holds-1)
	if err != nil {
		return recent, err
	}
	start := ""
	if len(first) > 0 {
		recent.First = (*checkout.ID)(first[0])
		start = hex.EncodeToString(first[0])
	}
	recent.Keys, err = collect(ctx, l, doing, scanKey, `
		SELECT idempotency_key FROM holds FORCE INDEX (PRIMARY)
		WHERE id >= UNHEX(?) AND id < UNHEX(?) AND product_id = ? AND idempotency_key IS NOT NULL`, start, end, productID)
	return recent, err
}

func scanKey(rows *sql.Rows) (checkout.IdempotencyKey, error) {
	var digest []byte
	if err := rows.Scan(&digest); err != nil {
		return checkout.IdempotencyKey{}, err
	}
	return checkout.IdempotencyKey(digest), nil
}

func scanEventRef(rows *sql.Rows) (e checkout.EventRef, err error) {
	return e, rows.Scan(&e.Provider, &e.EventID)
}

func scanOne[T any](rows *sql.Rows) (v T, err error) { return v, rows.Scan(&v) }

// collect runs a plain SELECT and scans its rows. database/sql retries it on a dead connection. A database that cannot
// be reached is busy, as in call.
func collect[T any](ctx context.Context, l *Ledger, doing string, scan func(*sql.Rows) (T, error), query string, args ...any) (_ []T, err error) {
	ctx, cancel := context.WithTimeout(ctx, callBudget)
	defer cancel()
	defer func() {
		if err == nil {
			return
		}
		err = fmt.Errorf("%s: %w", doing, err)
		if class, _ := classify(err); class != fail {
			err = checkout.Busy(err)
		}
	}()
	leave, err := l.enter(ctx, "snapshot", nil)
	if err != nil {
		return nil, err
	}
	defer leave()
	rows, err := l.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return scanAll(rows, scan)
}

// scanAll scans and closes rows.
func scanAll[T any](rows *sql.Rows, scan func(*sql.Rows) (T, error)) (all []T, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}
