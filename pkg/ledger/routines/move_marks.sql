-- move_marks adds to audit_marks the holds and orders of up to p_margin_us ago: at most about p_max of each, the oldest
-- first. A hold counts by its id, which has the time when it was asked for, and an order by its latest change. The margin
-- outlasts every call, so that nothing appears later below the mark.
--
-- An order may be sold, and change again: audited_orders has what was counted for it. audit_step holds the orders of this
-- step, because two reads at READ COMMITTED could see different ones.
--
-- Locks, in order: the audit's state, then its other tables. It reads holds and orders without locks.
-- Outcomes: moved. expired_holds and cancelled_orders count the holds and orders that it added.
CREATE PROCEDURE move_marks(p_margin_us BIGINT, p_max INT)
MODIFIES SQL DATA
SQL SECURITY DEFINER
BEGIN
  DECLARE v_holds_from, v_holds_to, v_limit BINARY(16);
  DECLARE v_until, v_orders_from, v_orders_to DATETIME(6);
  DECLARE v_holds, v_orders INT DEFAULT 0;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK;
    RESIGNAL;
  END;

  SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
  START TRANSACTION;
  SELECT holds_upto, orders_upto INTO v_holds_from, v_orders_from FROM audit_state WHERE id = 1 FOR UPDATE;
  SET v_until = UTC_TIMESTAMP(6) - INTERVAL p_margin_us MICROSECOND;
  SET v_limit = UNHEX(RPAD(LPAD(HEX(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', v_until) DIV 1000), 12, '0'), 32, '0'));

  SELECT MAX(id), COUNT(*) INTO v_holds_to, v_holds
    FROM (SELECT id FROM holds WHERE id > v_holds_from AND id < v_limit ORDER BY id LIMIT p_max) AS step;
  IF v_holds > 0 THEN
    INSERT INTO audit_marks (product_id, keyed_holds, holds_sum)
    SELECT product_id, COUNT(idempotency_key), COALESCE(SUM(facts), 0) FROM holds
    WHERE id > v_holds_from AND id <= v_holds_to GROUP BY product_id
    ON DUPLICATE KEY UPDATE keyed_holds = audit_marks.keyed_holds + VALUES(keyed_holds), holds_sum = audit_marks.holds_sum + VALUES(holds_sum);
    UPDATE audit_state SET holds_upto = v_holds_to WHERE id = 1;
  END IF;

  SELECT MAX(updated_at) INTO v_orders_to FROM (
    SELECT updated_at FROM (
      (SELECT updated_at FROM orders WHERE status = 'pending_payment' AND updated_at > v_orders_from AND updated_at < v_until ORDER BY updated_at LIMIT p_max)
      UNION ALL
      (SELECT updated_at FROM orders WHERE status = 'paid' AND updated_at > v_orders_from AND updated_at < v_until ORDER BY updated_at LIMIT p_max)
      UNION ALL
      (SELECT updated_at FROM orders WHERE status = 'cancelled' AND updated_at > v_orders_from AND updated_at < v_until ORDER BY updated_at LIMIT p_max)
      UNION ALL
      (SELECT updated_at FROM orders WHERE status = 'refund_due' AND updated_at > v_orders_from AND updated_at < v_until ORDER BY updated_at LIMIT p_max)
      UNION ALL
      (SELECT updated_at FROM orders WHERE status = 'refunded' AND updated_at > v_orders_from AND updated_at < v_until ORDER BY updated_at LIMIT p_max)
    ) AS changes ORDER BY updated_at LIMIT p_max) AS step;
  IF v_orders_to IS NOT NULL THEN
    INSERT INTO audit_step (id, product_id, qty, was)
    SELECT o.id, o.product_id, IF(o.stock = 'sold', o.qty, 0), COALESCE(a.qty, 0)
    FROM orders o FORCE INDEX (orders_changed) LEFT JOIN audited_orders a ON a.id = o.id
    WHERE o.status IN ('pending_payment', 'paid', 'cancelled', 'refund_due', 'refunded') AND o.updated_at > v_orders_from AND o.updated_at <= v_orders_to;
    SET v_orders = ROW_COUNT();
    INSERT INTO audit_marks (product_id, sold_stock)
    SELECT product_id, SUM(qty) - SUM(was) FROM audit_step WHERE qty <> was GROUP BY product_id
    ON DUPLICATE KEY UPDATE sold_stock = audit_marks.sold_stock + VALUES(sold_stock);
    INSERT INTO audited_orders (id, qty) SELECT id, qty FROM audit_step WHERE qty <> was
    ON DUPLICATE KEY UPDATE qty = VALUES(qty);
    DELETE FROM audit_step;
    UPDATE audit_state SET orders_upto = v_orders_to WHERE id = 1;
  END IF;
  COMMIT;
  CALL snapshot('moved', NULL, NULL, v_holds, v_orders, NULL);
END
