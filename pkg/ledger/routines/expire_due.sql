-- expire_due reclaims the due stock of one product. It returns how much, and how overdue it was.
--
-- Locks: those of reclaim_due.
-- Outcomes: swept, product_not_found.
CREATE PROCEDURE expire_due(
  p_product_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin,
  p_max_holds  INT,
  p_max_orders INT,
  p_skip       INT
)
MODIFIES SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE v_known, v_holds, v_orders INT DEFAULT 0;
  DECLARE v_lag_us BIGINT;

  CALL reclaim_due(p_product_id, p_max_holds, p_max_orders, p_skip, v_holds, v_orders, v_lag_us);
  SELECT COUNT(*) INTO v_known FROM products WHERE id = p_product_id;
  CALL snapshot(IF(v_known = 1, 'swept', 'product_not_found'), NULL, p_product_id, v_holds, v_orders, v_lag_us);
END
