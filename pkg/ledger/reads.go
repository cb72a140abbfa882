package ledger

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"flashsale/pkg/checkout"
)

// refreshLimit limits how many due holds and orders one cache fill reclaims: enough that the product is no longer sold
// out, and small enough not to delay the fill. The sweep, or a hold that runs short of stock, reclaims the rest.
const refreshLimit = 20

// Hold reads a hold with its current status.
func (l *Ledger) Hold(ctx context.Context, id checkout.ID) (checkout.Hold, error) {
	r, err := l.call(ctx, "snapshot", "read", id[:], nil, 0, 0, nil)
	if err != nil {
		return checkout.Hold{}, err
	}
	if r.hold == nil {
		return checkout.Hold{}, checkout.ErrHoldNotFound
	}
	return *r.hold, nil
}

// Order reads an order.
func (l *Ledger) Order(ctx context.Context, id checkout.ID) (checkout.Order, error) {
	r, err := l.call(ctx, "snapshot", "read", id[:], nil, 0, 0, nil)
	if err != nil {
		return checkout.Order{}, err
	}
	if r.order == nil {
		return checkout.Order{}, checkout.ErrOrderNotFound
	}
	return *r.order, nil
}

// Products lists products by id, starting after the given one.
func (l *Ledger) Products(ctx context.Context, after string, limit int) ([]checkout.Product, error) {
	query := "SELECT " + productColumns + " FROM products WHERE id > ? ORDER BY id LIMIT ?"
	return collect(ctx, l, "listing products", func(rows *sql.Rows) (checkout.Product, error) {
		names, err := rows.Columns()
		if err != nil {
			return checkout.Product{}, err
		}
		var p productRow
		if err := scanByName(rows, names, productRowColumns, p.column); err != nil {
			return checkout.Product{}, err
		}
		return *p.toProduct(), nil
	}, query, after, limit)
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

// RefreshProduct reclaims a product's due stock and reads it, to fill the stock view. Codes: product_not_found.
func (l *Ledger) RefreshProduct(ctx context.Context, id string) (checkout.Product, error) {
	receipt, err := l.ExpireDue(ctx, id, checkout.DueBatch{Holds: refreshLimit, Orders: refreshLimit})
	if err != nil {
		return checkout.Product{}, err
	}
	checkout.RecordSweep(l.rec, receipt)
	return *receipt.Product, nil
}

// GrantedKeys lists the idempotency keys of a product's holds, at most limit.
func (l *Ledger) GrantedKeys(ctx context.Context, productID string, limit int) ([]checkout.IdempotencyKey, error) {
	return collect(ctx, l, "listing granted idempotency keys", func(rows *sql.Rows) (checkout.IdempotencyKey, error) {
		var digest []byte
		if err := rows.Scan(&digest); err != nil {
			return checkout.IdempotencyKey{}, err
		}
		return checkout.IdempotencyKey(digest), nil
	}, "SELECT idempotency_key FROM holds WHERE product_id = ? AND idempotency_key IS NOT NULL LIMIT ?", productID, limit)
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
	release, err := l.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
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
