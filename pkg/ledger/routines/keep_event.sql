-- keep_event stores an event that apply_event failed to apply. The sweep tries it again: first after a second, then
-- after longer and longer waits, at most a minute.
--
-- Locks: the event.
-- Outcomes: stored, duplicate (it was applied or ignored before), event_id_reused.
CREATE PROCEDURE keep_event(
  p_provider    VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin,
  p_event_id    VARBINARY(255),
  p_type        VARBINARY(255), -- NULL: the event is stored, and trying it again has failed
  p_kind        VARCHAR(16),
  p_subject_id  BINARY(16),
  p_payment_id  VARBINARY(255),
  p_refund_id   VARBINARY(255),
  p_amount      BIGINT,
  p_currency    CHAR(3) CHARACTER SET ascii COLLATE ascii_bin,
  p_digest      BINARY(32),
  p_occurred_at DATETIME(6)
)
MODIFIES SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE v_outcome VARCHAR(30);
  DECLARE v_result VARCHAR(16);
  DECLARE v_received_at DATETIME(6);
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK;
    RESIGNAL;
  END;

  SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
  START TRANSACTION;
  IF p_type IS NOT NULL THEN
    INSERT INTO payment_events (provider, event_id, type, kind, subject_id, payment_id, refund_id, amount, currency,
                                payload_digest, result, occurred_at, received_at, retry_at)
    VALUES (p_provider, p_event_id, p_type, p_kind, p_subject_id, p_payment_id, p_refund_id, p_amount, p_currency,
            p_digest, 'stored', p_occurred_at, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))
    ON DUPLICATE KEY UPDATE deliveries = deliveries + 1;
    IF ROW_COUNT() <> 1 THEN
      CALL compare_event(p_provider, p_event_id, p_type, p_kind, p_subject_id, p_payment_id, p_refund_id, p_amount, p_currency, p_digest, v_outcome);
    END IF;
  END IF;
  SELECT result, received_at INTO v_result, v_received_at
    FROM payment_events WHERE provider = p_provider AND event_id = p_event_id FOR UPDATE;
  IF v_outcome = 'event_id_reused' THEN
    ROLLBACK;
  ELSE
    UPDATE payment_events
    SET retry_at = UTC_TIMESTAMP(6) + INTERVAL LEAST(GREATEST(TIMESTAMPDIFF(SECOND, v_received_at, UTC_TIMESTAMP(6)), 1), 60) SECOND
    WHERE provider = p_provider AND event_id = p_event_id AND retry_at IS NOT NULL;
    COMMIT;
    SET v_outcome = IF(v_result IN ('applied', 'ignored'), 'duplicate', 'stored');
  END IF;
  CALL snapshot(v_outcome, NULL, NULL, 0, 0, NULL);
END
