-- shopper_units sums the units of a product that a shopper has: held, ordered and bought. Rows decide, not times: a hold past
-- expires_at counts until its units are back.
--
-- It may run while the product's row is locked, so it looks at the shopper's latest thousand holds only, of all products. p_all
-- tells whether these are all. If not, p_units is the least that the shopper has, and callers treat the limit as reached.
-- Pruning deletes holds that ended.
--
-- Locks nothing. While the product's row is locked, no other call takes units of it.
CREATE PROCEDURE shopper_units(
  p_shopper    BINARY(16),
  p_product_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin,
  OUT p_units  BIGINT,
  OUT p_all    BOOLEAN
)
READS SQL DATA
SQL SECURITY DEFINER
SELECT COALESCE(SUM(IF(IF(o.id IS NULL, h.status = 'active', o.stock <> 'none'), latest.qty, 0)), 0), COUNT(*) <= 1000
  INTO p_units, p_all
FROM (SELECT id, product_id, qty FROM holds FORCE INDEX (holds_shopper) WHERE shopper = p_shopper ORDER BY id DESC LIMIT 1001) AS latest
LEFT JOIN holds h FORCE INDEX (PRIMARY) ON h.id = latest.id AND latest.product_id = p_product_id
LEFT JOIN orders o FORCE INDEX (PRIMARY) ON o.id = h.id
