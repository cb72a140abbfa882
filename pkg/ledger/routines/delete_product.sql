-- delete_product deletes a product that has no holds, and with them no orders. Ended holds go after RETENTION, those with orders
-- never.
--
-- Locks: the product's marks, then the product. A hold that is being placed waits for the product's lock and does not find it.
-- Outcomes: deleted, in_use, product_not_found.
CREATE PROCEDURE delete_product(
  p_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin
)
MODIFIES SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE v_outcome VARCHAR(30);
  DECLARE v_found, v_holds INT DEFAULT 0;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK;
    RESIGNAL;
  END;

  SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
  START TRANSACTION;
  DELETE FROM audit_marks WHERE product_id = p_id;
  DELETE FROM prune_marks WHERE product_id = p_id;
  SELECT COUNT(*) INTO v_found FROM products WHERE id = p_id FOR UPDATE;
  SELECT COUNT(*) INTO v_holds FROM (SELECT 1 FROM holds FORCE INDEX (holds_due) WHERE product_id = p_id LIMIT 1) AS any_hold;
  SET v_outcome = CASE WHEN v_found = 0 THEN 'product_not_found' WHEN v_holds > 0 THEN 'in_use' ELSE 'deleted' END;
  IF v_outcome = 'deleted' THEN
    DELETE FROM products WHERE id = p_id;
    COMMIT;
  ELSE
    ROLLBACK;
  END IF;
  CALL snapshot(v_outcome, NULL, p_id, 0, 0, NULL);
END
