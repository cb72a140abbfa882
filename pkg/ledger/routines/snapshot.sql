-- snapshot returns the one row that every routine returns: an outcome, and the current state of a hold, its order and
-- their product. It runs after the COMMIT, so that it does not extend the lock on the product's row. The product's
-- version tells which of two rows is the later. result.go reads the columns by name: add some, but rename none.
--
-- Locks nothing. A hold past expires_at is expired here, even if no sweep has updated its row.
CREATE PROCEDURE snapshot(
  p_outcome    VARCHAR(30),
  p_id         BINARY(16),
  p_product_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin,
  p_holds      INT,    -- reclaimed by the call: see reclaim_due
  p_orders     INT,
  p_lag_us     BIGINT
)
READS SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE v_now DATETIME(6) DEFAULT UTC_TIMESTAMP(6);

  SELECT
    p_outcome AS outcome, p_holds AS expired_holds, p_orders AS cancelled_orders, p_lag_us AS lag_us, v_now AS as_of, NULL AS shopper_units,
    h.id AS hold_id, h.product_id AS hold_product_id, h.qty AS hold_qty,
    IF(h.status = 'active' AND h.expires_at <= v_now, 'expired', h.status) AS hold_status,
    h.created_at AS hold_created_at, h.expires_at AS hold_expires_at, h.shopper AS hold_shopper,
    o.id AS order_id, o.amount AS order_amount, o.currency AS order_currency, o.status AS order_status, o.reason AS order_reason, o.reference AS order_reference,
    o.pay_by AS order_pay_by, o.created_at AS order_created_at, o.updated_at AS order_updated_at,
    p.id AS product_id, p.name AS product_name, p.price_amount AS product_price, p.currency AS product_currency,
    p.stock AS product_stock, p.reserved_stock AS product_reserved_stock, p.sold_stock AS product_sold_stock,
    p.keyed_holds AS product_keyed_holds, p.version AS product_version, p.max_qty_per_hold AS product_max_qty,
    p.max_per_shopper AS product_max_per_shopper, p.hidden AS product_hidden,
    p.sale_starts_at AS product_starts_at, p.sale_ends_at AS product_ends_at
  FROM (SELECT 1 AS one) AS always
  LEFT JOIN holds h ON h.id = p_id
  LEFT JOIN orders o ON o.id = h.id
  LEFT JOIN products p ON p.id = COALESCE(h.product_id, p_product_id);
END
