-- postpone_event sets a later time for the next try of a stored event, after retry_event failed.
--
-- Locks and outcomes: those of keep_event.
CREATE PROCEDURE postpone_event(
  p_provider VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin,
  p_event_id VARBINARY(255)
)
MODIFIES SQL DATA
SQL SECURITY DEFINER
CALL keep_event(p_provider, p_event_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
