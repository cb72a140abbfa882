-- reclaim_due takes back the stock of due holds and of unpaid orders past pay_by: at most p_max_holds and
-- p_max_orders, the most overdue first, passing over the first p_skip (rows that the caller found it cannot move). It answers through its
-- parameters, for the routines that need stock back before they decide; expire_due is its public face.
--
-- Locks, in order: holds, orders (both SKIP LOCKED: what somebody else is moving is theirs), the product. A
-- transaction of its own.
CREATE PROCEDURE reclaim_due(
  p_product_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin,
  p_max_holds  INT,
  p_max_orders INT,
  p_skip       INT,
  OUT p_holds  INT,
  OUT p_orders INT,
  OUT p_lag_us BIGINT
)
MODIFIES SQL DATA
SQL SECURITY DEFINER
main: BEGIN
  DECLARE v_now DATETIME(6) DEFAULT UTC_TIMESTAMP(6);
  DECLARE v_oldest, v_due DATETIME(6);
  DECLARE v_id BINARY(16);
  DECLARE v_qty, v_units INT DEFAULT 0;
  DECLARE v_done BOOLEAN DEFAULT FALSE;
  DECLARE due_holds CURSOR FOR
    SELECT id, qty, expires_at FROM holds
    WHERE product_id = p_product_id AND status = 'active' AND expires_at <= v_now
    ORDER BY expires_at LIMIT p_max_holds OFFSET p_skip FOR UPDATE SKIP LOCKED;
  DECLARE due_orders CURSOR FOR
    SELECT id, qty, pay_by FROM orders
    WHERE product_id = p_product_id AND status = 'pending_payment' AND pay_by <= v_now
    ORDER BY pay_by LIMIT p_max_orders OFFSET p_skip FOR UPDATE SKIP LOCKED;
  DECLARE CONTINUE HANDLER FOR NOT FOUND SET v_done = TRUE;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK;
    RESIGNAL;
  END;

  SET p_holds = 0, p_orders = 0, p_lag_us = NULL;
  -- The usual case, nothing due, costs two index lookups and no transaction.
  IF NOT EXISTS (SELECT 1 FROM holds WHERE product_id = p_product_id AND status = 'active' AND expires_at <= v_now)
     AND NOT EXISTS (SELECT 1 FROM orders WHERE product_id = p_product_id AND status = 'pending_payment' AND pay_by <= v_now)
  THEN
    LEAVE main;
  END IF;

  SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
  START TRANSACTION;

  OPEN due_holds;
  expiring: LOOP
    FETCH due_holds INTO v_id, v_qty, v_due;
    IF v_done THEN
      LEAVE expiring;
    END IF;
    UPDATE holds SET status = 'expired', ended_at = v_now WHERE id = v_id;
    SET p_holds = p_holds + 1, v_units = v_units + v_qty, v_oldest = LEAST(v_due, COALESCE(v_oldest, v_due));
  END LOOP;
  CLOSE due_holds;

  SET v_done = FALSE;
  OPEN due_orders;
  cancelling: LOOP
    FETCH due_orders INTO v_id, v_qty, v_due;
    IF v_done THEN
      LEAVE cancelling;
    END IF;
    UPDATE orders SET status = 'cancelled', reason = 'payment_timeout', stock = 'none', updated_at = v_now WHERE id = v_id;
    SET p_orders = p_orders + 1, v_units = v_units + v_qty, v_oldest = LEAST(v_due, COALESCE(v_oldest, v_due));
  END LOOP;
  CLOSE due_orders;

  IF v_units > 0 THEN
    UPDATE products SET reserved_stock = reserved_stock - v_units, version = version + 1, updated_at = v_now
    WHERE id = p_product_id;
  END IF;
  COMMIT;
  IF v_units > 0 THEN
    SET p_lag_us = TIMESTAMPDIFF(MICROSECOND, v_oldest, UTC_TIMESTAMP(6));
  END IF;
END
