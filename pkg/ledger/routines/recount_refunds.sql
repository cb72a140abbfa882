-- recount_refunds makes refunds of a payment say what their events in one currency say: p_refund_id, or all if it is NULL.
-- It changes only those that are in another currency. Providers send one currency; a payment that gets two must end the same
-- in every order of delivery. Routines call it inside their transaction, after they locked the payment.
--
-- Locks: the refunds, and their events.
CREATE PROCEDURE recount_refunds(
  p_provider   VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin,
  p_payment_id VARBINARY(255),
  p_refund_id  VARBINARY(255),
  p_currency   CHAR(3) CHARACTER SET ascii COLLATE ascii_bin,
  p_now        DATETIME(6)
)
MODIFIES SQL DATA
SQL SECURITY DEFINER
UPDATE refunds r JOIN (
  SELECT IF(refund_id = '', event_id, refund_id) AS id, MAX(FIELD(kind, 'refunded', 'refund_failed', 'disputed', 'dispute_won', 'dispute_lost')) AS last,
         MAX(amount) AS amount, MAX(currency) AS currency
  FROM payment_events
  WHERE provider = p_provider AND payment_id = p_payment_id AND (currency IS NULL OR currency = p_currency)
    AND kind IN ('refunded', 'refund_failed', 'disputed', 'dispute_won', 'dispute_lost')
  GROUP BY IF(refund_id = '', event_id, refund_id)) AS said ON said.id = r.refund_id
SET r.status = ELT(said.last, 'sent', 'failed', 'open', 'won', 'lost'), r.amount = said.amount, r.currency = said.currency, r.updated_at = p_now
WHERE r.provider = p_provider AND r.payment_id = p_payment_id AND r.kind <> 'record' AND r.currency <> p_currency
  AND (p_refund_id IS NULL OR r.refund_id = p_refund_id)
