-- apply_payment records a payment event and applies, once, the matching row of checkout.Transitions. The event's row is
-- unmatched until its effect is written, and both change in one transaction. So a delivery of a settled event is a
-- duplicate, and a delivery of an unmatched one tries again.
--
-- p_digest is NULL when the sweep retries a stored event: nothing was delivered, so deliveries does not change.
--
-- Locks, in order: the event, the hold (whose lock stands for its order too), the order, the product.
-- Outcomes: applied, ignored, duplicate, unmatched. Retrying an event that is not stored is unmatched.
CREATE PROCEDURE apply_payment(
  p_provider    VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin,
  p_event_id    VARBINARY(255),
  p_type        VARBINARY(255),
  p_kind        VARCHAR(16),
  p_subject_id  BINARY(16),
  p_payment_id  VARBINARY(255),
  p_amount      BIGINT,
  p_currency    CHAR(3) CHARACTER SET ascii COLLATE ascii_bin,
  p_digest      BINARY(32),
  p_occurred_at DATETIME(6),
  p_window_us   BIGINT
)
MODIFIES SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE v_outcome, v_hold, v_order, v_to, v_reason, v_event VARCHAR(20);
  DECLARE v_now, v_expires_at DATETIME(6);
  DECLARE v_product_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin;
  DECLARE v_qty, v_holds, v_orders, v_back INT DEFAULT 0;
  DECLARE v_price, v_lag_us BIGINT;
  DECLARE v_currency CHAR(3) CHARACTER SET ascii COLLATE ascii_bin;
  DECLARE v_reserved, v_right, v_reclaimed BOOLEAN DEFAULT FALSE;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK;
    RESIGNAL;
  END;

  attempt: WHILE v_outcome IS NULL DO
    SET v_now = UTC_TIMESTAMP(6), v_hold = NULL, v_order = NULL, v_to = NULL, v_reason = NULL;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    START TRANSACTION;
    IF p_digest IS NOT NULL THEN
      -- ON DUPLICATE KEY takes the row's exclusive lock at once, so concurrent deliveries queue. A plain INSERT would
      -- give each of them a shared lock and deadlock on the upgrade.
      INSERT INTO payment_events (provider, event_id, type, kind, subject_id, payment_id, amount, currency,
                                  payload_digest, result, occurred_at, received_at)
      VALUES (p_provider, p_event_id, p_type, p_kind, p_subject_id, p_payment_id, p_amount, p_currency,
              p_digest, 'unmatched', p_occurred_at, v_now)
      ON DUPLICATE KEY UPDATE deliveries = deliveries + 1;
    END IF;
    SELECT result INTO v_event FROM payment_events
    WHERE provider = p_provider AND event_id = p_event_id FOR UPDATE;

    IF v_event = 'unmatched' AND p_kind <> 'other' THEN
      SELECT status, product_id, qty, unit_price, currency, expires_at
        INTO v_hold, v_product_id, v_qty, v_price, v_currency, v_expires_at
        FROM holds WHERE id = p_subject_id FOR UPDATE;
      SELECT status INTO v_order FROM orders WHERE id = p_subject_id FOR UPDATE;
      SET v_now = UTC_TIMESTAMP(6); -- after the locks: the wait for them counts
      -- An overdue hold or order that was not swept yet still has its units.
      SET v_reserved = v_hold = 'active' OR COALESCE(v_order = 'pending_payment', FALSE);
      SET v_right = COALESCE(p_amount = v_qty * v_price AND p_currency = v_currency, FALSE);
    END IF;

    IF v_event <> 'unmatched' THEN
      SET v_outcome = 'duplicate';
    ELSEIF p_kind = 'other' THEN
      SET v_outcome = 'ignored';
    ELSEIF v_hold IS NULL THEN
      SET v_outcome = 'unmatched';
    ELSEIF p_kind = 'succeeded' AND COALESCE(v_order, 'cancelled') IN ('pending_payment', 'cancelled') THEN
      -- No order yet, an unpaid order, or a cancelled one: first the amount decides, then the stock.
      IF NOT v_right THEN
        SET v_to = 'refund_due', v_reason = 'amount_mismatch';
      ELSEIF v_reserved THEN
        SET v_to = 'paid';
      ELSE
        UPDATE products SET sold_stock = sold_stock + v_qty, version = version + 1, updated_at = v_now
        WHERE id = v_product_id AND stock - reserved_stock - sold_stock >= v_qty;
        IF ROW_COUNT() = 1 THEN
          SET v_to = 'paid';
        ELSEIF v_reclaimed THEN
          SET v_to = 'refund_due', v_reason = 'late_payment';
        ELSE
          -- Short of stock: reclaim overdue stock first, in a separate transaction.
          ROLLBACK;
          SET v_reclaimed = TRUE;
          CALL reclaim_due(v_product_id, 500, 500, 0, v_holds, v_orders, v_lag_us);
          ITERATE attempt;
        END IF;
      END IF;
    ELSEIF p_kind = 'failed' AND v_order = 'pending_payment' THEN
      SET v_to = 'cancelled', v_reason = 'payment_failed';
    ELSEIF p_kind = 'refunded' AND v_order IN ('paid', 'refund_due') THEN
      SET v_to = 'refunded';
    ELSE
      SET v_outcome = 'ignored';
    END IF;

    IF v_to IS NOT NULL THEN
      SET v_outcome = 'applied';
      IF v_hold = 'active' THEN
        UPDATE holds SET status = IF(v_now < v_expires_at, 'ordered', 'expired'), ended_at = v_now WHERE id = p_subject_id;
      END IF;
      IF v_order IS NULL THEN
        INSERT INTO orders (id, product_id, qty, amount, currency, status, reason, stock, pay_by, created_at, updated_at)
        VALUES (p_subject_id, v_product_id, v_qty, v_qty * v_price, v_currency, v_to, v_reason,
                IF(v_to = 'paid', 'sold', 'none'), v_now + INTERVAL p_window_us MICROSECOND, v_now, v_now);
      ELSEIF v_to = 'refunded' THEN -- its units and its reason stay as they are
        UPDATE orders SET status = 'refunded', updated_at = v_now WHERE id = p_subject_id;
      ELSE
        UPDATE orders SET status = v_to, reason = v_reason, stock = IF(v_to = 'paid', 'sold', 'none'), updated_at = v_now
        WHERE id = p_subject_id;
      END IF;
      IF v_reserved THEN
        UPDATE products
        SET reserved_stock = reserved_stock - v_qty, sold_stock = sold_stock + IF(v_to = 'paid', v_qty, 0),
            version = version + 1, updated_at = v_now
        WHERE id = v_product_id;
      END IF;
    END IF;
    IF v_outcome IN ('applied', 'ignored') THEN
      UPDATE payment_events SET result = v_outcome, settled_at = v_now WHERE provider = p_provider AND event_id = p_event_id;
    END IF;
    COMMIT;
  END WHILE;
  CALL snapshot(v_outcome, p_subject_id, NULL, v_holds, v_orders, v_lag_us);
END
