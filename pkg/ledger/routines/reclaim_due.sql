-- reclaim_due reclaims the stock of due holds and of unpaid orders past pay_by: at most p_max_holds and p_max_orders,
-- the most overdue first, without the first p_skip (bad rows, found by the caller). It returns through its parameters,
-- for routines that need stock before they decide. The ledger calls expire_due instead.
--
-- It works in steps of 40 holds and 40 orders, each its own transaction. So the product's row is locked only for one
-- short COMMIT at a time, between which holds can be placed. A failure does not undo earlier steps.
--
-- Each step starts where the one before ended, because an index entry that a step removed stays, marked as deleted, until
-- the server purges it, and a scan has to pass it. FORCE INDEX FOR ORDER BY makes the server start the scan at the
-- range's lower bound. Without it MariaDB starts at the first row of the status.
--
-- Locks, in order, in each step: holds, orders (both SKIP LOCKED: another call handles a locked row), the product.
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
  DECLARE v_first_hold, v_first_order DATETIME(6) DEFAULT '1000-01-01 00:00:00';
  DECLARE v_oldest, v_due DATETIME(6);
  DECLARE v_id BINARY(16);
  DECLARE v_any, v_qty, v_units, v_holds, v_orders INT DEFAULT 0;
  DECLARE v_step INT DEFAULT 40;
  DECLARE v_max_holds, v_max_orders INT; -- of one step
  DECLARE v_done BOOLEAN DEFAULT FALSE;
  DECLARE due_holds CURSOR FOR
    SELECT id, qty, expires_at FROM holds FORCE INDEX FOR ORDER BY (holds_due)
    WHERE product_id = p_product_id AND status = 'active' AND expires_at >= v_first_hold AND expires_at <= v_now
    ORDER BY expires_at LIMIT v_max_holds OFFSET p_skip FOR UPDATE SKIP LOCKED;
  DECLARE due_orders CURSOR FOR
    SELECT id, qty, pay_by FROM orders FORCE INDEX FOR ORDER BY (orders_due)
    WHERE product_id = p_product_id AND status = 'pending_payment' AND pay_by >= v_first_order AND pay_by <= v_now
    ORDER BY pay_by LIMIT v_max_orders OFFSET p_skip FOR UPDATE SKIP LOCKED;
  DECLARE CONTINUE HANDLER FOR NOT FOUND SET v_done = TRUE;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK;
    RESIGNAL;
  END;

  SET p_holds = 0, p_orders = 0, p_lag_us = NULL;
  -- In the common case nothing is due, which costs two index lookups, no transaction and no lock.
  SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM holds WHERE product_id = p_product_id AND status = 'active' AND expires_at <= v_now LIMIT 1) AS h)
       + (SELECT COUNT(*) FROM (SELECT 1 FROM orders WHERE product_id = p_product_id AND status = 'pending_payment' AND pay_by <= v_now LIMIT 1) AS o)
    INTO v_any;
  IF v_any = 0 THEN
    LEAVE main;
  END IF;

  REPEAT
    SET v_holds = 0, v_orders = 0, v_units = 0;
    SET v_max_holds = LEAST(v_step, p_max_holds - p_holds), v_max_orders = LEAST(v_step, p_max_orders - p_orders);
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    START TRANSACTION;

    SET v_done = FALSE;
    OPEN due_holds;
    expiring: LOOP
      FETCH due_holds INTO v_id, v_qty, v_due;
      IF v_done THEN
        LEAVE expiring;
      END IF;
      UPDATE holds SET status = 'expired', ended_at = UTC_TIMESTAMP(6) WHERE id = v_id;
      SET v_holds = v_holds + 1, v_units = v_units + v_qty, v_first_hold = v_due, v_oldest = LEAST(v_due, COALESCE(v_oldest, v_due));
    END LOOP;
    CLOSE due_holds;

    SET v_done = FALSE;
    OPEN due_orders;
    cancelling: LOOP
      FETCH due_orders INTO v_id, v_qty, v_due;
      IF v_done THEN
        LEAVE cancelling;
      END IF;
      UPDATE orders SET status = 'cancelled', reason = 'payment_timeout', stock = 'none', updated_at = UTC_TIMESTAMP(6) WHERE id = v_id;
      SET v_orders = v_orders + 1, v_units = v_units + v_qty, v_first_order = v_due, v_oldest = LEAST(v_due, COALESCE(v_oldest, v_due));
    END LOOP;
    CLOSE due_orders;

    IF v_units > 0 THEN
      UPDATE products SET reserved_stock = reserved_stock - v_units, version = version + 1, updated_at = UTC_TIMESTAMP(6)
      WHERE id = p_product_id;
    END IF;
    COMMIT;
    SET p_holds = p_holds + v_holds, p_orders = p_orders + v_orders;
    SET p_skip = 0; -- the next step starts after the skipped rows
  UNTIL v_holds < v_step AND v_orders < v_step END REPEAT;
  IF v_oldest IS NOT NULL THEN
    SET p_lag_us = TIMESTAMPDIFF(MICROSECOND, v_oldest, UTC_TIMESTAMP(6));
  END IF;
END
