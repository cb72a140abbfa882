package ledger

import (
	"strings"

	"flashsale/pkg/checkout"
)

// checks are the invariants of the ledger, recomputed from the rows. An entity is text, or 17 bytes: 1 and a hold's id,
// or 2 and an order's id.
var checks = []check{
	{name: "reserved_stock_drift", query: `
		SELECT p.id, CONCAT('reserved_stock is ', p.reserved_stock, ', but its active holds and unpaid orders have ', COALESCE(h.units, 0) + COALESCE(o.units, 0))
		FROM products p
		LEFT JOIN (SELECT product_id, SUM(qty) AS units FROM holds WHERE status = 'active' GROUP BY product_id) h ON h.product_id = p.id
		LEFT JOIN (SELECT product_id, SUM(qty) AS units FROM orders WHERE stock = 'reserved' GROUP BY product_id) o ON o.product_id = p.id
		WHERE p.reserved_stock <> COALESCE(h.units, 0) + COALESCE(o.units, 0)`},
	{name: "sold_stock_drift", query: `
		SELECT p.id, CONCAT('sold_stock is ', p.sold_stock, ', but its paid orders have ', COALESCE(o.units, 0))
		FROM products p
		LEFT JOIN (SELECT product_id, SUM(qty) AS units FROM orders WHERE stock = 'sold' GROUP BY product_id) o ON o.product_id = p.id
		WHERE p.sold_stock <> COALESCE(o.units, 0)`},
	{name: "oversold", query: `
		SELECT id, CONCAT('stock ', stock, ', reserved ', reserved_stock, ', sold ', sold_stock) FROM products
		WHERE reserved_stock + sold_stock > stock OR stock < 0 OR reserved_stock < 0 OR sold_stock < 0`},
	{name: "keyed_holds_drift", query: `
		SELECT p.id, CONCAT('keyed_holds is ', p.keyed_holds, ', but it has this many holds with a key: ', COALESCE(h.n, 0))
		FROM products p
		LEFT JOIN (SELECT product_id, COUNT(idempotency_key) AS n FROM holds GROUP BY product_id) h ON h.product_id = p.id
		WHERE p.keyed_holds <> COALESCE(h.n, 0)`},
	{name: "hold_without_product", query: `
		SELECT CONCAT(0x01, h.id), CONCAT('its product ', h.product_id, ' does not exist')
		FROM holds h LEFT JOIN products p ON p.id = h.product_id WHERE p.id IS NULL`},
	{name: "ordered_hold_without_order", query: `
		SELECT CONCAT(0x01, h.id), 'the hold is ordered, but there is no order'
		FROM holds h LEFT JOIN orders o ON o.id = h.id WHERE h.status = 'ordered' AND o.id IS NULL`},
	{name: "order_of_active_hold", query: `
		SELECT CONCAT(0x02, o.id), 'the order exists, but its hold is active: the units count twice'
		FROM orders o JOIN holds h ON h.id = o.id WHERE h.status = 'active'`},
	{name: "order_differs_from_hold", query: `
		SELECT CONCAT(0x02, o.id), 'its product, quantity or amount differs from its hold''s'
		FROM orders o LEFT JOIN holds h ON h.id = o.id
		WHERE h.id IS NULL OR o.product_id <> h.product_id OR o.qty <> h.qty OR o.amount <> h.qty * h.unit_price OR o.currency <> h.currency`},
	{name: "order_stock_differs_from_status", query: `
		SELECT CONCAT(0x02, id), CONCAT('status ', status, ', units in ', stock) FROM orders
		WHERE NOT ((status = 'pending_payment' AND stock = 'reserved') OR (status = 'paid' AND stock = 'sold')
		  OR (status IN ('cancelled', 'refund_due') AND stock = 'none') OR (status = 'refunded' AND stock IN ('sold', 'none')))`},
	{name: "paid_order_without_payment", query: `
		SELECT CONCAT(0x02, o.id), CONCAT('status ', o.status, ', but no success event was applied to it') FROM orders o
		WHERE o.status IN ('paid', 'refund_due', 'refunded') AND NOT EXISTS (
		  SELECT 1 FROM payment_events e WHERE e.subject_id = o.id AND e.result = 'applied' AND e.kind = 'succeeded')`},
	{name: "order_paid_twice", query: `
		SELECT CONCAT(0x02, e.subject_id), CONCAT(COUNT(*), ' success events were applied to it') FROM payment_events e
		WHERE e.result = 'applied' AND e.kind = 'succeeded' GROUP BY e.subject_id HAVING COUNT(*) > 1`},
	{name: "payment_without_effect", query: `
		SELECT CONCAT(0x02, e.subject_id), CONCAT('a success event was applied, but the order is ', COALESCE(o.status, 'missing'))
		FROM payment_events e LEFT JOIN orders o ON o.id = e.subject_id
		WHERE e.result = 'applied' AND e.kind = 'succeeded' AND COALESCE(o.status, '') NOT IN ('paid', 'refund_due', 'refunded')`},

	{name: "refund_due", attention: true, query: `
		SELECT CONCAT(0x02, o.id), CONCAT(o.reason, ': send back ', COALESCE(e.amount, o.amount), ' ', COALESCE(e.currency, o.currency), ' (minor units), payment ', COALESCE(e.payment_id, ''))
		FROM orders o LEFT JOIN payment_events e ON e.subject_id = o.id AND e.result = 'applied' AND e.kind = 'succeeded'
		WHERE o.status = 'refund_due' ORDER BY o.updated_at`},
	{name: "second_payment", attention: true, query: `
		SELECT CONCAT(0x02, e.subject_id), CONCAT('paid again by payment ', e.payment_id, ', after ', f.payment_id, ': one of them may need a refund')
		FROM payment_events e JOIN payment_events f ON f.subject_id = e.subject_id AND f.kind = 'succeeded' AND f.result = 'applied'
		WHERE e.kind = 'succeeded' AND e.result = 'ignored' AND e.payment_id <> f.payment_id`},
	{name: "unmatched_event", attention: true, query: `
		SELECT CONCAT(provider, ' event ', event_id), CONCAT(type, ' of ', received_at, ' has no hold or order') FROM payment_events
		WHERE result = 'unmatched' ORDER BY received_at`},
	{name: "overdue", attention: true, query: `
		SELECT product_id, CONCAT(COUNT(*), ' holds are more than a minute overdue: check that the sweep runs') FROM holds
		WHERE status = 'active' AND expires_at < UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE GROUP BY product_id`},
}

// entityName formats the entity that a check selected.
func entityName(entity []byte) string {
	if len(entity) == 17 {
		id := checkout.ID(entity[1:])
		switch entity[0] {
		case 1:
			return id.HoldID()
		case 2:
			return id.OrderID()
		}
	}
	return strings.ToValidUTF8(string(entity), "?")
}
