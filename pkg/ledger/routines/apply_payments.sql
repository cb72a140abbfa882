-- apply_payments applies payments of orders of one product for many callers: one transaction, one COMMIT. It is only a faster way to
-- the usual outcome of apply_event (v_first there): a new event says that a new payment of exactly the right amount succeeded, its
-- units are reserved, and no other event waits for it. Every event that it leaves out goes through apply_event with the same id.
--
-- p_events is a JSON array of [event_id, subject_id, payment_id, amount, digest, occurred_at]: hexadecimal but for the provider's own
-- ids, and a time that may be missing. All have the same provider, type and currency. No two have the same event, payment or subject.
--
-- Locks, in order: the new events' rows by the bytes of their ids, the holds and their orders (SKIP LOCKED: a row that another call has
-- locked delays only its own event), the new payments' rows by the bytes of their ids, then the product's row, last, for one UPDATE and
-- the COMMIT. That is apply_event's order, so that batches, single calls and sweeps do not deadlock, with one exception: two calls that
-- wait for an event of a batch that rolls back get gap locks where its row was, and one of them has to retry.
--
-- Outcomes: applied (all of them), apart (none; only the positions in events_usual can share a call), single (none: a
-- concurrent call stored one of the events or payments).
CREATE PROCEDURE apply_payments(
  p_product_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin,
  p_provider   VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin,
  p_type       VARBINARY(255),
  p_currency   CHAR(3) CHARACTER SET ascii COLLATE ascii_bin,
  p_window_us  BIGINT,
  p_count      INT,
  p_events     LONGTEXT CHARACTER SET utf8mb4
)
MODIFIES SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE v_now DATETIME(6) DEFAULT UTC_TIMESTAMP(6);
  DECLARE v_outcome VARCHAR(30);
  DECLARE v_usual TEXT;
  DECLARE v_n, v_units INT DEFAULT 0;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK;
    RESIGNAL;
  END;

  -- Known events and payments. This saves the writes; the INSERTs below decide.
  SELECT JSON_ARRAYAGG(j.position), COUNT(*) INTO v_usual, v_n
    FROM JSON_TABLE(p_events, '$[*]' COLUMNS (position FOR ORDINALITY, event_id VARCHAR(255) PATH '$[0]', payment_id VARCHAR(255) PATH '$[2]')) AS j
    LEFT JOIN payment_events e FORCE INDEX (PRIMARY) ON e.provider = p_provider AND e.event_id = CAST(j.event_id AS BINARY)
    LEFT JOIN payments p FORCE INDEX (PRIMARY) ON p.provider = p_provider AND p.payment_id = CAST(j.payment_id AS BINARY)
    WHERE e.event_id IS NULL AND p.payment_id IS NULL;
  SET v_outcome = IF(v_n < p_count, 'apart', NULL);

  IF v_outcome IS NULL THEN
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    START TRANSACTION;
    -- ON DUPLICATE KEY takes an exclusive lock at once, as in apply_event. ROW_COUNT counts a row that was there already as 2.
    INSERT INTO payment_events (provider, event_id, type, kind, subject_id, payment_id, refund_id, amount, currency,
                                payload_digest, result, occurred_at, received_at, settled_at, retry_at)
    SELECT p_provider, j.event_id, p_type, 'succeeded', UNHEX(j.subject), j.payment_id, '', j.amount, p_currency,
           UNHEX(j.digest), 'applied', j.occurred_at, v_now, v_now, NULL
    FROM JSON_TABLE(p_events, '$[*]' COLUMNS (event_id VARCHAR(255) PATH '$[0]', subject CHAR(32) PATH '$[1]', payment_id VARCHAR(255) PATH '$[2]',
                                              amount BIGINT PATH '$[3]', digest CHAR(64) PATH '$[4]', occurred_at DATETIME(6) PATH '$[5]')) AS j
    ORDER BY CAST(j.event_id AS BINARY)
    ON DUPLICATE KEY UPDATE deliveries = deliveries + 1;
    SET v_outcome = IF(ROW_COUNT() = p_count, NULL, 'single');
  END IF;
  IF v_outcome IS NULL THEN
    SELECT JSON_ARRAYAGG(j.position), COUNT(*), SUM(h.qty) INTO v_usual, v_n, v_units
      FROM JSON_TABLE(p_events, '$[*]' COLUMNS (position FOR ORDINALITY, subject CHAR(32) PATH '$[1]', amount BIGINT PATH '$[3]')) AS j
      STRAIGHT_JOIN holds h FORCE INDEX (PRIMARY) ON h.id = UNHEX(j.subject)
      LEFT JOIN orders o FORCE INDEX (PRIMARY) ON o.id = h.id
      WHERE h.product_id = p_product_id AND j.amount = h.qty * h.unit_price AND h.currency = p_currency
        AND (h.status = 'active' AND o.id IS NULL OR h.status <> 'active' AND o.status = 'pending_payment')
      FOR UPDATE /*!80000 OF h, o */ SKIP LOCKED; -- MySQL locks no JSON_TABLE (error 3569), and MariaDB has no OF
    SET v_outcome = IF(v_n = p_count, NULL, 'apart');
  END IF;
  IF v_outcome IS NULL THEN
    -- A statement of its own, after the locks: the one above does not see a refund that commits between two of its rows.
    SELECT JSON_ARRAYAGG(j.position), COUNT(*) INTO v_usual, v_n
      FROM JSON_TABLE(p_events, '$[*]' COLUMNS (position FOR ORDINALITY, subject CHAR(32) PATH '$[1]')) AS j
      WHERE (SELECT COUNT(*) FROM payment_events FORCE INDEX (payment_events_subject)
             WHERE subject_id = UNHEX(j.subject) AND result IN ('unmatched', 'stored')) = 0;
    SET v_outcome = IF(v_n = p_count, NULL, 'apart');
  END IF;
  IF v_outcome IS NULL THEN
    INSERT INTO payments (provider, payment_id, order_id, settles, currency, received, exact, created_at, updated_at)
    SELECT p_provider, j.payment_id, UNHEX(j.subject), UNHEX(j.subject), p_currency, j.amount, TRUE, v_now, v_now
    FROM JSON_TABLE(p_events, '$[*]' COLUMNS (subject CHAR(32) PATH '$[1]', payment_id VARCHAR(255) PATH '$[2]', amount BIGINT PATH '$[3]')) AS j
    ORDER BY CAST(j.payment_id AS BINARY)
    ON DUPLICATE KEY UPDATE updated_at = GREATEST(v_now, payments.updated_at + INTERVAL 1 MICROSECOND);
    SET v_outcome = IF(ROW_COUNT() = p_count, 'applied', 'single');
  END IF;

  IF v_outcome = 'applied' THEN
    SET v_now = UTC_TIMESTAMP(6); -- after the locks, as in apply_event
    UPDATE JSON_TABLE(p_events, '$[*]' COLUMNS (subject CHAR(32) PATH '$[1]')) AS j
      STRAIGHT_JOIN orders o FORCE INDEX (PRIMARY) ON o.id = UNHEX(j.subject)
    SET o.status = 'paid', o.stock = 'sold', o.updated_at = v_now;
    INSERT INTO orders (id, product_id, qty, amount, currency, status, stock, pay_by, created_at, updated_at)
    SELECT h.id, p_product_id, h.qty, j.amount, p_currency, 'paid', 'sold', v_now + INTERVAL p_window_us MICROSECOND, v_now, v_now
    FROM JSON_TABLE(p_events, '$[*]' COLUMNS (subject CHAR(32) PATH '$[1]', amount BIGINT PATH '$[3]')) AS j
      STRAIGHT_JOIN holds h FORCE INDEX (PRIMARY) ON h.id = UNHEX(j.subject)
    WHERE h.status = 'active';
    UPDATE JSON_TABLE(p_events, '$[*]' COLUMNS (subject CHAR(32) PATH '$[1]')) AS j
      STRAIGHT_JOIN holds h FORCE INDEX (PRIMARY) ON h.id = UNHEX(j.subject)
    SET h.status = IF(v_now < h.expires_at, 'ordered', 'expired'), h.ended_at = v_now
    WHERE h.status = 'active';
    UPDATE products SET reserved_stock = reserved_stock - v_units, sold_stock = sold_stock + v_units, version = version + 1, updated_at = v_now
    WHERE id = p_product_id;
    COMMIT;
  ELSE
    ROLLBACK;
  END IF;

  SELECT
    v_outcome AS outcome, v_usual AS events_usual,
    UTC_TIMESTAMP(6) AS as_of, id AS product_id, name AS product_name, price_amount AS product_price, currency AS product_currency,
    stock AS product_stock, reserved_stock AS product_reserved_stock, sold_stock AS product_sold_stock,
    keyed_holds AS product_keyed_holds, version AS product_version, max_qty_per_hold AS product_max_qty,
    max_per_shopper AS product_max_per_shopper, hidden AS product_hidden,
    sale_starts_at AS product_starts_at, sale_ends_at AS product_ends_at
  FROM (SELECT 1 AS one) AS always LEFT JOIN products ON id = p_product_id; -- it may have been deleted
END
