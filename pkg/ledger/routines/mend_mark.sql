-- mend_mark changes a product's mark by what it is off. The audit calls it if the product's counters agree with all of its
-- rows, and not with the mark: somebody mended rows by hand, or a hold's id was older than the margin of move_marks.
--
-- Locks: the product's mark.
-- Outcomes: mended.
CREATE PROCEDURE mend_mark(
  p_product_id  VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin,
  p_keyed_holds BIGINT,
  p_holds_sum   BIGINT,
  p_sold_stock  BIGINT
)
MODIFIES SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK;
    RESIGNAL;
  END;

  SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
  START TRANSACTION;
  INSERT INTO audit_marks (product_id, keyed_holds, holds_sum, sold_stock) VALUES (p_product_id, p_keyed_holds, p_holds_sum, p_sold_stock)
  ON DUPLICATE KEY UPDATE keyed_holds = audit_marks.keyed_holds + VALUES(keyed_holds), holds_sum = audit_marks.holds_sum + VALUES(holds_sum),
    sold_stock = audit_marks.sold_stock + VALUES(sold_stock);
  COMMIT;
  CALL snapshot('mended', NULL, NULL, 0, 0, NULL);
END
