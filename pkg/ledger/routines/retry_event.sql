-- retry_event applies a stored event again. It is apply_event for callers that must not bring an event of their own.
--
-- Locks and outcomes: those of apply_event.
CREATE PROCEDURE retry_event(
  p_provider  VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin,
  p_event_id  VARBINARY(255),
  p_window_us BIGINT
)
MODIFIES SQL DATA
SQL SECURITY DEFINER
CALL apply_event(p_provider, p_event_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, p_window_us)
