-- block_shopper blocks a shopper from placing holds, or unblocks it. The shopper's holds and orders stay.
--
-- Locks: the shopper's row.
-- Outcomes: blocked, unblocked (also if it was so before).
CREATE PROCEDURE block_shopper(
  p_shopper  BINARY(16),
  p_blocked  BOOLEAN,
  p_operator VARCHAR(255) CHARACTER SET utf8mb4
)
MODIFIES SQL DATA
SQL SECURITY DEFINER
BEGIN
  IF p_blocked THEN
    INSERT INTO blocked_shoppers (shopper, operator, blocked_at) VALUES (p_shopper, p_operator, UTC_TIMESTAMP(6))
    ON DUPLICATE KEY UPDATE shopper = p_shopper;
  ELSE
    DELETE FROM blocked_shoppers WHERE shopper = p_shopper;
  END IF;
  CALL snapshot(IF(p_blocked, 'blocked', 'unblocked'), NULL, NULL, 0, 0, NULL);
END
