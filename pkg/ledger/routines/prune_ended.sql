-- prune_ended deletes holds of one product and status (released or expired) that lasted until more than p_retention_us ago
-- and have no order: at most p_max, the oldest first. The counters that count them go down with them. It remembers where
-- it stopped, so that holds which stay for their orders are passed once.
--
-- A hold that is locked, or not yet in audit_marks, is left to a later call. A hold gets no order while its row is locked,
-- because every routine that makes an order locks the hold first.
--
-- Locks, in order: the holds and the shoppers' rows (SKIP LOCKED), the position, the product's mark, the product.
-- Outcomes: pruned, left (a hold was left to a later call). expired_holds counts the deleted ones, and cancelled_orders those that were looked at.
CREATE PROCEDURE prune_ended(
  p_product_id   VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin,
  p_status       VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin,
  p_retention_us BIGINT,
  p_max          INT
)
MODIFIES SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE v_from, v_before, v_to, v_due DATETIME(6);
  DECLARE v_audited, v_id, v_shopper BINARY(16);
  DECLARE v_facts, v_sum, v_keyed BIGINT DEFAULT 0;
  DECLARE v_seen, v_pruned, v_n, v_key INT DEFAULT 0;
  DECLARE v_left, v_done BOOLEAN DEFAULT FALSE;
  DECLARE old_holds CURSOR FOR
    SELECT id, expires_at FROM holds FORCE INDEX FOR ORDER BY (holds_due)
    WHERE product_id = p_product_id AND status = p_status AND expires_at >= v_from AND expires_at < v_before
    ORDER BY expires_at LIMIT p_max;
  DECLARE CONTINUE HANDLER FOR NOT FOUND SET v_done = TRUE;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK;
    RESIGNAL;
  END;

  SET v_before = UTC_TIMESTAMP(6) - INTERVAL p_retention_us MICROSECOND;
  SELECT MAX(upto) INTO v_from FROM prune_marks WHERE product_id = p_product_id AND status = p_status;
  SET v_from = COALESCE(v_from, '1000-01-01');
  SELECT holds_upto INTO v_audited FROM audit_state WHERE id = 1; -- it only ever goes up
  SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
  START TRANSACTION;
  OPEN old_holds;
  pruning: LOOP
    FETCH old_holds INTO v_id, v_due;
    IF v_done THEN
      LEAVE pruning;
    END IF;
    SET v_seen = v_seen + 1, v_to = v_due;
    SELECT COUNT(*), COALESCE(MAX(facts), 0), COUNT(idempotency_key), MAX(shopper) INTO v_n, v_facts, v_key, v_shopper
      FROM holds WHERE id = v_id AND id <= v_audited AND status = p_status FOR UPDATE SKIP LOCKED;
    IF v_n = 0 THEN
      SET v_left = TRUE;
    ELSE
      SELECT COUNT(*) INTO v_n FROM orders WHERE id = v_id;
      IF v_n = 0 THEN
        DELETE FROM holds WHERE id = v_id;
        SET v_pruned = v_pruned + 1, v_sum = v_sum + v_facts, v_keyed = v_keyed + v_key;
        -- The shopper's row goes with the last hold. If there are many others, the last one is not looked for here.
        IF v_shopper IS NOT NULL THEN
          SELECT COUNT(*) INTO v_n FROM shopper_products WHERE shopper = v_shopper AND product_id = p_product_id FOR UPDATE SKIP LOCKED;
        END IF;
        IF v_n = 1 THEN
          SELECT COUNT(*) = 100 OR COALESCE(MAX(product_id = p_product_id), FALSE) INTO v_n
            FROM (SELECT product_id FROM holds FORCE INDEX (holds_shopper) WHERE shopper = v_shopper LIMIT 100) AS others;
          IF v_n = 0 THEN
            DELETE FROM shopper_products WHERE shopper = v_shopper AND product_id = p_product_id;
          END IF;
        END IF;
      END IF;
    END IF;
  END LOOP;
  CLOSE old_holds;
  IF v_seen > 0 AND NOT v_left THEN
    INSERT INTO prune_marks (product_id, status, upto) VALUES (p_product_id, p_status, v_to)
    ON DUPLICATE KEY UPDATE upto = GREATEST(upto, v_to);
  END IF;
  IF v_pruned > 0 THEN
    UPDATE audit_marks SET keyed_holds = keyed_holds - v_keyed, holds_sum = holds_sum - v_sum WHERE product_id = p_product_id;
    UPDATE products
    SET keyed_holds = keyed_holds - v_keyed, holds_sum = holds_sum - v_sum, version = version + 1, updated_at = UTC_TIMESTAMP(6)
    WHERE id = p_product_id;
  END IF;
  COMMIT;
  CALL snapshot(IF(v_left, 'left', 'pruned'), NULL, p_product_id, v_pruned, v_seen, NULL);
END
