package bench

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// A design is a way to place a hold on a product. All write the same row of holds.
type design struct {
	name string
	what string // for the report; Markdown
	// open prepares it for a number of callers, over a link that adds delay to each round trip.
	open func(s *schema, callers int, delay time.Duration) (place func(ctx context.Context, product string) error, closing func() error, err error)
}

const (
	holdTTL   = 2 * time.Minute
	unitPrice = 4999
)

// The designs that are compared, in the order of the report.
const (
	usual   = "usual"
	guarded = "guarded UPDATE"
	shipped = "this ledger"
	keyed   = "this ledger, keyed"
	unqueue = "this ledger, no queue"
	ceiling = "ceiling"
)

var designs = []design{
	{usual, "`BEGIN; SELECT … FOR UPDATE; INSERT; UPDATE; COMMIT` from the client at the server's isolation (REPEATABLE READ), a connection for each caller", fromClient(usualHold)},
	{guarded, "`BEGIN; INSERT; UPDATE … WHERE enough is left; COMMIT` from the client, a connection for each caller", fromClient(guardedHold)},
	{shipped, "one `CALL place_hold`, as `flashsale run` makes it: the callers queue for the " + strconv.Itoa(ledger.MaxConns) + " connections of its pool", asShipped(false)},
	{keyed, "the same, each hold with an `Idempotency-Key` of its own: one lookup and one index entry more", asShipped(true)},
	{unqueue, "one `CALL place_hold` over a connection for each caller, as from so many Lambda functions without RDS Proxy's queue", fromClient(unqueuedHold)},
	{ceiling, "bare `INSERT` of the same row, autocommit, a connection for each caller: no product is touched, nobody waits for anybody", fromClient(bareInsert)},
}

const insertHold = `INSERT INTO holds (id, product_id, qty, unit_price, currency, status, created_at, expires_at)
	VALUES (UNHEX(?), ?, 1, 4999, 'USD', 'active', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) + INTERVAL 120 SECOND)`

func hexID() string {
	id := newID()
	return hex.EncodeToString(id[:])
}

// fromClient makes a design of what a client does with its own pool of connections.
func fromClient(do func(db *sql.DB) func(context.Context, string) error) func(*schema, int, time.Duration) (func(context.Context, string) error, func() error, error) {
	return func(s *schema, callers int, delay time.Duration) (func(context.Context, string) error, func() error, error) {
		db, err := connect(s.adminDSN, callers, delay) // the application's user may not do any of it but CALL
		if err != nil {
			return nil, nil, err
		}
		return do(db), db.Close, nil
	}
}
func usualHold(db *sql.DB) func(context.Context, string) error {
	return func(ctx context.Context, product string) error {
		return transaction(ctx, db, func(tx *sql.Tx) error {
			var available int64
			err := tx.QueryRowContext(ctx, "SELECT stock - reserved_stock - sold_stock FROM products WHERE id = ? FOR UPDATE", product).Scan(&available)
			if err != nil {
				return err
			}
			if available < 1 {
				return checkout.SoldOut(available)
			}
			if _, err := tx.ExecContext(ctx, insertHold, hexID(), product); err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, "UPDATE products SET reserved_stock = reserved_stock + 1, version = version + 1, updated_at = UTC_TIMESTAMP(6) WHERE id = ?", product)
			return err
		})
	}
}

func guardedHold(db *sql.DB) func(context.Context, string) error {
	return func(ctx context.Context, product string) error {
		return transaction(ctx, db, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, insertHold, hexID(), product); err != nil {
				return err
			}
			result, err := tx.ExecContext(ctx, `UPDATE products SET reserved_stock = reserved_stock + 1, version = version + 1, updated_at = UTC_TIMESTAMP(6)
				WHERE id = ? AND stock - reserved_stock - sold_stock >= 1`, product)
			if err != nil {
				return err
			}
			if n, err := result.RowsAffected(); n == 0 {
				return errors.Join(checkout.SoldOut(0), err)
			}
			return nil
		})
	}
}

func transaction(ctx context.Context, db *sql.DB, do func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning: %w", err)
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// asShipped makes a design of the ledger as every binary opens it.
func asShipped(keyed bool) func(*schema, int, time.Duration) (func(context.Context, string) error, func() error, error) {
	return func(s *schema, _ int, delay time.Duration) (func(context.Context, string) error, func() error, error) {
		dsn, err := overLink(s.appDSN, delay)
		if err != nil {
			return nil, nil, err
		}
		l, err := ledger.Open(dsn, nothing{})
		if err != nil {
			return nil, nil, err
		}
		return func(ctx context.Context, product string) error {
			request := holdRequest(product)
			if keyed {
				key := checkout.IdempotencyKey(sha256.Sum256(request.ID[:]))
				request.Key = &key
			}
			_, err := l.PlaceHold(ctx, request)
			return err
		}, l.Close, nil
	}
}

// holdRequest asks for a unit of a product that s.product put on sale.
func holdRequest(product string) checkout.HoldRequest {
	return checkout.HoldRequest{
		ID: newID(), ProductID: product, Qty: 1, TTL: holdTTL, Price: &checkout.Money{Amount: unitPrice, Currency: "USD"},
	}
}

func unqueuedHold(db *sql.DB) func(context.Context, string) error {
	l := ledger.New(db, nothing{})
	return func(ctx context.Context, product string) error {
		_, err := l.PlaceHold(ctx, holdRequest(product))
		return err
	}
}

func bareInsert(db *sql.DB) func(context.Context, string) error {
	return func(ctx context.Context, product string) error {
		_, err := db.ExecContext(ctx, insertHold, hexID(), product)
		return err
	}
}
