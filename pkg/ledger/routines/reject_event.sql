-- reject_event keeps a verified event without effect: an unreadable one, or one whose id another event used.
--
-- Locks: the rejected event.
-- Outcomes: rejected.
CREATE PROCEDURE reject_event(
  p_provider   VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin,
  p_event_id   VARBINARY(255),
  p_reason     VARCHAR(16),
  p_type       VARBINARY(255),
  p_detail     VARCHAR(1000) CHARACTER SET utf8mb4,
  p_subject_id BINARY(16),
  p_payment_id VARBINARY(255),
  p_amount     BIGINT,
  p_currency   CHAR(3) CHARACTER SET ascii COLLATE ascii_bin,
  p_digest     BINARY(32),
  p_said       BINARY(32)
)
MODIFIES SQL DATA
SQL SECURITY DEFINER
BEGIN
  INSERT INTO rejected_events (provider, event_id, reason, digest, type, detail, order_id, payment_id, amount, currency, first_at, last_at, said)
  VALUES (p_provider, p_event_id, p_reason, p_digest, p_type, p_detail, p_subject_id, p_payment_id, p_amount, p_currency,
          UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), p_said)
  ON DUPLICATE KEY UPDATE deliveries = deliveries + 1, last_at = UTC_TIMESTAMP(6), digest = p_digest;
  CALL snapshot('rejected', NULL, NULL, 0, 0, NULL);
END
