-- cancel_order cancels an unpaid order and returns its units to the stock.
--
-- p_shopper is the owner that the order must have (NULL: anonymous), unless p_operator.
--
-- Locks, in order: the hold, the order, the product.
-- Outcomes: cancelled, already_cancelled (for any reason), order_not_cancellable, order_not_found.
CREATE PROCEDURE cancel_order(p_id BINARY(16), p_shopper BINARY(16), p_operator BOOLEAN)
MODIFIES SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE v_outcome VARCHAR(30);
  DECLARE v_now DATETIME(6);
  DECLARE v_status VARCHAR(20);
  DECLARE v_product_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin;
  DECLARE v_qty INT;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK;
    RESIGNAL;
  END;

  SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
  START TRANSACTION;
  SELECT product_id, qty INTO v_product_id, v_qty FROM holds WHERE id = p_id AND (p_operator OR shopper <=> p_shopper) FOR UPDATE;
  IF v_product_id IS NOT NULL THEN
    SELECT status INTO v_status FROM orders WHERE id = p_id FOR UPDATE;
  END IF;
  SET v_now = UTC_TIMESTAMP(6);
  SET v_outcome = CASE v_status
    WHEN 'pending_payment' THEN 'cancelled'
    WHEN 'cancelled' THEN 'already_cancelled'
    ELSE IF(v_status IS NULL, 'order_not_found', 'order_not_cancellable')
  END;
  IF v_outcome = 'cancelled' THEN
    UPDATE orders SET status = 'cancelled', reason = 'customer', stock = 'none', updated_at = v_now WHERE id = p_id;
    UPDATE products SET reserved_stock = reserved_stock - v_qty, version = version + 1, updated_at = v_now
    WHERE id = v_product_id;
  END IF;
  COMMIT;
  CALL snapshot(v_outcome, p_id, NULL, 0, 0, NULL);
END
