package ledger

import (
	"context"
	"database/sql"
	"encoding/hex"
	"time"

	"flashsale/pkg/checkout"
)

// shoppersHolds selects a shopper's holds, the latest first, in the columns of snapshot.sql.
const shoppersHolds = `
	SELECT h.id AS hold_id, h.product_id AS hold_product_id, h.qty AS hold_qty,
	  IF(h.status = 'active' AND h.expires_at <= UTC_TIMESTAMP(6), 'expired', h.status) AS hold_status,
	  h.created_at AS hold_created_at, h.expires_at AS hold_expires_at, h.shopper AS hold_shopper, o.id AS order_id
	FROM holds h FORCE INDEX (holds_shopper) LEFT JOIN orders o ON o.id = h.id
	WHERE h.shopper = UNHEX(?) AND h.id < UNHEX(?) ORDER BY h.id DESC LIMIT ?`

// shoppersOrders selects the same holds with their orders. The index has all it needs of a hold, so that holds without an
// order are cheap: a hoarder has many.
const shoppersOrders = `
	SELECT h.id AS hold_id, o.product_id AS hold_product_id, o.qty AS hold_qty,
	  o.id AS order_id, o.amount AS order_amount, o.currency AS order_currency, o.status AS order_status, o.reason AS order_reason, o.reference AS order_reference,
	  o.pay_by AS order_pay_by, o.created_at AS order_created_at, o.updated_at AS order_updated_at
	FROM holds h FORCE INDEX (holds_shopper) LEFT JOIN orders o ON o.id = h.id
	WHERE h.shopper = UNHEX(?) AND h.id < UNHEX(?) ORDER BY h.id DESC LIMIT ?`

const (
	shoppersHoldsColumns  = 8
	shoppersOrdersColumns = 12
)

// shopperPage is how many of a shopper's holds OrdersOf looks at for one page: it bounds the cost of a request. Most of them may
// have no order.
const shopperPage = 100

// HoldsOf lists a shopper's holds.
func (l *Ledger) HoldsOf(ctx context.Context, shopper checkout.Shopper, before checkout.ID, limit int) ([]checkout.Hold, error) {
	found, err := collect(ctx, l, "listing a shopper's holds", scanPartOf(shoppersHoldsColumns), shoppersHolds,
		hex.EncodeToString(shopper[:]), hex.EncodeToString(before[:]), limit)
	holds := make([]checkout.Hold, len(found))
	for i, r := range found {
		holds[i] = *r.hold
	}
	return holds, err
}

// OrdersOf lists a shopper's orders. A page has fewer than limit, or none, if the holds that it looked at have no more.
func (l *Ledger) OrdersOf(ctx context.Context, shopper checkout.Shopper, before checkout.ID, limit int) (orders []checkout.Order, next *checkout.ID, err error) {
	found, err := collect(ctx, l, "listing a shopper's orders", scanPartOf(shoppersOrdersColumns), shoppersOrders,
		hex.EncodeToString(shopper[:]), hex.EncodeToString(before[:]), shopperPage)
	for i, r := range found {
		if r.order == nil {
			continue
		}
		if len(orders) == limit {
			return orders, &found[i-1].hold.ID, err
		}
		orders = append(orders, *r.order)
	}
	if len(found) == shopperPage {
		next = &found[len(found)-1].hold.ID
	}
	return orders, next, err
}

// BlockShopper blocks a shopper from placing holds, or unblocks it: routines/block_shopper.sql.
func (l *Ledger) BlockShopper(ctx context.Context, shopper checkout.Shopper, blocked bool, operator string) error {
	r, err := l.call(ctx, "block_shopper", shopper[:], blocked, operator)
	if err == nil && r.outcome != "blocked" && r.outcome != "unblocked" {
		err = unknownOutcome("block_shopper", r)
	}
	return err
}

// BlockedShoppers lists the blocked shoppers, the latest block first and at most limit.
func (l *Ledger) BlockedShoppers(ctx context.Context, limit int) (list List[BlockedShopper], err error) {
	const doing = "listing blocked shoppers"
	if list.Total, err = l.count(ctx, doing, "SELECT COUNT(*) FROM blocked_shoppers"); err != nil {
		return list, err
	}
	list.Entries, err = collect(ctx, l, doing, func(rows *sql.Rows) (b BlockedShopper, err error) {
		var shopper []byte
		err = rows.Scan(&shopper, &b.Operator, &b.BlockedAt)
		b.Shopper = shopperText(shopper)
		return b, err
	}, "SELECT shopper, operator, blocked_at FROM blocked_shoppers ORDER BY blocked_at DESC, shopper LIMIT ?", limit)
	list.Entries = notNil(list.Entries)
	return list, err
}

// Blocked reports whether a shopper is blocked.
func (l *Ledger) Blocked(ctx context.Context, shopper checkout.Shopper) (bool, error) {
	n, err := l.count(ctx, "looking for a blocked shopper", "SELECT COUNT(*) FROM blocked_shoppers WHERE shopper = UNHEX(?)", hex.EncodeToString(shopper[:]))
	return n > 0, err
}

// BlockedShopper is a shopper that an operator has blocked.
type BlockedShopper struct {
	Shopper   string    `json:"shopper"`
	Operator  string    `json:"operator"`
	BlockedAt time.Time `json:"blocked_at"`
}
