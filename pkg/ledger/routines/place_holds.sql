-- place_holds reserves units of one product for many callers: one transaction, one COMMIT. It is only a faster way to the usual
-- outcomes of place_hold, placed and sold out. Every hold that it leaves undecided goes through place_hold with the same id.
--
-- p_holds is a JSON array of [id, qty, facts, key, shopper, arrival]: hexadecimal ids, place_hold's v_facts, a key and a shopper or
-- null, and the position in the order of arrival, from 1 on. Those at the end may be missing. Holds with keys are in the order of
-- their keys, because sorting them here would cost a quarter of the call. Without arrival, the array is in the order of arrival.
-- The counts and sums of it are parameters, which saves a pass over the array.
-- All have the same lifetime, price and limit per shopper (NULL: none), those of the product as the callers last saw it.
--
-- Locks, in order: the shoppers' rows (where there is a limit), the new holds' rows by their keys, then the product's row, last,
-- for one UPDATE and the COMMIT. That is place_hold's order, so that batches, single calls and sweeps do not deadlock. Two batches that
-- repeat each other's keys do not either.
--
-- Outcomes: placed (all of them), partly (the first holds_placed of them, or none; the others did not fit, and units_left is left for
-- them. It is NULL if they need place_hold: overdue units could make room, or one of their keys was used meanwhile), apart (none; the
-- arrivals in holds_apart need place_hold: the key is used, or the shopper is blocked or had units of a limited product), single (none:
-- the price, the limit, the window, or a position that a concurrent call took).
CREATE PROCEDURE place_holds(
  p_product_id  VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin,
  p_ttl_us      BIGINT,
  p_price       BIGINT,
  p_currency    CHAR(3) CHARACTER SET ascii COLLATE ascii_bin,
  p_per_shopper INT,
  p_count       INT,
  p_units       BIGINT,
  p_max_qty     BIGINT,
  p_facts       BIGINT,
  p_keys        INT,
  p_shoppers    INT, -- holds of shoppers who signed in
  p_holds       LONGTEXT CHARACTER SET utf8mb4
)
MODIFIES SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE v_now DATETIME(6) DEFAULT UTC_TIMESTAMP(6);
  DECLARE v_placed INT DEFAULT 0;
  DECLARE v_available, v_left, v_used BIGINT;
  DECLARE v_apart TEXT;
  DECLARE v_duplicate, v_ended, v_due BOOLEAN DEFAULT FALSE;
  DECLARE v_known BOOLEAN DEFAULT TRUE;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK;
    RESIGNAL;
  END;

  IF p_keys + p_shoppers > 0 THEN
    SELECT JSON_ARRAYAGG(COALESCE(j.arrival, j.position)) INTO v_apart
      FROM JSON_TABLE(p_holds, '$[*]' COLUMNS (position FOR ORDINALITY, k CHAR(64) PATH '$[3]', shopper CHAR(32) PATH '$[4]', arrival INT PATH '$[5]')) AS j
      LEFT JOIN holds h FORCE INDEX (holds_idempotency_key) ON h.idempotency_key = UNHEX(j.k)
      LEFT JOIN blocked_shoppers b FORCE INDEX (PRIMARY) ON b.shopper = UNHEX(j.shopper)
      LEFT JOIN shopper_products s FORCE INDEX (PRIMARY) ON p_per_shopper IS NOT NULL AND s.shopper = UNHEX(j.shopper) AND s.product_id = p_product_id
      WHERE h.id IS NOT NULL OR b.shopper IS NOT NULL OR s.shopper IS NOT NULL;
  END IF;

  -- If a limit was set after the first holds, no batch can pass. This read saves the writes; the UPDATE below decides.
  IF p_per_shopper IS NOT NULL THEN
    SELECT shoppers_known INTO v_known FROM products WHERE id = p_product_id;
  END IF;
  IF v_apart IS NULL AND v_known THEN
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    START TRANSACTION;
    BEGIN
      DECLARE CONTINUE HANDLER FOR 1062 SET v_duplicate = TRUE; -- a concurrent call has the shopper, the id or the key
      IF p_per_shopper IS NOT NULL THEN
        INSERT INTO shopper_products (shopper, product_id)
        SELECT UNHEX(j.shopper), p_product_id FROM JSON_TABLE(p_holds, '$[*]' COLUMNS (shopper CHAR(32) PATH '$[4]')) AS j ORDER BY j.shopper;
      END IF;
      IF NOT v_duplicate THEN
        INSERT INTO holds (id, product_id, qty, unit_price, currency, status, idempotency_key, created_at, expires_at, facts, shopper, per_shopper)
        SELECT UNHEX(j.id), p_product_id, j.qty, p_price, p_currency, 'active', UNHEX(j.k), v_now, v_now + INTERVAL p_ttl_us MICROSECOND, j.facts,
               UNHEX(j.shopper), p_per_shopper
        FROM JSON_TABLE(p_holds, '$[*]' COLUMNS (id CHAR(32) PATH '$[0]', qty INT PATH '$[1]', facts INT UNSIGNED PATH '$[2]',
                                                 k CHAR(64) PATH '$[3]', shopper CHAR(32) PATH '$[4]')) AS j;
      END IF;
    END;
    IF v_duplicate THEN
      ROLLBACK;
    ELSE
      UPDATE products
      SET reserved_stock = reserved_stock + p_units, keyed_holds = keyed_holds + p_keys, holds_sum = holds_sum + p_facts,
          version = version + 1, updated_at = v_now
      WHERE id = p_product_id AND stock - reserved_stock - sold_stock >= p_units
        AND price_amount = p_price AND currency = p_currency AND max_qty_per_hold >= p_max_qty
        AND max_per_shopper <=> p_per_shopper AND (p_per_shopper IS NULL OR shoppers_known AND p_per_shopper >= p_max_qty) AND NOT hidden
        AND (sale_starts_at IS NULL OR sale_starts_at <= v_now) AND (sale_ends_at IS NULL OR sale_ends_at > v_now);
      IF ROW_COUNT() = 1 THEN
        SET v_placed = p_count;
      ELSE
        -- The stock is short, or another condition failed. The first ones that fit stay, decided under the product's lock.
        SELECT stock - reserved_stock - sold_stock INTO v_available FROM products
        WHERE id = p_product_id
          AND price_amount = p_price AND currency = p_currency AND max_qty_per_hold >= p_max_qty
          AND max_per_shopper <=> p_per_shopper AND (p_per_shopper IS NULL OR shoppers_known AND p_per_shopper >= p_max_qty) AND NOT hidden
          AND (sale_starts_at IS NULL OR sale_starts_at <= v_now) AND (sale_ends_at IS NULL OR sale_ends_at > v_now)
        FOR UPDATE;
        SELECT COUNT(*), COALESCE(SUM(qty), 0), COALESCE(SUM(facts), 0), COUNT(k) INTO v_placed, p_units, p_facts, p_keys
        FROM (SELECT j.*, SUM(j.qty) OVER (ORDER BY COALESCE(j.arrival, j.position)) AS units
              FROM JSON_TABLE(p_holds, '$[*]' COLUMNS (position FOR ORDINALITY, qty INT PATH '$[1]', facts INT UNSIGNED PATH '$[2]',
                                                       k CHAR(64) PATH '$[3]', arrival INT PATH '$[5]')) AS j
             ) AS counted
        WHERE units <= v_available;
        DELETE h FROM JSON_TABLE(p_holds, '$[*]' COLUMNS (position FOR ORDINALITY, id CHAR(32) PATH '$[0]', arrival INT PATH '$[5]')) AS j
          STRAIGHT_JOIN holds h FORCE INDEX (PRIMARY) ON h.id = UNHEX(j.id)
        WHERE COALESCE(j.arrival, j.position) > v_placed;
        IF v_placed > 0 THEN
          UPDATE products
          SET reserved_stock = reserved_stock + p_units, keyed_holds = keyed_holds + p_keys, holds_sum = holds_sum + p_facts,
              version = version + 1, updated_at = v_now
          WHERE id = p_product_id;
        END IF;
      END IF;
      -- As in place_hold: a hold starts now, after the wait for the lock. A new shopper's row stays.
      IF v_placed > 0 AND UTC_TIMESTAMP(6) > v_now + INTERVAL 10000 MICROSECOND THEN
        SET v_now = UTC_TIMESTAMP(6);
        SELECT COALESCE(sale_ends_at <= v_now, FALSE) INTO v_ended FROM products WHERE id = p_product_id;
        UPDATE JSON_TABLE(p_holds, '$[*]' COLUMNS (position FOR ORDINALITY, id CHAR(32) PATH '$[0]', arrival INT PATH '$[5]')) AS j
          STRAIGHT_JOIN holds h FORCE INDEX (PRIMARY) ON h.id = UNHEX(j.id)
        SET h.created_at = v_now, h.expires_at = v_now + INTERVAL p_ttl_us MICROSECOND
        WHERE COALESCE(j.arrival, j.position) <= v_placed;
      END IF;
      IF v_ended THEN
        ROLLBACK;
        SET v_placed = 0, v_available = NULL;
      ELSE
        COMMIT;
      END IF;
    END IF;
  END IF;

  -- The order matters. Due holds come before the units, so that units reclaimed in between count. The keys come after them: a call that
  -- waited for a key of this batch may have placed its hold since the COMMIT, and taken the units.
  IF v_available IS NOT NULL AND v_placed < p_count THEN
    SELECT EXISTS (SELECT 1 FROM holds WHERE product_id = p_product_id AND status = 'active' AND expires_at <= UTC_TIMESTAMP(6))
        OR EXISTS (SELECT 1 FROM orders WHERE product_id = p_product_id AND status = 'pending_payment' AND pay_by <= UTC_TIMESTAMP(6))
      INTO v_due;
    SELECT stock - reserved_stock - sold_stock INTO v_left FROM products WHERE id = p_product_id;
    SELECT COUNT(*) INTO v_used
      FROM JSON_TABLE(p_holds, '$[*]' COLUMNS (position FOR ORDINALITY, k CHAR(64) PATH '$[3]', arrival INT PATH '$[5]')) AS j
      STRAIGHT_JOIN holds h FORCE INDEX (holds_idempotency_key) ON h.idempotency_key = UNHEX(j.k)
      WHERE COALESCE(j.arrival, j.position) > v_placed;
    IF v_due OR v_used > 0 THEN
      SET v_left = NULL;
    END IF;
  END IF;
  SELECT
    CASE WHEN v_apart IS NOT NULL THEN 'apart' WHEN v_placed = p_count THEN 'placed' WHEN v_available IS NOT NULL THEN 'partly' ELSE 'single' END AS outcome,
    v_placed AS holds_placed, v_apart AS holds_apart, v_left AS units_left, v_now AS hold_created_at, v_now + INTERVAL p_ttl_us MICROSECOND AS hold_expires_at,
    UTC_TIMESTAMP(6) AS as_of, id AS product_id, name AS product_name, price_amount AS product_price, currency AS product_currency,
    stock AS product_stock, reserved_stock AS product_reserved_stock, sold_stock AS product_sold_stock,
    keyed_holds AS product_keyed_holds, version AS product_version, max_qty_per_hold AS product_max_qty,
    max_per_shopper AS product_max_per_shopper, hidden AS product_hidden,
    sale_starts_at AS product_starts_at, sale_ends_at AS product_ends_at
  FROM (SELECT 1 AS one) AS always LEFT JOIN products ON id = p_product_id; -- it may have been deleted
END
