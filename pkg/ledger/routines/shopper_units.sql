-- shopper_units sums the units of a product that a shopper has: held, ordered and bought. Rows decide, not times: a hold past
-- expires_at counts until its units are back.
--
-- Locks nothing. place_hold and settle_order call it with the product's row locked, and then no other call takes units of it.
CREATE PROCEDURE shopper_units(
  p_shopper    BINARY(16),
  p_product_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin,
  OUT p_units  BIGINT
)
READS SQL DATA
SQL SECURITY DEFINER
SELECT COALESCE(SUM(h.qty), 0) INTO p_units
FROM holds h FORCE INDEX (holds_shopper) LEFT JOIN orders o ON o.id = h.id
WHERE h.shopper = p_shopper AND h.product_id = p_product_id AND IF(o.id IS NULL, h.status = 'active', o.stock <> 'none')
