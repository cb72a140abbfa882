-- settle_order makes an order follow its payments: checkout.Settle says which payment settles it and where its units go,
-- checkout.StandingOf what its status is. It makes the order of a hold that was paid before POST /orders. Routines
-- call it inside their transaction, after they locked the hold and changed a payment.
--
-- p_take: take units for an order that has none, unless its shopper would then have more than the limit. p_short says that
-- there were not enough.
--
-- Locks, in order: the hold and its order, its payments, the shopper's row (to take units), the product. The product comes last and the COMMIT soon after it.
CREATE PROCEDURE settle_order(p_id BINARY(16), p_take BOOLEAN, p_window_us BIGINT, OUT p_short BOOLEAN)
MODIFIES SQL DATA
SQL SECURITY DEFINER
main: BEGIN
  DECLARE v_hold, v_order, v_from, v_units, v_status, v_reason VARCHAR(20);
  DECLARE v_now, v_expires_at DATETIME(6);
  DECLARE v_product_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin;
  DECLARE v_currency CHAR(3) CHARACTER SET ascii COLLATE ascii_bin;
  DECLARE v_qty, v_n INT;
  DECLARE v_amount BIGINT;
  DECLARE v_received, v_held DECIMAL(30); -- a sum of payments may have more than 63 bits
  DECLARE v_exact, v_settled BOOLEAN DEFAULT FALSE;
  DECLARE v_provider VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin;
  DECLARE v_payment_id VARBINARY(255);
  DECLARE v_kept BIGINT DEFAULT 0;
  DECLARE v_shopper BINARY(16);
  DECLARE v_per_shopper INT;
  DECLARE v_yours BIGINT;
  DECLARE v_all BOOLEAN;

  SET p_short = FALSE;
  SELECT h.status, h.product_id, h.qty, h.qty * h.unit_price, h.currency, h.expires_at, o.status, o.reason,
         COALESCE(o.stock, IF(h.status = 'active', 'reserved', 'none')), h.shopper
    INTO v_hold, v_product_id, v_qty, v_amount, v_currency, v_expires_at, v_order, v_reason, v_from, v_shopper
    FROM holds h LEFT JOIN orders o ON o.id = h.id WHERE h.id = p_id FOR UPDATE;
  SELECT COUNT(*), COALESCE(SUM(received), 0), COALESCE(SUM(GREATEST(received - returned, 0)), 0), COALESCE(MAX(exact), FALSE),
         COALESCE(MAX(settles IS NOT NULL), FALSE), MAX(provider), MAX(payment_id), MAX(kept)
    INTO v_n, v_received, v_held, v_exact, v_settled, v_provider, v_payment_id, v_kept FROM payments WHERE order_id = p_id;
  IF v_received = 0 AND NOT v_exact THEN
    LEAVE main; -- no money: nothing follows
  END IF;
  -- The payment that keeps most, among equals the one that settles, else the first.
  IF v_n > 1 OR NOT (v_exact AND (v_kept > 0 OR v_amount = 0)) THEN
    SET v_payment_id = NULL, v_kept = 0;
    SELECT provider, payment_id, kept INTO v_provider, v_payment_id, v_kept FROM payments
      WHERE order_id = p_id AND exact AND (kept > 0 OR v_amount = 0)
      ORDER BY kept DESC, settles IS NULL, created_at, provider, payment_id LIMIT 1;
  END IF;
  SET v_now = UTC_TIMESTAMP(6); -- after the locks: the wait for them counts
  SET v_units = IF(v_from = 'sold', 'sold', 'none');
  IF v_payment_id IS NOT NULL AND v_from = 'reserved' THEN
    SET v_units = 'sold';
  ELSEIF v_payment_id IS NOT NULL AND v_from = 'none' AND p_take THEN
    IF v_shopper IS NOT NULL THEN -- the lock of place_hold: the shopper takes no other units of this product meanwhile
      INSERT INTO shopper_products (shopper, product_id) VALUES (v_shopper, v_product_id) ON DUPLICATE KEY UPDATE locked = locked + 1;
    END IF;
    UPDATE products SET sold_stock = sold_stock + v_qty, version = version + 1, updated_at = v_now
    WHERE id = v_product_id AND stock - reserved_stock - sold_stock >= v_qty;
    SET v_units = IF(ROW_COUNT() = 1, 'sold', 'none');
    SET p_short = v_units = 'none';
    IF v_units = 'sold' AND v_shopper IS NOT NULL THEN
      SELECT max_per_shopper INTO v_per_shopper FROM products WHERE id = v_product_id;
      IF v_per_shopper IS NOT NULL THEN
        CALL shopper_units(v_shopper, v_product_id, v_yours, v_all);
      END IF;
      IF v_per_shopper IS NOT NULL AND (v_yours + v_qty > v_per_shopper OR NOT v_all) THEN
        UPDATE products SET sold_stock = sold_stock - v_qty WHERE id = v_product_id;
        SET v_units = 'none', p_short = TRUE; -- units of the shopper may be due
      ELSE
        UPDATE holds SET per_shopper = v_per_shopper WHERE id = p_id;
      END IF;
    END IF;
  END IF;
  IF v_units = 'none' THEN
    SET v_payment_id = NULL, v_kept = 0;
  END IF;

  IF v_units = 'sold' AND (v_payment_id IS NOT NULL OR v_amount = 0) THEN
    SET v_status = 'paid', v_reason = NULL;
  ELSEIF v_held > COALESCE(v_kept, 0) THEN
    SET v_status = 'refund_due', v_reason = IF(v_exact, 'late_payment', 'amount_mismatch');
  ELSEIF v_received > 0 THEN
    SET v_status = 'refunded', v_reason = NULL;
  ELSE
    SET v_status = v_order, v_units = v_from;
  END IF;
  IF v_status IS NULL THEN
    LEAVE main; -- a free hold that ended, without units for it
  END IF;

  IF v_hold = 'active' THEN
    UPDATE holds SET status = IF(v_now < v_expires_at, 'ordered', 'expired'), ended_at = v_now WHERE id = p_id;
  END IF;
  IF v_order IS NULL THEN
    INSERT INTO orders (id, product_id, qty, amount, currency, status, reason, stock, pay_by, created_at, updated_at)
    VALUES (p_id, v_product_id, v_qty, v_amount, v_currency, v_status, v_reason, v_units, v_now + INTERVAL p_window_us MICROSECOND, v_now, v_now);
  ELSE
    UPDATE orders
    SET updated_at = IF(status = v_status AND reason <=> v_reason AND stock = v_units, updated_at, v_now),
        status = v_status, reason = v_reason, stock = v_units
    WHERE id = p_id;
  END IF;
  IF NOT (v_n = 1 AND v_settled AND v_payment_id IS NOT NULL) THEN -- else the only payment settles it already
    UPDATE payments SET settles = NULL
    WHERE order_id = p_id AND settles IS NOT NULL AND NOT (provider <=> v_provider AND payment_id <=> v_payment_id);
    UPDATE payments SET settles = p_id WHERE provider = v_provider AND payment_id = v_payment_id;
  END IF;
  IF v_from = 'reserved' AND v_units <> 'reserved' THEN
    UPDATE products
    SET reserved_stock = reserved_stock - v_qty, sold_stock = sold_stock + IF(v_units = 'sold', v_qty, 0),
        version = version + 1, updated_at = v_now
    WHERE id = v_product_id;
  END IF;
END
