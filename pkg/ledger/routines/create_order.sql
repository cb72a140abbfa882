-- create_order turns an active hold into an order that has p_window_us microseconds to be paid. The units stay
-- reserved, now by the order. A free order is paid at once, and its units are sold.
--
-- p_unpaid_us, if not NULL, limits how long units may stay reserved without a sign of payment, counted from the hold. It does not
-- apply once there is a sign of payment: see apply_event.
--
-- p_reference, the merchant's own, is kept with the order if it has none yet (NULL: none). A payment may have made the order first.
--
-- p_shopper is the owner that the hold must have (NULL: anonymous), unless p_operator.
--
-- Locks: the hold, and after it its order (to give it a reference) or the product (for a free order). The hold's lock covers its
-- order, because every routine that makes an order takes it first.
-- Outcomes: created, exists (also for a hold that ended and was paid late), hold_released, hold_expired,
-- hold_not_found.
CREATE PROCEDURE create_order(p_id BINARY(16), p_window_us BIGINT, p_unpaid_us BIGINT, p_shopper BINARY(16), p_operator BOOLEAN,
                              p_reference VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin)
MODIFIES SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE v_outcome VARCHAR(30);
  DECLARE v_now, v_created_at, v_expires_at, v_pay_by DATETIME(6);
  DECLARE v_status VARCHAR(20);
  DECLARE v_product_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin;
  DECLARE v_qty INT;
  DECLARE v_price BIGINT;
  DECLARE v_exists, v_processing BOOLEAN;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK;
    RESIGNAL;
  END;

  SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
  START TRANSACTION;
  SELECT status, created_at, expires_at, product_id, qty, unit_price INTO v_status, v_created_at, v_expires_at, v_product_id, v_qty, v_price
    FROM holds WHERE id = p_id AND (p_operator OR shopper <=> p_shopper) FOR UPDATE;
  SELECT COUNT(*) INTO v_exists FROM orders WHERE id = p_id;
  SET v_now = UTC_TIMESTAMP(6); -- after the lock: a hold that expires during the wait is expired
  SET v_outcome = CASE
    WHEN v_status IS NULL THEN 'hold_not_found'
    WHEN v_exists THEN 'exists'
    WHEN v_status = 'released' THEN 'hold_released'
    WHEN v_status = 'active' AND v_now < v_expires_at THEN 'created'
    ELSE 'hold_expired'
  END;
  IF v_outcome = 'created' THEN
    SET v_pay_by = v_now + INTERVAL p_window_us MICROSECOND;
    IF v_created_at + INTERVAL p_unpaid_us MICROSECOND < v_pay_by THEN
      SELECT COUNT(*) INTO v_processing FROM payment_events WHERE subject_id = p_id AND kind = 'processing';
      SET v_pay_by = IF(v_processing, v_pay_by, v_created_at + INTERVAL p_unpaid_us MICROSECOND);
    END IF;
    INSERT INTO orders (id, product_id, qty, amount, currency, status, stock, pay_by, created_at, updated_at, reference)
    SELECT id, product_id, qty, qty * unit_price, currency, IF(unit_price = 0, 'paid', 'pending_payment'), IF(unit_price = 0, 'sold', 'reserved'),
           v_pay_by, v_now, v_now, p_reference
    FROM holds WHERE id = p_id;
    UPDATE holds SET status = 'ordered', ended_at = v_now WHERE id = p_id;
    IF v_price = 0 THEN
      UPDATE products
      SET reserved_stock = reserved_stock - v_qty, sold_stock = sold_stock + v_qty, version = version + 1, updated_at = v_now
      WHERE id = v_product_id;
    END IF;
  ELSEIF v_outcome = 'exists' AND p_reference IS NOT NULL THEN
    UPDATE orders SET reference = p_reference WHERE id = p_id AND reference IS NULL;
  END IF;
  COMMIT;
  CALL snapshot(v_outcome, p_id, NULL, 0, 0, NULL);
END
