-- place_hold reserves p_qty units of a product for p_ttl_us microseconds.
--
-- p_price, p_currency and p_per_shopper (the limit per shopper) are the product's as the caller last saw them; a NULL p_price
-- means that it saw neither. They only save a read: the hold is written with them, and the guarded UPDATE succeeds only if they are
-- current and nothing else forbids the hold. If it fails, the routine reads the product without a lock to find out why.
--
-- p_shopper owns the hold; NULL: anonymous. Where there is a limit, the shopper's row in shopper_products is the lock under which
-- the shopper takes units of this product, and so the sum of them is exact. A shopper whose row is new has none, so there is
-- nothing to sum, unless holds of the product were placed before it had a limit (products.shoppers_known). Only the shopper's
-- own calls wait for this lock, and a refusal needs no other.
--
-- Locks, in order: the shopper's row (where there is a limit), the new hold's row with its idempotency key, then the
-- product's row, last, for one UPDATE and the COMMIT. A hot product's throughput is 1 / (the time this lock is held).
--
-- The caller makes p_id before the call, so that a retry after a lost response finds its own hold.
-- Outcomes: placed, replayed, idempotency_key_reused, product_not_found, qty_over_limit, sale_not_started, sale_ended,
-- sold_out, sign_in_needed (there is a limit per shopper), shopper_limit (also for one with more than a thousand holds, whose
-- sum would take too long), shopper_blocked, busy (other calls were faster five times in a row, or more is due than can be
-- reclaimed in a second), overtaken (the reason to refuse it has gone: call again).
CREATE PROCEDURE place_hold(
  p_id         BINARY(16),
  p_product_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin,
  p_qty        INT,
  p_ttl_us     BIGINT,
  p_key        BINARY(32),
  p_price      BIGINT,
  p_currency   CHAR(3) CHARACTER SET ascii COLLATE ascii_bin,
  p_shopper    BINARY(16),
  p_per_shopper INT
)
MODIFIES SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE v_outcome VARCHAR(30);
  DECLARE v_began DATETIME(6) DEFAULT UTC_TIMESTAMP(6);
  DECLARE v_now DATETIME(6);
  DECLARE v_lag_us BIGINT;
  DECLARE v_holds, v_orders, v_all_holds, v_all_orders, v_same INT DEFAULT 0;
  DECLARE v_tries_left INT DEFAULT 5;
  DECLARE v_duplicate, v_ended, v_over, v_blocked, v_new, v_sum, v_many, v_all BOOLEAN DEFAULT FALSE;
  DECLARE v_yours BIGINT;
  DECLARE v_first BINARY(16);
  DECLARE v_facts INT UNSIGNED;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK;
    RESIGNAL;
  END;

  IF p_key IS NOT NULL THEN
    SELECT id INTO v_first FROM holds WHERE idempotency_key = p_key;
  END IF;
  IF p_shopper IS NOT NULL THEN
    SELECT b.shopper IS NOT NULL, NOT p.shoppers_known INTO v_blocked, v_sum
      FROM products p LEFT JOIN blocked_shoppers b ON b.shopper = p_shopper WHERE p.id = p_product_id;
    SET v_outcome = IF(v_blocked, 'shopper_blocked', NULL);
  END IF;

  attempt: WHILE v_first IS NULL AND v_outcome IS NULL DO
    SET v_now = UTC_TIMESTAMP(6), v_over = p_per_shopper IS NOT NULL AND p_shopper IS NULL;
    IF p_price IS NOT NULL AND NOT v_over THEN
      SET v_tries_left = v_tries_left - 1;
      -- The audit recomputes it (audit_checks.go), so that a changed, moved or deleted hold leaves evidence.
      SET v_facts = CRC32(CONCAT_WS('|', HEX(p_id), p_product_id, p_qty, p_price, p_currency, HEX(p_key), p_ttl_us, HEX(p_shopper)));
      SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
      START TRANSACTION;
      IF p_per_shopper IS NOT NULL THEN
        INSERT INTO shopper_products (shopper, product_id) VALUES (p_shopper, p_product_id) ON DUPLICATE KEY UPDATE locked = locked + 1;
        SET v_new = ROW_COUNT() = 1, v_yours = 0, v_many = FALSE, v_sum = v_sum OR NOT v_new; -- 2: it was there, and was changed
        IF v_sum THEN -- first from the index alone, with units that have come back
          SELECT COALESCE(SUM(IF(product_id = p_product_id, qty, 0)), 0), COUNT(*) > 1000 INTO v_yours, v_many
            FROM (SELECT product_id, qty FROM holds FORCE INDEX (holds_shopper) WHERE shopper = p_shopper LIMIT 1001) AS some_holds;
        END IF;
        IF v_many OR v_yours + p_qty > p_per_shopper THEN
          CALL shopper_units(p_shopper, p_product_id, v_yours, v_all);
          SET v_over = v_yours + p_qty > p_per_shopper OR NOT v_all;
        END IF;
      END IF;
    END IF;
    IF p_price IS NOT NULL AND NOT v_over THEN
      BEGIN
        DECLARE CONTINUE HANDLER FOR 1062 SET v_duplicate = TRUE; -- this id, or a concurrent call with this key
        INSERT INTO holds (id, product_id, qty, unit_price, currency, status, idempotency_key, created_at, expires_at, facts, shopper, per_shopper)
        VALUES (p_id, p_product_id, p_qty, p_price, p_currency, 'active', p_key, v_now, v_now + INTERVAL p_ttl_us MICROSECOND, v_facts, p_shopper, p_per_shopper);
      END;
      IF NOT v_duplicate THEN
        UPDATE products
        SET reserved_stock = reserved_stock + p_qty, keyed_holds = keyed_holds + (p_key IS NOT NULL), holds_sum = holds_sum + v_facts,
            version = version + 1, updated_at = v_now
        WHERE id = p_product_id AND stock - reserved_stock - sold_stock >= p_qty
          AND price_amount = p_price AND currency = p_currency AND max_qty_per_hold >= p_qty
          AND max_per_shopper <=> p_per_shopper AND (v_sum OR shoppers_known OR p_per_shopper IS NULL) AND NOT hidden
          AND (sale_starts_at IS NULL OR sale_starts_at <= v_now) AND (sale_ends_at IS NULL OR sale_ends_at > v_now);
        IF ROW_COUNT() = 1 THEN
          -- The hold is granted now, after the wait for the lock. Under 10 ms the difference is not worth a second write.
          IF UTC_TIMESTAMP(6) > v_now + INTERVAL 10000 MICROSECOND THEN
            SET v_now = UTC_TIMESTAMP(6);
            SELECT COALESCE(sale_ends_at <= v_now, FALSE) INTO v_ended FROM products WHERE id = p_product_id;
            UPDATE holds SET created_at = v_now, expires_at = v_now + INTERVAL p_ttl_us MICROSECOND WHERE id = p_id;
          END IF;
          IF NOT v_ended THEN
            COMMIT;
            SET v_outcome = 'placed';
            LEAVE attempt;
          END IF;
        ELSEIF v_new THEN
          DELETE FROM holds WHERE id = p_id;
        END IF;
      END IF;
    END IF;
    -- A shopper's new row stays (unless the sale has ended). Calls that wait for a row which is taken away would lock the gap that
    -- it leaves, and delay the first holds of other shoppers.
    IF v_new AND NOT v_ended THEN
      COMMIT;
    ELSE
      ROLLBACK;
    END IF;
    IF v_duplicate THEN
      SELECT id INTO v_first FROM holds WHERE id = p_id OR idempotency_key = p_key LIMIT 1;
      SET v_outcome = IF(v_first IS NULL, 'busy', NULL);
      LEAVE attempt;
    END IF;

    SET p_price = NULL, v_new = FALSE, v_sum = TRUE;
    -- The outcome comes first: MariaDB assigns variables in order, and p_per_shopper still has the old limit.
    SELECT CASE
        WHEN hidden THEN 'product_not_found'
        WHEN p_qty > max_qty_per_hold THEN 'qty_over_limit'
        WHEN sale_starts_at > v_now THEN 'sale_not_started'
        WHEN sale_ends_at <= v_now THEN 'sale_ended'
        WHEN p_qty > stock - reserved_stock - sold_stock THEN 'sold_out'
        WHEN max_per_shopper IS NOT NULL AND p_shopper IS NULL THEN 'sign_in_needed'
        WHEN v_over AND max_per_shopper <=> p_per_shopper THEN 'shopper_limit'
        WHEN v_tries_left <= 0 THEN 'busy'
      END, price_amount, currency, max_per_shopper
      INTO v_outcome, p_price, p_currency, p_per_shopper
      FROM products WHERE id = p_product_id;
    IF p_price IS NULL THEN
      SET v_outcome = 'product_not_found';
    ELSEIF v_outcome IN ('sold_out', 'shopper_limit') THEN
      -- Short of stock, or of the shopper's share: reclaim overdue stock first, in separate transactions, until nothing is due.
      CALL reclaim_due(p_product_id, 500, 500, 0, v_holds, v_orders, v_lag_us);
      SET v_all_holds = v_all_holds + v_holds, v_all_orders = v_all_orders + v_orders;
      IF v_holds + v_orders > 0 THEN
        SET v_outcome = IF(UTC_TIMESTAMP(6) > v_began + INTERVAL 1 SECOND, 'busy', NULL);
      END IF;
    END IF;
  END WHILE;

  IF v_first IS NULL AND v_outcome <> 'placed' AND (p_key IS NOT NULL OR v_over OR v_tries_left = 5) THEN
    -- The stock may have gone to the hold that a concurrent call with this key placed, and the stock or the limit to this very
    -- hold. An attempt would have found it; without one (5 tries left), nothing has looked for it.
    SELECT id INTO v_first FROM holds WHERE id = p_id OR idempotency_key = p_key LIMIT 1;
  END IF;
  IF v_first IS NOT NULL THEN
    SELECT COUNT(*) INTO v_same FROM holds WHERE id = v_first AND product_id = p_product_id AND qty = p_qty;
    SET v_outcome = IF(v_first = p_id, 'placed', IF(v_same = 1, 'replayed', 'idempotency_key_reused'));
    CALL snapshot(v_outcome, v_first, p_product_id, v_all_holds, v_all_orders, v_lag_us);
  ELSEIF v_outcome = 'placed' THEN
    -- The common case knows the hold that it wrote, so it reads only the product. The columns are those of snapshot.
    SELECT
      v_outcome AS outcome, v_all_holds AS expired_holds, v_all_orders AS cancelled_orders, v_lag_us AS lag_us, UTC_TIMESTAMP(6) AS as_of, NULL AS shopper_units,
      p_id AS hold_id, p_product_id AS hold_product_id, p_qty AS hold_qty, 'active' AS hold_status,
      v_now AS hold_created_at, v_now + INTERVAL p_ttl_us MICROSECOND AS hold_expires_at, p_shopper AS hold_shopper,
      NULL AS order_id, NULL AS order_amount, NULL AS order_currency, NULL AS order_status, NULL AS order_reason, NULL AS order_reference,
      NULL AS order_pay_by, NULL AS order_created_at, NULL AS order_updated_at,
      id AS product_id, name AS product_name, price_amount AS product_price, currency AS product_currency,
      stock AS product_stock, reserved_stock AS product_reserved_stock, sold_stock AS product_sold_stock,
      keyed_holds AS product_keyed_holds, version AS product_version, max_qty_per_hold AS product_max_qty,
      max_per_shopper AS product_max_per_shopper, hidden AS product_hidden,
      sale_starts_at AS product_starts_at, sale_ends_at AS product_ends_at
    FROM products WHERE id = p_product_id;
  ELSE
    IF v_outcome IN ('shopper_limit', 'shopper_blocked') THEN
      CALL shopper_units(p_shopper, p_product_id, v_yours, v_all);
      IF v_outcome = 'shopper_limit' AND v_all AND v_yours + p_qty <= p_per_shopper THEN
        SET v_outcome = 'overtaken'; -- units have come back since the sum
      END IF;
    END IF;
    CALL refuse_hold(v_outcome, p_product_id, p_qty, COALESCE(v_now, v_began), v_all_holds, v_all_orders, v_lag_us, v_yours);
  END IF;
END
