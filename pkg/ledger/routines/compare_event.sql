-- compare_event decides about a second delivery of an event: it says the same as the stored one, or its id is reused. An
-- event without meaning for an earlier release (kind other) gets the meaning that it has now. Routines call it inside
-- their transaction, after they locked the event.
--
-- Locks: the event.
-- p_outcome: seen, event_id_reused.
CREATE PROCEDURE compare_event(
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
  OUT p_outcome VARCHAR(30)
)
MODIFIES SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE v_same, v_no_meaning BOOLEAN;

  SELECT kind = 'other' AND type = p_type AND p_kind <> 'other',
         -- Releases before 00003 stored no refund id, and no payment id for a success without one.
         type = p_type AND subject_id <=> p_subject_id AND amount <=> p_amount AND currency <=> p_currency
           AND payment_id IN (p_payment_id, IF(kind = 'succeeded' AND p_payment_id = event_id, '', p_payment_id))
           AND refund_id IN (p_refund_id, '')
    INTO v_no_meaning, v_same
    FROM payment_events WHERE provider = p_provider AND event_id = p_event_id;
  SET p_outcome = IF(v_same OR v_no_meaning, 'seen', 'event_id_reused');
  IF v_no_meaning THEN
    UPDATE payment_events
    SET kind = p_kind, subject_id = p_subject_id, payment_id = p_payment_id, refund_id = p_refund_id, amount = p_amount,
        currency = p_currency, payload_digest = p_digest, result = 'stored', settled_at = NULL, retry_at = UTC_TIMESTAMP(6)
    WHERE provider = p_provider AND event_id = p_event_id;
  END IF;
END
