-- put_product creates a product or changes it. NULL keeps the current value. p_set_starts, p_set_ends and p_set_per_shopper say
-- whether the sale's start and end and the limit per shopper are given, and NULL then means no limit.
--
-- Locks: the product.
-- Outcomes: created, changed, incomplete (a new product without name, price or stock), stock_below_taken (less than
-- the units reserved and sold), window_invalid.
CREATE PROCEDURE put_product(
  p_id         VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin,
  p_name       VARCHAR(200) CHARACTER SET utf8mb4,
  p_price      BIGINT,
  p_currency   CHAR(3) CHARACTER SET ascii COLLATE ascii_bin,
  p_stock      INT,
  p_max_qty    INT,
  p_set_starts BOOLEAN,
  p_starts_at  DATETIME(6),
  p_set_ends   BOOLEAN,
  p_ends_at    DATETIME(6),
  p_set_per_shopper BOOLEAN,
  p_per_shopper     INT,
  p_hidden          BOOLEAN
)
MODIFIES SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE v_outcome VARCHAR(30);
  DECLARE v_now, v_starts_at, v_ends_at DATETIME(6);
  DECLARE v_taken, v_per_shopper, v_holds INT;
  DECLARE v_known BOOLEAN DEFAULT FALSE;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK;
    RESIGNAL;
  END;

  SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
  START TRANSACTION;
  SELECT reserved_stock + sold_stock, sale_starts_at, sale_ends_at, max_per_shopper, shoppers_known
    INTO v_taken, v_starts_at, v_ends_at, v_per_shopper, v_known
    FROM products WHERE id = p_id FOR UPDATE;
  SET v_now = UTC_TIMESTAMP(6);
  SET v_starts_at = IF(p_set_starts, p_starts_at, v_starts_at), v_ends_at = IF(p_set_ends, p_ends_at, v_ends_at);
  SET v_outcome = CASE
    WHEN v_ends_at <= v_starts_at THEN 'window_invalid'
    WHEN v_taken IS NULL AND (p_name IS NULL OR p_price IS NULL OR p_currency IS NULL OR p_stock IS NULL) THEN 'incomplete'
    WHEN v_taken IS NULL THEN 'created'
    WHEN p_stock < v_taken THEN 'stock_below_taken'
    ELSE 'changed'
  END;
  SET v_per_shopper = IF(p_set_per_shopper, p_per_shopper, v_per_shopper);
  -- Holds that were placed while there was no limit have no rows in shopper_products.
  SELECT COUNT(*) INTO v_holds FROM (SELECT 1 FROM holds FORCE INDEX (holds_due) WHERE product_id = p_id LIMIT 1) AS any_hold;
  SET v_known = v_per_shopper IS NOT NULL AND (v_known OR v_holds = 0);
  IF v_outcome = 'created' THEN
    INSERT INTO products (id, name, price_amount, currency, stock, max_qty_per_hold, sale_starts_at, sale_ends_at, max_per_shopper, shoppers_known, hidden, created_at, updated_at)
    VALUES (p_id, p_name, p_price, p_currency, p_stock, COALESCE(p_max_qty, 10), v_starts_at, v_ends_at, v_per_shopper, v_known, COALESCE(p_hidden, FALSE), v_now, v_now);
  ELSEIF v_outcome = 'changed' THEN
    UPDATE products
    SET name = COALESCE(p_name, name), price_amount = COALESCE(p_price, price_amount), currency = COALESCE(p_currency, currency),
        stock = COALESCE(p_stock, stock), max_qty_per_hold = COALESCE(p_max_qty, max_qty_per_hold),
        sale_starts_at = v_starts_at, sale_ends_at = v_ends_at,
        max_per_shopper = v_per_shopper, shoppers_known = v_known, hidden = COALESCE(p_hidden, hidden), version = version + 1, updated_at = v_now
    WHERE id = p_id;
  END IF;
  COMMIT;
  CALL snapshot(v_outcome, NULL, p_id, 0, 0, NULL);
END
