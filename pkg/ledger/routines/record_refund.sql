-- record_refund records money of a payment that went back outside of its provider, and makes the order follow. p_refund_id
-- is the caller's, so that a retry records nothing twice.
--
-- Locks, in order: the hold and its order, the payment, the order's payments, the product.
-- Outcomes: recorded, exists, payment_not_found, over_held (more than the payment holds).
CREATE PROCEDURE record_refund(
  p_provider   VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin,
  p_refund_id  VARBINARY(255),
  p_payment_id VARBINARY(255),
  p_amount     BIGINT,
  p_note       VARCHAR(500) CHARACTER SET utf8mb4,
  p_operator   VARCHAR(255) CHARACTER SET utf8mb4
)
MODIFIES SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE v_outcome VARCHAR(30);
  DECLARE v_now DATETIME(6);
  DECLARE v_order_id BINARY(16);
  DECLARE v_held BIGINT;
  DECLARE v_n INT;
  DECLARE v_short BOOLEAN;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK;
    RESIGNAL;
  END;

  SELECT order_id INTO v_order_id FROM payments WHERE provider = p_provider AND payment_id = p_payment_id;
  SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
  START TRANSACTION;
  SELECT COUNT(*) INTO v_n FROM holds h LEFT JOIN orders o ON o.id = h.id WHERE h.id = v_order_id FOR UPDATE;
  SELECT received - returned INTO v_held FROM payments WHERE provider = p_provider AND payment_id = p_payment_id AND order_id = v_order_id FOR UPDATE;
  SELECT COUNT(*) INTO v_n FROM refunds WHERE provider = p_provider AND refund_id = p_refund_id;
  SET v_now = UTC_TIMESTAMP(6);
  SET v_outcome = CASE
    WHEN v_held IS NULL THEN 'payment_not_found'
    WHEN v_n > 0 THEN 'exists'
    WHEN p_amount > v_held THEN 'over_held'
    ELSE 'recorded'
  END;
  IF v_outcome = 'recorded' THEN
    INSERT INTO refunds (provider, refund_id, payment_id, kind, status, amount, note, operator, created_at, updated_at)
    VALUES (p_provider, p_refund_id, p_payment_id, 'record', 'sent', p_amount, p_note, p_operator, v_now, v_now);
    CALL sum_payment(p_provider, p_payment_id, v_now);
    CALL settle_order(v_order_id, FALSE, 0, v_short);
  END IF;
  COMMIT;
  CALL snapshot(v_outcome, v_order_id, NULL, 0, 0, NULL);
END
