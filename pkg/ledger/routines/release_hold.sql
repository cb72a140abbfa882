-- release_hold returns a hold's units to the stock at once. It expires a hold that is past expires_at and not yet swept.
--
-- p_shopper is the owner that the hold must have (NULL: anonymous), unless p_operator. For any other caller the hold is not found.
--
-- Locks, in order: the hold, the product.
-- Outcomes: released, already_ended (no units left to return), hold_ordered, hold_not_found.
CREATE PROCEDURE release_hold(p_id BINARY(16), p_shopper BINARY(16), p_operator BOOLEAN)
MODIFIES SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE v_outcome VARCHAR(30);
  DECLARE v_now, v_expires_at DATETIME(6);
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
  SELECT status, product_id, qty, expires_at INTO v_status, v_product_id, v_qty, v_expires_at
    FROM holds WHERE id = p_id AND (p_operator OR shopper <=> p_shopper) FOR UPDATE;
  SET v_now = UTC_TIMESTAMP(6); -- after the lock: the wait for it counts
  SET v_outcome = CASE
    WHEN v_status IS NULL THEN 'hold_not_found'
    WHEN v_status = 'ordered' THEN 'hold_ordered'
    WHEN v_status = 'active' AND v_now < v_expires_at THEN 'released'
    ELSE 'already_ended'
  END;
  IF v_status = 'active' THEN
    UPDATE holds SET status = IF(v_outcome = 'released', 'released', 'expired'), ended_at = v_now WHERE id = p_id;
    UPDATE products SET reserved_stock = reserved_stock - v_qty, version = version + 1, updated_at = v_now
    WHERE id = v_product_id;
  END IF;
  COMMIT;
  CALL snapshot(v_outcome, p_id, NULL, 0, 0, NULL);
END
