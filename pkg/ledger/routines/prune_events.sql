-- prune_events deletes payment events of more than p_retention_us ago that changed nothing: ignored ones of no payment and
-- of no order, and rejected ones. It looks at p_max of the former, and goes on after them the next time, round and round:
-- so a call costs the same however many events stay.
--
-- Locks, in order: the events (SKIP LOCKED), the rejected events, the audit's state.
-- Outcomes: pruned. expired_holds counts the deleted ones, and cancelled_orders those that were looked at.
CREATE PROCEDURE prune_events(p_retention_us BIGINT, p_max INT)
MODIFIES SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE v_before, v_received_at DATETIME(6);
  DECLARE v_from_provider, v_provider VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin;
  DECLARE v_from_id, v_event_id VARBINARY(255);
  DECLARE v_subject_id BINARY(16);
  DECLARE v_kind VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin;
  DECLARE v_seen, v_pruned, v_n INT DEFAULT 0;
  DECLARE v_done BOOLEAN DEFAULT FALSE;
  DECLARE ignored CURSOR FOR
    SELECT provider, event_id, kind, subject_id, received_at FROM payment_events FORCE INDEX (payment_events_waiting)
    WHERE result = 'ignored' AND retry_at IS NULL
      AND (provider > v_from_provider OR (provider = v_from_provider AND event_id > v_from_id))
    ORDER BY provider, event_id LIMIT p_max;
  DECLARE CONTINUE HANDLER FOR NOT FOUND SET v_done = TRUE;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK;
    RESIGNAL;
  END;

  SET v_before = UTC_TIMESTAMP(6) - INTERVAL p_retention_us MICROSECOND;
  SELECT events_provider, events_id INTO v_from_provider, v_from_id FROM audit_state WHERE id = 1;
  SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
  START TRANSACTION;
  OPEN ignored;
  pruning: LOOP
    FETCH ignored INTO v_provider, v_event_id, v_kind, v_subject_id, v_received_at;
    IF v_done THEN
      LEAVE pruning;
    END IF;
    SET v_seen = v_seen + 1, v_from_provider = v_provider, v_from_id = v_event_id, v_n = 0;
    IF v_received_at < v_before AND v_kind IN ('other', 'failed') THEN
      SELECT COUNT(*) INTO v_n FROM payment_events
        WHERE provider = v_provider AND event_id = v_event_id AND result = 'ignored' AND retry_at IS NULL FOR UPDATE SKIP LOCKED;
    END IF;
    IF v_n > 0 THEN
      SELECT COUNT(*) INTO v_n FROM orders WHERE id = v_subject_id;
      IF v_n = 0 THEN
        DELETE FROM payment_events WHERE provider = v_provider AND event_id = v_event_id;
        SET v_pruned = v_pruned + 1;
      END IF;
    END IF;
  END LOOP;
  CLOSE ignored;
  DELETE FROM rejected_events WHERE reason = 'unreadable' AND last_at < v_before ORDER BY last_at LIMIT p_max;
  SET v_pruned = v_pruned + ROW_COUNT();
  DELETE FROM rejected_events WHERE reason = 'reused' AND last_at < v_before ORDER BY last_at LIMIT p_max;
  SET v_pruned = v_pruned + ROW_COUNT();
  UPDATE audit_state
  SET events_provider = IF(v_seen < p_max, '', v_from_provider), events_id = IF(v_seen < p_max, '', v_from_id)
  WHERE id = 1;
  COMMIT;
  CALL snapshot('pruned', NULL, NULL, v_pruned, v_seen, NULL);
END
