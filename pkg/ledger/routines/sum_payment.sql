-- sum_payment recomputes what went back of a payment from its refunds: checkout.Returns has the rule. Routines call it
-- inside their transaction, after they locked the payment.
--
-- Locks: the payment.
CREATE PROCEDURE sum_payment(
  p_provider   VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin,
  p_payment_id VARBINARY(255),
  p_now        DATETIME(6)
)
MODIFIES SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE v_received, v_known, v_failed, v_unsent BIGINT DEFAULT 0;
  DECLARE v_all BOOLEAN DEFAULT FALSE;
  DECLARE v_currency CHAR(3) CHARACTER SET ascii COLLATE ascii_bin;

  SELECT received, currency INTO v_received, v_currency FROM payments WHERE provider = p_provider AND payment_id = p_payment_id;
  SELECT COALESCE(SUM(known), 0), COALESCE(SUM(failed * amount), 0), COALESCE(MAX(everything), FALSE),
         COALESCE(SUM(GREATEST(failed - sent, 0) * amount), 0)
    INTO v_known, v_failed, v_all, v_unsent
    FROM (
      SELECT COALESCE(amount, v_received) AS amount, SUM(status = 'failed') AS failed, SUM(status IN ('sent', 'lost')) AS sent,
             SUM(IF(status IN ('sent', 'lost'), COALESCE(amount, 0), 0)) AS known, MAX(amount IS NULL AND status IN ('sent', 'lost')) AS everything
      FROM refunds
      WHERE provider = p_provider AND payment_id = p_payment_id AND (currency IS NULL OR v_currency IS NULL OR currency = v_currency)
      GROUP BY COALESCE(amount, v_received)) AS by_amount;
  UPDATE payments
  SET returned = GREATEST(v_known, refunded_sum - v_failed, IF(v_all, v_received, 0)), unsent = v_unsent, updated_at = p_now
  WHERE provider = p_provider AND payment_id = p_payment_id;
END
