package ledger

import (
	"context"
	"database/sql"
	"encoding/hex"
	"strings"
	"time"

	"flashsale/pkg/checkout"
)

// ReservationKind says what reserves the units.
type ReservationKind string

// The kinds. An expired hold and an order past pay_by are not reservations: their units are about to return.
const (
	ReservedByHold  ReservationKind = "hold"  // an active hold
	ReservedByOrder ReservationKind = "order" // an unpaid order
)

// ReservationFilter selects reservations. Empty fields select all.
type ReservationFilter struct {
	Kind      ReservationKind `json:"kind,omitempty"`
	ProductID string          `json:"product_id,omitempty"`
	Shopper   string          `json:"shopper,omitempty"`    // as checkout.Shopper formats it: shopper_… or anonymous
	OlderThan time.Duration   `json:"older_than,omitempty"` // nanoseconds since the hold was placed, by the database's clock
	PlacedBy  *time.Time      `json:"placed_by,omitempty"`  // the hold was placed at that time or before
}

// Reservation is an active hold or an unpaid order.
type Reservation struct {
	ID        string          `json:"id"` // hold_… or ord_…
	Kind      ReservationKind `json:"kind"`
	ProductID string          `json:"product_id"`
	Qty       int64           `json:"qty"`
	Shopper   string          `json:"shopper"` // shopper_… or anonymous
	Since     time.Time       `json:"since"`   // when the hold was placed, also of an order
	Until     time.Time       `json:"until"`   // expires_at or pay_by
}

// ReservedUnits are the reservations of one shopper.
type ReservedUnits struct {
	Shopper      string `json:"shopper"`
	Units        int64  `json:"units"`
	Reservations int64  `json:"reservations"`
}

// Reservations is the beginning of a list of reservations, with the sums of the whole list.
type Reservations struct {
	List[Reservation]
	Units    int64           `json:"units"`
	Shoppers []ReservedUnits `json:"shoppers"` // at most maxShoppers, the one with the most units first
	AsOf     time.Time       `json:"as_of"`    // by the database's clock; zero in an empty list
}

const (
	// MaxReservations limits the holds, and the orders, that one list looks at. A list that reaches this total may be incomplete.
	MaxReservations = 50_000
	maxShoppers     = 5
)

// Reservations lists the active holds and the unpaid orders that the filter selects, oldest first and at most limit. It reads
// only what is reserved now, from the indexes by product and status, so old holds add no cost. That includes a filter by
// shopper: the index of a shopper's holds has the ended ones too. Codes: invalid_request.
func (l *Ledger) Reservations(ctx context.Context, f ReservationFilter, limit int) (r Reservations, err error) {
	const doing = "listing reservations"
	selected, args, err := f.query()
	if err != nil {
		return r, err
	}
	r.Entries, err = collect(ctx, l, doing, func(rows *sql.Rows) (e Reservation, err error) {
		var id, shopper []byte
		err = rows.Scan(&id, &e.Kind, &e.ProductID, &e.Qty, &shopper, &e.Since, &e.Until, &r.AsOf, &r.Total, &r.Units)
		if e.ID = orderID(id); e.Kind == ReservedByHold && len(id) == len(checkout.ID{}) {
			e.ID = checkout.ID(id).HoldID()
		}
		e.Shopper = shopperText(shopper)
		return e, err
	}, `SELECT id, kind, product_id, qty, shopper, created_at, ends_at, UTC_TIMESTAMP(6), COUNT(*) OVER (), SUM(qty) OVER ()
		FROM (`+selected+`) away ORDER BY created_at, id LIMIT ?`, append(args, limit)...)
	if err != nil {
		return Reservations{}, err
	}
	r.Shoppers, err = collect(ctx, l, doing, func(rows *sql.Rows) (u ReservedUnits, err error) {
		var shopper []byte
		err = rows.Scan(&shopper, &u.Units, &u.Reservations)
		u.Shopper = shopperText(shopper)
		return u, err
	}, `SELECT shopper, SUM(qty), COUNT(*) FROM (`+selected+`) away GROUP BY shopper ORDER BY SUM(qty) DESC, shopper LIMIT ?`,
		append(args, maxShoppers)...)
	r.Entries, r.Shoppers = notNil(r.Entries), notNil(r.Shoppers)
	return r, err
}

// Each part begins with the products that have reserved units, since the indexes begin with the product.
const (
	activeHolds = `(SELECT STRAIGHT_JOIN h.id, 'hold' AS kind, h.product_id, h.qty, h.shopper, h.created_at, h.expires_at AS ends_at
		FROM products p JOIN holds h FORCE INDEX (holds_due) ON h.product_id = p.id AND h.status = 'active'
		WHERE p.reserved_stock > 0 AND h.expires_at > UTC_TIMESTAMP(6)`
	unpaidOrders = `(SELECT STRAIGHT_JOIN h.id, 'order' AS kind, h.product_id, h.qty, h.shopper, h.created_at, o.pay_by AS ends_at
		FROM products p JOIN orders o FORCE INDEX (orders_due) ON o.product_id = p.id AND o.status = 'pending_payment' JOIN holds h ON h.id = o.id
		WHERE p.reserved_stock > 0 AND o.pay_by > UTC_TIMESTAMP(6)`
)

// query selects the reservations. Codes: invalid_request.
func (f ReservationFilter) query() (string, []any, error) {
	var where strings.Builder
	var filters []any
	narrow := func(condition string, arg any) {
		where.WriteString(" AND " + condition)
		filters = append(filters, arg)
	}
	if f.ProductID != "" {
		if !checkout.ValidProductID(f.ProductID) {
			return "", nil, checkout.Invalid("product_id", "expected the id of a product")
		}
		narrow("p.id = ?", f.ProductID)
	}
	if f.Shopper != "" {
		shopper, ok := checkout.ParseShopper(f.Shopper)
		switch {
		case ok:
			narrow("h.shopper = UNHEX(?)", hex.EncodeToString(shopper[:]))
		case f.Shopper == shopper.String(): // anonymous
			where.WriteString(" AND h.shopper IS NULL")
		default:
			return "", nil, checkout.Invalid("shopper", "expected shopper_ and 26 characters, or anonymous")
		}
	}
	if f.OlderThan < 0 {
		return "", nil, checkout.Invalid("older_than", "expected 0 or more")
	}
	if f.OlderThan > 0 {
		narrow("h.created_at <= UTC_TIMESTAMP(6) - INTERVAL ? MICROSECOND", f.OlderThan.Microseconds())
	}
	if f.PlacedBy != nil {
		narrow("h.created_at <= ?", f.PlacedBy.UTC())
	}
	var parts []string
	var args []any
	for _, part := range []struct {
		kind ReservationKind
		text string
	}{{ReservedByHold, activeHolds}, {ReservedByOrder, unpaidOrders}} {
		if f.Kind == "" || f.Kind == part.kind {
			parts = append(parts, part.text+where.String()+" LIMIT ?)")
			args = append(append(args, filters...), MaxReservations)
		}
	}
	if len(parts) == 0 {
		return "", nil, checkout.Invalid("kind", "expected hold or order")
	}
	return strings.Join(parts, " UNION ALL "), args, nil
}

// shopperText formats a shopper's column; NULL is anonymous.
func shopperText(column []byte) string {
	if len(column) != len(checkout.Shopper{}) {
		return checkout.Shopper{}.String()
	}
	return checkout.Shopper(column).String()
}
