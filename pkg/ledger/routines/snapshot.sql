-- snapshot is the one answer of every routine: an outcome and what stands now of a hold, its order and their
-- product. It is read after the COMMIT, so that the hot row is not locked for it; each row is consistent in
-- itself, and the product's version says which of two answers is the later.
--
-- Locks nothing. A hold past expires_at is expired here, whether or not a sweep has moved its row.
CREATE PROCEDURE snapshot(
  p_outcome    VARCHAR(30),
  p_id         BINARY(16),
  p_product_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin,
  p_holds      INT,    -- reclaimed on the way: see reclaim_due
  p_orders     INT,
  p_lag_us     BIGINT
)
READS SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE v_now DATETIME(6) DEFAULT UTC_TIMESTAMP(6);

  SELECT
    p_outcome, p_holds, p_orders, p_lag_us, v_now,
    h.id, h.product_id, h.qty, IF(h.status = 'active' AND h.expires_at <= v_now, 'expired', h.status),
    h.created_at, h.expires_at,
    o.id, o.amount, o.currency, o.status, o.reason, o.pay_by, o.created_at, o.updated_at,
    p.id, p.name, p.price_amount, p.currency, p.stock, p.reserved_stock, p.sold_stock, p.keyed_holds, p.version,
    p.max_qty_per_hold, p.sale_starts_at, p.sale_ends_at
  FROM (SELECT 1 AS one) AS always
  LEFT JOIN holds h ON h.id = p_id
  LEFT JOIN orders o ON o.id = h.id
  LEFT JOIN products p ON p.id = COALESCE(h.product_id, p_product_id);
END
