-- refuse_hold returns why a hold is refused, and the product, from one read: sold_out never shows units that are free. If the
-- product no longer refuses the hold, the outcome is overtaken. The columns are those of snapshot.
--
-- Locks nothing.
CREATE PROCEDURE refuse_hold(
  p_outcome    VARCHAR(30), -- stays if the product's stock and times do not decide it
  p_product_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin,
  p_qty        INT,
  p_now        DATETIME(6),
  p_holds      INT,    -- reclaimed by the call: see reclaim_due
  p_orders     INT,
  p_lag_us     BIGINT,
  p_yours      BIGINT  -- with shopper_limit: the units that the shopper has
)
READS SQL DATA
SQL SECURITY DEFINER
SELECT
  CASE
    WHEN p_outcome IN ('busy', 'product_not_found', 'shopper_limit', 'shopper_blocked', 'sign_in_needed') THEN p_outcome
    WHEN p.id IS NULL OR p.hidden THEN 'product_not_found'
    WHEN p_qty > p.max_qty_per_hold THEN 'qty_over_limit'
    WHEN p.sale_starts_at > p_now THEN 'sale_not_started'
    WHEN p.sale_ends_at <= p_now THEN 'sale_ended'
    WHEN p_qty > p.stock - p.reserved_stock - p.sold_stock THEN 'sold_out'
    ELSE 'overtaken'
  END AS outcome,
  p_holds AS expired_holds, p_orders AS cancelled_orders, p_lag_us AS lag_us, UTC_TIMESTAMP(6) AS as_of, p_yours AS shopper_units,
  NULL AS hold_id, NULL AS hold_product_id, NULL AS hold_qty, NULL AS hold_status, NULL AS hold_created_at, NULL AS hold_expires_at, NULL AS hold_shopper,
  NULL AS order_id, NULL AS order_amount, NULL AS order_currency, NULL AS order_status, NULL AS order_reason, NULL AS order_reference,
  NULL AS order_pay_by, NULL AS order_created_at, NULL AS order_updated_at,
  p.id AS product_id, p.name AS product_name, p.price_amount AS product_price, p.currency AS product_currency,
  p.stock AS product_stock, p.reserved_stock AS product_reserved_stock, p.sold_stock AS product_sold_stock,
  p.keyed_holds AS product_keyed_holds, p.version AS product_version, p.max_qty_per_hold AS product_max_qty,
  p.max_per_shopper AS product_max_per_shopper, p.hidden AS product_hidden,
  p.sale_starts_at AS product_starts_at, p.sale_ends_at AS product_ends_at
FROM (SELECT 1 AS one) AS always LEFT JOIN products p ON p.id = p_product_id
