-- apply_payment is apply_event for programs of the release before 00003, which run beside this one during a deployment
-- or a rollback. Without p_digest they retry a stored event. Remove it one release later.
--
-- Locks and outcomes: those of apply_event, without applied_wakes: the sweep applies what waits.
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
CALL apply_event(
  p_provider, p_event_id, IF(p_digest IS NULL, NULL, p_type),
  IF(p_kind = 'refunded' AND p_type = 'charge.refunded', 'refunded_sum', p_kind), p_subject_id,
  IF(p_kind = 'succeeded' AND p_payment_id = '', p_event_id, p_payment_id),
  IF(p_kind = 'refunded' AND p_type <> 'charge.refunded', p_event_id, ''), p_amount,
  IF(p_amount IS NULL, NULL, p_currency), p_digest, p_occurred_at, p_window_us, FALSE)
