package ledger

import (
	"strings"

	"flashsale/pkg/checkout"
)

// checks are the invariants of the ledger, recomputed from the rows. An entity is text, or 17 bytes: 1 and a hold's id,
// 2 and an order's, or 3 and a shopper's. The words in braces stand for conditions, all of them TRUE in the full audit. The audit of the
// changes limits a check by {h} to some holds, by {o} orders, {p} payments, {e} events, {r} refunds, or by {p.id} and
// {product_id} to one product. It leaves out a check that has none. {holds} and {orders} keep the full
// audit from reading these tables through an index: each of millions of rows would be looked up on its own.
var checks = []check{
	{name: "reserved_stock_drift", query: `
		SELECT p.id, CONCAT('reserved_stock is ', p.reserved_stock, ', but its active holds and unpaid orders have ', COALESCE(h.units, 0) + COALESCE(o.units, 0))
		FROM products p
		LEFT JOIN (SELECT q.id AS product_id, (SELECT SUM(qty) FROM holds WHERE holds.product_id = q.id AND status = 'active') AS units FROM products q) h ON h.product_id = p.id
		LEFT JOIN (SELECT product_id, SUM(qty) AS units FROM {orders} WHERE {product_id} AND stock = 'reserved' GROUP BY product_id) o ON o.product_id = p.id
		WHERE {p.id} AND p.reserved_stock <> COALESCE(h.units, 0) + COALESCE(o.units, 0)`},
	{name: "sold_stock_drift", query: `
		SELECT p.id, CONCAT('sold_stock is ', p.sold_stock, ', but its paid orders have ', COALESCE(o.units, 0))
		FROM products p
		LEFT JOIN (SELECT product_id, SUM(qty) AS units FROM {orders} WHERE {product_id} AND stock = 'sold' GROUP BY product_id) o ON o.product_id = p.id
		WHERE {p.id} AND p.sold_stock <> COALESCE(o.units, 0)`},
	{name: "oversold", query: `
		SELECT p.id, CONCAT('stock ', stock, ', reserved ', reserved_stock, ', sold ', sold_stock) FROM products p
		WHERE {p.id} AND (reserved_stock + sold_stock > stock OR stock < 0 OR reserved_stock < 0 OR sold_stock < 0)`},
	{name: "keyed_holds_drift", query: `
		SELECT p.id, CONCAT('keyed_holds is ', p.keyed_holds, ', but it has this many holds with a key: ', COALESCE(h.n, 0))
		FROM products p
		LEFT JOIN (SELECT product_id, COUNT(idempotency_key) AS n FROM {holds} WHERE {product_id} GROUP BY product_id) h ON h.product_id = p.id
		WHERE {p.id} AND p.keyed_holds <> COALESCE(h.n, 0)`},
	{name: "hold_without_product", query: `
		SELECT CONCAT(0x01, h.id), CONCAT('its product ', h.product_id, ' does not exist')
		FROM holds h LEFT JOIN products p ON p.id = h.product_id WHERE {h} AND p.id IS NULL`},
	{name: "ordered_hold_without_order", query: `
		SELECT CONCAT(0x01, h.id), 'the hold is ordered, but there is no order'
		FROM holds h LEFT JOIN orders o ON o.id = h.id WHERE {h} AND h.status = 'ordered' AND o.id IS NULL`},
	{name: "order_of_active_hold", query: `
		SELECT CONCAT(0x02, o.id), 'the order exists, but its hold is active: the units count twice'
		FROM orders o JOIN holds h ON h.id = o.id WHERE {o} AND h.status = 'active'`},
	{name: "order_differs_from_hold", query: `
		SELECT CONCAT(0x02, o.id), 'its product, quantity or amount differs from its hold''s'
		FROM orders o LEFT JOIN holds h ON h.id = o.id
		WHERE {o} AND (h.id IS NULL OR o.product_id <> h.product_id OR o.qty <> h.qty OR o.amount <> h.qty * h.unit_price OR o.currency <> h.currency)`},
	{name: "hold_facts_differ", query: `
		SELECT CONCAT(0x01, h.id), 'its product, quantity, price, key, duration or shopper was changed' FROM holds h
		WHERE {h} AND facts <> CRC32(CONCAT_WS('|', HEX(id), product_id, qty, unit_price, currency, HEX(idempotency_key), TIMESTAMPDIFF(MICROSECOND, created_at, expires_at), HEX(shopper)))`},
	{name: "holds_missing", query: `
		SELECT p.id, 'a hold of it was deleted, or moved from or to another product'
		FROM products p LEFT JOIN (SELECT product_id, SUM(facts) AS facts FROM {holds} WHERE {product_id} GROUP BY product_id) h ON h.product_id = p.id
		WHERE {p.id} AND p.holds_sum <> COALESCE(h.facts, 0)`},
	{name: "shopper_over_limit", query: `
		SELECT CONCAT(0x03, a.shopper), CONCAT('of product ', a.product_id, ' the shopper took ', SUM(a.qty), ' units under a limit of at most ', MAX(a.per_shopper))
		FROM (SELECT DISTINCT h.shopper, h.product_id FROM holds h IGNORE INDEX (holds_shopper) WHERE {h} AND h.shopper IS NOT NULL AND h.per_shopper IS NOT NULL) s
		STRAIGHT_JOIN holds a FORCE INDEX (holds_shopper) ON a.shopper = s.shopper AND a.product_id = s.product_id
		LEFT JOIN orders o FORCE INDEX (PRIMARY) ON o.id = a.id
		WHERE a.per_shopper IS NOT NULL AND IF(o.id IS NULL, a.status = 'active', o.stock <> 'none')
		GROUP BY a.shopper, a.product_id HAVING SUM(a.qty) > MAX(a.per_shopper)`},
	{name: "hold_expired_early", query: `
		SELECT CONCAT(0x01, h.id), CONCAT('it expired at ', h.ended_at, ', but was granted until ', h.expires_at) FROM holds h
		WHERE {h} AND h.status = 'expired' AND h.ended_at < h.expires_at`},
	{name: "order_cancelled_early", query: `
		SELECT CONCAT(0x02, o.id), CONCAT('it was cancelled for payment_timeout at ', o.updated_at, ', but had until ', o.pay_by) FROM orders o
		WHERE {o} AND status = 'cancelled' AND reason = 'payment_timeout' AND updated_at < pay_by`},
	{name: "order_times_wrong", query: `
		SELECT CONCAT(0x02, o.id), CONCAT('made ', o.created_at, ', to be paid by ', o.pay_by, ', changed ', o.updated_at) FROM orders o
		WHERE {o} AND (o.pay_by > o.created_at + INTERVAL 31 DAY OR o.updated_at > UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE)`},
	{name: "payment_without_applied_event", query: `
		SELECT CONCAT(p.provider, ' payment ', p.payment_id), 'no success event of it was applied' FROM payments p
		WHERE {p} AND p.received > 0 AND NOT EXISTS (SELECT 1 FROM payment_events e
		  WHERE e.provider = p.provider AND e.payment_id = p.payment_id AND e.kind = 'succeeded' AND (e.result = 'applied' OR e.retry_at IS NOT NULL))`},
	{name: "success_without_payment", query: `
		SELECT CONCAT(e.provider, ' event ', e.event_id), 'the event was applied, but there is no such payment'
		FROM payment_events e LEFT JOIN payments p ON p.provider = e.provider AND p.payment_id = e.payment_id
		WHERE {e} AND e.kind = 'succeeded' AND e.result IN ('applied', 'ignored') AND e.retry_at IS NULL AND p.provider IS NULL`},
	{name: "refund_event_without_refund", query: `
		SELECT CONCAT(e.provider, ' event ', e.event_id), 'the event was applied, but there is no such refund or dispute'
		FROM payment_events e LEFT JOIN refunds r ON r.provider = e.provider AND r.refund_id = IF(e.refund_id = '', e.event_id, e.refund_id)
		WHERE {e} AND e.kind IN ('refunded', 'refund_failed', 'disputed', 'dispute_won', 'dispute_lost') AND e.result IN ('applied', 'ignored')
		  AND e.retry_at IS NULL AND r.provider IS NULL`},
	{name: "refund_without_payment", query: `
		SELECT CONCAT(r.provider, ' refund ', r.refund_id), CONCAT('its payment ', r.payment_id, ' does not exist')
		FROM refunds r LEFT JOIN payments p ON p.provider = r.provider AND p.payment_id = r.payment_id WHERE {r} AND p.provider IS NULL`},
	{name: "record_incomplete", query: `
		SELECT CONCAT(r.provider, ' refund ', r.refund_id), 'an operator''s record has an id that starts with record:, an amount and a note; this one lacks one of them' FROM refunds r
		WHERE {r} AND r.kind = 'record' AND (LEFT(refund_id, 7) <> 'record:' OR amount IS NULL OR COALESCE(TRIM(note), '') = '' OR status <> 'sent')`},
	{name: "payment_without_order", query: `
		SELECT CONCAT(p.provider, ' payment ', p.payment_id), 'its order does not exist'
		FROM payments p LEFT JOIN orders o ON o.id = p.order_id WHERE {p} AND p.order_id IS NOT NULL AND p.received > 0 AND o.id IS NULL`},

	{name: "payment_owed", attention: true, query: `
		SELECT CONCAT(0x02, order_id), CONCAT('send back ', owed, ' ', currency, ' (minor units) of payment ', payment_id, ' (', provider, ')')
		FROM payments WHERE owed > 0 ORDER BY updated_at, provider, payment_id`},
	{name: "returned_too_much", attention: true, query: `
		SELECT CONCAT(0x02, order_id), CONCAT('payment ', payment_id, ' (', provider, '): ', returned, ' ', currency, ' went back (minor units), but only ', received, ' came in')
		FROM payments WHERE returned > received AND received > 0 ORDER BY updated_at, provider, payment_id`},
	{name: "dispute_open", attention: true, query: `
		SELECT CONCAT(provider, ' ', refund_id), CONCAT('payment ', payment_id, ' is disputed since ', created_at)
		FROM refunds WHERE status = 'open' ORDER BY created_at, provider, refund_id`},
	{name: "stored_event", attention: true, query: `
		SELECT CONCAT(provider, ' event ', event_id), CONCAT(type, ' of ', received_at, ' could not be applied yet') FROM payment_events
		WHERE result = 'stored' ORDER BY received_at`},
	{name: "unmatched_event", attention: true, query: `
		SELECT CONCAT(provider, ' event ', event_id), CONCAT(type, ' of ', received_at, ' names an order or payment that is not known') FROM payment_events
		WHERE result = 'unmatched' ORDER BY received_at`},
	{name: "rejected_event", attention: true, query: `
		SELECT CONCAT(r.provider, ' event ', r.event_id), CONCAT(r.reason, ': ', r.detail) FROM rejected_events r
		LEFT JOIN payment_events e ON e.provider = r.provider AND e.event_id = r.event_id
		WHERE r.reason = 'reused' OR e.provider IS NULL ORDER BY r.last_at`},
	{name: "overdue", attention: true, query: `
		SELECT product_id, CONCAT(SUM(n), ' holds or orders are more than a minute overdue: check that the sweep runs') FROM (
		  SELECT product_id, COUNT(*) AS n FROM holds
		  WHERE status = 'active' AND expires_at < UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE GROUP BY product_id
		  UNION ALL
		  SELECT product_id, COUNT(*) FROM orders
		  WHERE status = 'pending_payment' AND pay_by < UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE GROUP BY product_id) AS late
		GROUP BY product_id`},
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
		case 3:
			return checkout.Shopper(id).String()
		}
	}
	return strings.ToValidUTF8(string(entity), "?")
}
