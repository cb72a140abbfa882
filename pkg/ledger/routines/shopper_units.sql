-- shopper_units sums the units of a product that a shopper has: held, ordered and bought. Rows decide, not times: a hold past
-- expires_at counts until its units are back. It returns NULL for a shopper with more than a thousand holds, of all products,
-- because it may run while the product's row is locked. Retention deletes holds that ended.
--
-- Locks nothing. While the product's row is locked, no other call takes units of it.
CREATE PROCEDURE shopper_units(
  p_shopper    BINARY(16),
  p_product_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin,
  OUT p_units  BIGINT
)
READS SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE v_many INT;

  SET p_units = NULL;
  SELECT COUNT(*) INTO v_many FROM (SELECT 1 FROM holds FORCE INDEX (holds_shopper) WHERE shopper = p_shopper LIMIT 1001) AS some;
  IF v_many <= 1000 THEN
    SELECT COALESCE(SUM(h.qty), 0) INTO p_units
    FROM holds h FORCE INDEX (holds_shopper) LEFT JOIN orders o ON o.id = h.id
    WHERE h.shopper = p_shopper AND h.product_id = p_product_id AND IF(o.id IS NULL, h.status = 'active', o.stock <> 'none');
  END IF;
END
