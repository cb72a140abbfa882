-- apply_event stores a payment event and applies it, once: it changes the payment that the event is about, and then makes
-- the order follow its payments (settle_order). Both happen in one transaction with the event's result. So a
-- delivery of a settled event is a duplicate, and a delivery of one that waits tries again.
--
-- Without p_type it applies a stored event again. An event that a release before migration 00003 settled becomes a payment in this
-- way: its order follows once its last such event is applied, and takes no units.
--
-- Locks, in order: the event, the hold and its order, the payment and its refunds, the order's payments, the product.
-- Outcomes: applied, applied_wakes (other stored events wait for it), ignored, duplicate, unmatched, event_id_reused.
CREATE PROCEDURE apply_event(
  p_provider    VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin,
  p_event_id    VARBINARY(255),
  p_type        VARBINARY(255),
  p_kind        VARCHAR(16),
  p_subject_id  BINARY(16),
  p_payment_id  VARBINARY(255),
  p_refund_id   VARBINARY(255),
  p_amount      BIGINT,
  p_currency    CHAR(3) CHARACTER SET ascii COLLATE ascii_bin,
  p_digest      BINARY(32),
  p_occurred_at DATETIME(6),
  p_window_us   BIGINT
)
MODIFIES SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE v_outcome, v_stored, v_hold, v_order, v_result VARCHAR(30);
  DECLARE v_now, v_expires_at DATETIME(6);
  DECLARE v_order_id, v_owner BINARY(16);
  DECLARE v_payment_id VARBINARY(255);
  DECLARE v_payment_currency, v_order_currency CHAR(3) CHARACTER SET ascii COLLATE ascii_bin;
  DECLARE v_order_amount, v_was, v_sum, v_lag_us BIGINT DEFAULT 0;
  DECLARE v_first, v_known, v_exact, v_replay, v_changed, v_short, v_reclaimed BOOLEAN DEFAULT FALSE;
  DECLARE v_qty, v_n, v_waiting, v_holds, v_orders, v_all_holds, v_all_orders INT DEFAULT 0;
  DECLARE v_product_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK;
    RESIGNAL;
  END;

  attempt: LOOP
    SET v_outcome = NULL, v_stored = NULL, v_result = NULL, v_hold = NULL, v_order = NULL, v_owner = NULL, v_payment_id = '', v_was = 0, v_n = 0,
        v_first = FALSE, v_known = FALSE, v_replay = FALSE, v_changed = FALSE, v_short = FALSE;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    START TRANSACTION;
    SET v_now = UTC_TIMESTAMP(6);
    IF p_type IS NOT NULL THEN
      -- Applied, unless it turns out otherwise below. ON DUPLICATE KEY takes the row's exclusive lock at once, so concurrent
      -- deliveries queue. A plain INSERT would give each of them a shared lock and deadlock on the upgrade.
      INSERT INTO payment_events (provider, event_id, type, kind, subject_id, payment_id, refund_id, amount, currency,
                                  payload_digest, result, occurred_at, received_at, settled_at, retry_at)
      VALUES (p_provider, p_event_id, p_type, p_kind, p_subject_id, p_payment_id, p_refund_id, p_amount, p_currency,
              p_digest, 'applied', p_occurred_at, v_now, v_now, NULL)
      ON DUPLICATE KEY UPDATE deliveries = deliveries + 1;
      SET v_stored = IF(ROW_COUNT() = 1, 'new', 'seen');
    END IF;
    IF NOT v_stored <=> 'new' THEN
      IF p_type IS NOT NULL THEN
        CALL compare_event(p_provider, p_event_id, p_type, p_kind, p_subject_id, p_payment_id, p_refund_id, p_amount, p_currency, p_digest, v_stored);
      END IF;
      SELECT kind, subject_id, IF(kind = 'succeeded' AND payment_id = '', event_id, payment_id),
             IF(kind IN ('refunded', 'refund_failed') AND refund_id = '', event_id, refund_id),
             amount, IF(amount IS NULL, NULL, currency), result, result IN ('applied', 'ignored') AND retry_at IS NOT NULL
        INTO p_kind, p_subject_id, p_payment_id, p_refund_id, p_amount, p_currency, v_result, v_replay
        FROM payment_events WHERE provider = p_provider AND event_id = p_event_id FOR UPDATE;
    END IF;
    -- Find the payment and the order: a refund may name only one of them.
    SET v_order_id = p_subject_id;
    IF v_stored = 'event_id_reused' THEN
      SET v_outcome = 'event_id_reused';
    ELSEIF v_result IN ('applied', 'ignored') AND NOT v_replay THEN
      SET v_outcome = 'duplicate';
    ELSEIF p_kind = 'other' THEN
      SET v_outcome = 'ignored';
    ELSEIF p_kind NOT IN ('succeeded', 'failed', 'processing') THEN
      SET v_payment_id = p_payment_id;
      IF v_payment_id = '' THEN
        SELECT payment_id INTO v_payment_id FROM refunds WHERE provider = p_provider AND refund_id = p_refund_id;
      END IF;
      IF v_payment_id <> '' THEN
        SET v_order_id = IF(v_replay, p_subject_id, NULL);
        SELECT COALESCE(order_id, v_order_id) INTO v_order_id FROM payments WHERE provider = p_provider AND payment_id = v_payment_id;
      END IF;
    END IF;
    IF v_outcome IS NULL AND v_order_id IS NOT NULL THEN
      SELECT h.status, h.product_id, h.qty, h.qty * h.unit_price, h.currency, h.expires_at, o.status,
             (SELECT COUNT(*) FROM payment_events WHERE subject_id = h.id AND result IN ('unmatched', 'stored'))
        INTO v_hold, v_product_id, v_qty, v_order_amount, v_order_currency, v_expires_at, v_order, v_waiting
        FROM holds h LEFT JOIN orders o ON o.id = h.id WHERE h.id = v_order_id FOR UPDATE;
    END IF;

    IF v_outcome IS NOT NULL THEN
      DO 0; -- decided above
    ELSEIF p_kind = 'failed' THEN
      -- The final failure of one payment ends an order that no money came for.
      SELECT COUNT(*) INTO v_n FROM payments WHERE order_id = v_order_id AND received > 0;
      SET v_outcome = IF(v_hold IS NULL, 'unmatched', IF(v_order = 'pending_payment' AND v_n = 0, 'applied', 'ignored'));
      IF v_replay THEN
        SET v_outcome = v_result; -- it had its effect
      END IF;

    ELSEIF p_kind = 'processing' THEN
      -- A payment is under way: the order gets the whole window. create_order looks for this event if the order does not exist yet.
      SET v_outcome = 'ignored';
      IF v_order = 'pending_payment' THEN
        UPDATE orders SET pay_by = created_at + INTERVAL p_window_us MICROSECOND, updated_at = UTC_TIMESTAMP(6)
        WHERE id = v_order_id AND pay_by < created_at + INTERVAL p_window_us MICROSECOND;
        SET v_outcome = IF(ROW_COUNT() = 1, 'applied', 'ignored');
      END IF;

    ELSEIF p_kind = 'succeeded' THEN
      IF v_hold IS NULL THEN
        SET v_outcome = 'unmatched';
      ELSE
        SET v_exact = p_amount = v_order_amount AND p_currency = v_order_currency;
        -- A new payment settles an order whose units are reserved. settle_order decides about a late one. The update of a known one only locks it.
        SET v_first = v_exact AND (v_order = 'pending_payment' OR (v_order IS NULL AND v_hold = 'active'));
        INSERT INTO payments (provider, payment_id, order_id, settles, currency, received, exact, created_at, updated_at)
        VALUES (p_provider, p_payment_id, v_order_id, IF(v_first, v_order_id, NULL), p_currency, p_amount, v_exact, v_now, v_now)
        ON DUPLICATE KEY UPDATE updated_at = GREATEST(v_now, updated_at + INTERVAL 1 MICROSECOND);
        IF ROW_COUNT() = 1 THEN
          -- Nothing was received yet, and the units are reserved: settle_order would do the same, with two more reads.
          SET v_changed = TRUE, v_first = v_first AND p_amount > 0;
        ELSE
          SET v_first = FALSE;
          SELECT TRUE, order_id, currency, received, exact INTO v_known, v_owner, v_payment_currency, v_was, v_changed
            FROM payments WHERE provider = p_provider AND payment_id = p_payment_id;
          IF NOT v_known THEN
            -- Another payment settles the order, though it is not paid: the release before refunded it during a rollback.
            INSERT INTO payments (provider, payment_id, order_id, currency, received, exact, created_at, updated_at)
            VALUES (p_provider, p_payment_id, v_order_id, p_currency, p_amount, v_exact, v_now, v_now);
            SET v_changed = TRUE;
          END IF;
        END IF;
        IF NOT v_known THEN
          DO 0; -- all of it is written
        ELSEIF COALESCE(v_owner, v_order_id) <> v_order_id OR COALESCE(v_payment_currency, p_currency) <> p_currency THEN
          SET v_outcome = 'unmatched'; -- one payment cannot pay two orders, or be in two currencies
        ELSE
          -- A payment that turns out to have another amount no longer settles its order: all of it is owed.
          SET v_exact = GREATEST(v_was, p_amount) = v_order_amount AND p_currency = v_order_currency;
          IF v_owner IS NULL THEN
            -- Refunds or sums of refunds came first. Only those in the currency of the payment count.
            SELECT MAX(amount) INTO v_sum FROM payment_events
              WHERE provider = p_provider AND payment_id = p_payment_id AND kind = 'refunded_sum' AND COALESCE(currency, p_currency) = p_currency;
            UPDATE payments SET refunded_sum = COALESCE(v_sum, 0) WHERE provider = p_provider AND payment_id = p_payment_id;
            SELECT COUNT(*) INTO v_n FROM refunds WHERE provider = p_provider AND payment_id = p_payment_id AND currency <> p_currency;
            IF v_n > 0 THEN
              CALL recount_refunds(p_provider, p_payment_id, NULL, p_currency, v_now);
            END IF;
          END IF;
          SET v_changed = v_owner IS NULL OR p_amount > v_was OR (v_exact AND NOT v_changed);
          UPDATE payments
          SET order_id = v_order_id, currency = p_currency, received = GREATEST(v_was, p_amount), exact = v_exact,
              settles = IF(v_exact, settles, NULL), updated_at = v_now
          WHERE provider = p_provider AND payment_id = p_payment_id;
          CALL sum_payment(p_provider, p_payment_id, v_now);
        END IF;
        SET v_outcome = COALESCE(v_outcome, IF(v_changed AND (p_amount > 0 OR v_exact), 'applied', 'ignored'));
      END IF;

    ELSE
      CALL apply_return(p_provider, p_kind, v_order_id, v_payment_id, p_refund_id, p_amount, p_currency, v_now, v_outcome);
      IF v_outcome = 'payment_moved' THEN
        ROLLBACK; -- its success came in between: begin again with the lock of the order
        ITERATE attempt;
      END IF;
    END IF;

    IF v_outcome IN ('applied', 'ignored') THEN
      IF v_outcome = 'ignored' OR v_result IS NOT NULL THEN
        UPDATE payment_events
        SET result = IF(v_outcome = 'ignored', 'ignored', 'applied'), settled_at = v_now, retry_at = NULL,
            payment_id = IF(kind = 'succeeded', p_payment_id, payment_id)
        WHERE provider = p_provider AND event_id = p_event_id;
      END IF;
    ELSEIF v_outcome = 'unmatched' THEN
      UPDATE payment_events
      SET result = 'unmatched', settled_at = NULL,
          retry_at = IF(received_at < v_now - INTERVAL 1 HOUR, NULL,
                        v_now + INTERVAL LEAST(GREATEST(TIMESTAMPDIFF(SECOND, received_at, v_now), 1), 60) SECOND)
      WHERE provider = p_provider AND event_id = p_event_id;
    END IF;
    IF p_kind = 'failed' AND v_outcome = 'applied' AND NOT v_replay THEN
      SET v_now = UTC_TIMESTAMP(6); -- after the locks, as below
      UPDATE orders SET status = 'cancelled', reason = 'payment_failed', stock = 'none', updated_at = v_now WHERE id = v_order_id;
      UPDATE products SET reserved_stock = reserved_stock - v_qty, version = version + 1, updated_at = v_now WHERE id = v_product_id;
    ELSEIF v_first THEN
      SET v_now = UTC_TIMESTAMP(6); -- after the locks: the wait for them counts
      IF v_hold = 'active' THEN
        UPDATE holds SET status = IF(v_now < v_expires_at, 'ordered', 'expired'), ended_at = v_now WHERE id = v_order_id;
        INSERT INTO orders (id, product_id, qty, amount, currency, status, stock, pay_by, created_at, updated_at)
        VALUES (v_order_id, v_product_id, v_qty, v_order_amount, v_order_currency, 'paid', 'sold', v_now + INTERVAL p_window_us MICROSECOND, v_now, v_now);
      ELSE
        UPDATE orders SET status = 'paid', stock = 'sold', updated_at = v_now WHERE id = v_order_id;
      END IF;
      UPDATE products SET reserved_stock = reserved_stock - v_qty, sold_stock = sold_stock + v_qty, version = version + 1, updated_at = v_now
      WHERE id = v_product_id;
    ELSEIF v_hold IS NOT NULL AND p_kind NOT IN ('failed', 'processing') AND v_outcome IN ('applied', 'applied_wakes', 'ignored', 'unmatched') THEN
      SET v_n = 0;
      IF v_replay THEN
        SELECT COUNT(*) INTO v_n FROM payment_events
          WHERE subject_id = v_order_id AND retry_at IS NOT NULL AND result IN ('applied', 'ignored');
      END IF;
      IF v_n = 0 THEN
        CALL settle_order(v_order_id, p_kind IN ('succeeded', 'refund_failed') AND NOT v_replay, p_window_us, v_short);
      END IF;
    END IF;
    IF v_outcome = 'applied' AND p_kind = 'succeeded' AND (v_known OR v_waiting > 0) THEN
      SET v_outcome = 'applied_wakes';
    END IF;
    IF v_short AND NOT v_reclaimed THEN
      -- Short of stock: reclaim overdue stock first, in separate transactions, until nothing is due.
      ROLLBACK;
      CALL reclaim_due(v_product_id, 500, 500, 0, v_holds, v_orders, v_lag_us);
      SET v_reclaimed = v_holds + v_orders = 0, v_all_holds = v_all_holds + v_holds, v_all_orders = v_all_orders + v_orders;
      ITERATE attempt;
    END IF;
    LEAVE attempt;
  END LOOP;
  IF v_outcome = 'event_id_reused' THEN
    ROLLBACK;
  ELSE
    COMMIT;
  END IF;
  CALL snapshot(v_outcome, COALESCE(v_order_id, p_subject_id), NULL, v_all_holds, v_all_orders, v_lag_us);
END
