-- create_order turns an active hold into an order that has p_window_us microseconds to be paid. The units stay
-- reserved, now by the order.
--
-- Locks: the hold. That lock covers its order too, because every routine that makes an order takes it first.
-- Outcomes: created, exists (also for a hold that ended and was paid late), hold_released, hold_expired,
-- hold_not_found.
CREATE PROCEDURE create_order(p_id BINARY(16), p_window_us BIGINT)
MODIFIES SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE v_outcome VARCHAR(30);
  DECLARE v_now, v_expires_at DATETIME(6);
  DECLARE v_status VARCHAR(20);
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK;
    RESIGNAL;
  END;

  SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
  START TRANSACTION;
  SELECT status, expires_at INTO v_status, v_expires_at FROM holds WHERE id = p_id FOR UPDATE;
  SET v_now = UTC_TIMESTAMP(6); -- after the lock: a hold that expires during the wait is expired
  SET v_outcome = CASE
    WHEN v_status IS NULL THEN 'hold_not_found'
    WHEN EXISTS (SELECT 1 FROM orders WHERE id = p_id) THEN 'exists'
    WHEN v_status = 'released' THEN 'hold_released'
    WHEN v_status = 'active' AND v_now < v_expires_at THEN 'created'
    ELSE 'hold_expired'
  END;
  IF v_outcome = 'created' THEN
    INSERT INTO orders (id, product_id, qty, amount, currency, status, stock, pay_by, created_at, updated_at)
    SELECT id, product_id, qty, qty * unit_price, currency, 'pending_payment', 'reserved',
           v_now + INTERVAL p_window_us MICROSECOND, v_now, v_now
    FROM holds WHERE id = p_id;
    UPDATE holds SET status = 'ordered', ended_at = v_now WHERE id = p_id;
  END IF;
  COMMIT;
  CALL snapshot(v_outcome, p_id, NULL, 0, 0, NULL);
END
