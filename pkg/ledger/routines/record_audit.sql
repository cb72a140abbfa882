-- record_audit records an audit: a full one, which began at p_as_of and found p_broken broken invariants, or one of the
-- changes up to p_as_of. An older audit that ends later changes nothing.
--
-- Locks: the audit's state.
-- Outcomes: recorded.
CREATE PROCEDURE record_audit(p_full BOOLEAN, p_as_of DATETIME(6), p_broken INT)
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
  IF p_full THEN
    UPDATE audit_state SET full_broken = IF(p_as_of >= full_at, p_broken, full_broken), full_at = GREATEST(full_at, p_as_of) WHERE id = 1;
  ELSE
    UPDATE audit_state SET changes_upto = GREATEST(changes_upto, p_as_of) WHERE id = 1;
  END IF;
  COMMIT;
  CALL snapshot('recorded', NULL, NULL, 0, 0, NULL);
END
