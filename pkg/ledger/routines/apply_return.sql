-- apply_return applies an event by which money of a payment goes back, fails to, or may: a refund, a sum of refunds, or a
-- dispute. It changes the refund's row and the payment's sums. apply_event calls it inside its transaction, after it locked
-- the event and the order, and makes the order follow.
--
-- p_payment_id: '' means the order's only payment that holds money.
-- Locks, in order: the payment, the refund.
-- p_outcome: applied, ignored (nothing changed), unmatched (it waits, but its row counts from now on), payment_moved (the
-- payment belongs to another order than p_order_id by now).
CREATE PROCEDURE apply_return(
  p_provider    VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin,
  p_kind        VARCHAR(16),
  p_order_id    BINARY(16),
  p_payment_id  VARBINARY(255),
  p_refund_id   VARBINARY(255),
  p_amount      BIGINT,
  p_currency    CHAR(3) CHARACTER SET ascii COLLATE ascii_bin,
  p_now         DATETIME(6),
  OUT p_outcome VARCHAR(30)
)
MODIFIES SQL DATA
SQL SECURITY DEFINER
main: BEGIN
  DECLARE v_status, v_was VARCHAR(30);
  DECLARE v_owner BINARY(16);
  DECLARE v_refund_of VARBINARY(255);
  DECLARE v_currency, v_refund_currency CHAR(3) CHARACTER SET ascii COLLATE ascii_bin;
  DECLARE v_returned, v_unsent BIGINT DEFAULT 0;
  DECLARE v_known, v_changed BOOLEAN DEFAULT FALSE;
  DECLARE v_n INT;

  IF p_payment_id = '' THEN
    SELECT COUNT(*), MIN(payment_id) INTO v_n, p_payment_id FROM payments
      WHERE order_id = p_order_id AND provider = p_provider AND received > returned;
    IF v_n <> 1 THEN
      SET p_outcome = 'unmatched';
      LEAVE main;
    END IF;
  END IF;
  SELECT TRUE, order_id, currency, returned, unsent INTO v_known, v_owner, v_currency, v_returned, v_unsent
    FROM payments WHERE provider = p_provider AND payment_id = p_payment_id FOR UPDATE;
  IF NOT v_owner <=> p_order_id AND v_owner IS NOT NULL THEN
    SET p_outcome = 'payment_moved';
    LEAVE main;
  END IF;
  IF NOT v_known THEN
    INSERT INTO payments (provider, payment_id, created_at, updated_at) VALUES (p_provider, p_payment_id, p_now, p_now);
  END IF;

  IF p_currency <> v_currency THEN
    SET p_outcome = 'unmatched'; -- a payment is in one currency
    LEAVE main;
  END IF;
  IF p_kind = 'refunded_sum' THEN
    UPDATE payments SET refunded_sum = GREATEST(refunded_sum, COALESCE(p_amount, 0)) WHERE provider = p_provider AND payment_id = p_payment_id;
  ELSE
    SET v_status = CASE p_kind WHEN 'refunded' THEN 'sent' WHEN 'refund_failed' THEN 'failed' WHEN 'disputed' THEN 'open'
                               WHEN 'dispute_won' THEN 'won' ELSE 'lost' END;
    SELECT payment_id, status, currency INTO v_refund_of, v_was, v_refund_currency FROM refunds WHERE provider = p_provider AND refund_id = p_refund_id FOR UPDATE;
    IF v_refund_of IS NULL THEN
      INSERT INTO refunds (provider, refund_id, payment_id, kind, status, amount, currency, created_at, updated_at)
      VALUES (p_provider, p_refund_id, p_payment_id, IF(p_kind IN ('refunded', 'refund_failed'), 'refund', 'dispute'),
              v_status, p_amount, p_currency, p_now, p_now);
    ELSEIF v_refund_of <> p_payment_id THEN
      SET p_outcome = 'unmatched'; -- one refund cannot return two payments
      LEAVE main;
    ELSEIF v_refund_currency <> COALESCE(v_currency, p_currency) THEN
      CALL recount_refunds(p_provider, p_payment_id, p_refund_id, COALESCE(v_currency, LEAST(v_refund_currency, p_currency)), p_now);
    ELSE
      UPDATE refunds
      SET status = IF(FIELD(v_status, 'sent', 'failed', 'open', 'won', 'lost') > FIELD(status, 'sent', 'failed', 'open', 'won', 'lost'), v_status, status),
          amount = IF(p_amount > COALESCE(amount, 0), p_amount, amount), currency = COALESCE(currency, p_currency), updated_at = p_now
      WHERE provider = p_provider AND refund_id = p_refund_id;
    END IF;
  END IF;

  CALL sum_payment(p_provider, p_payment_id, p_now);
  SELECT NOT v_was <=> v_status OR returned <> v_returned OR unsent <> v_unsent -- a sum has no status, before and after
    INTO v_changed FROM payments WHERE provider = p_provider AND payment_id = p_payment_id;
  SET p_outcome = IF(v_owner IS NULL, 'unmatched', IF(v_changed, 'applied', 'ignored')); -- it waits for its success
END
