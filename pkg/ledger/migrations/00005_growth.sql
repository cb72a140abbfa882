-- +goose Up

-- What the sweep and the minute's audit need, so that neither costs more as history grows. The release before knows
-- nothing of it and keeps working. Each step can run again after a migration that was killed.

-- One row: how far the minute's audit has come, and the result of the latest full audit.
CREATE TABLE IF NOT EXISTS audit_state (
  id              TINYINT NOT NULL PRIMARY KEY,
  holds_upto      BINARY(16) NOT NULL COMMENT 'audit_marks has the holds up to this id',
  orders_upto     DATETIME(6) NOT NULL COMMENT 'audit_marks has the orders changed up to then',
  changes_upto    DATETIME(6) NOT NULL COMMENT 'orders and payments changed up to then were audited',
  full_at         DATETIME(6) NOT NULL COMMENT 'when the latest full audit began; at first the migration',
  full_broken     INT NOT NULL DEFAULT 0 COMMENT 'broken invariants that it found',
  events_provider VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '' COMMENT 'prune_events goes on after this event',
  events_id       VARBINARY(255) NOT NULL DEFAULT ''
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT IGNORE INTO audit_state (id, holds_upto, orders_upto, changes_upto, full_at)
VALUES (1, REPEAT(0x00, 16), '1000-01-01', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6));

-- Sums over the rows of a product, so that the minute's audit adds only what came after them.
CREATE TABLE IF NOT EXISTS audit_marks (
  product_id  VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  keyed_holds BIGINT NOT NULL DEFAULT 0 COMMENT 'holds with an idempotency key',
  holds_sum   BIGINT NOT NULL DEFAULT 0 COMMENT 'sum of facts',
  sold_stock  BIGINT NOT NULL DEFAULT 0 COMMENT 'units of the orders in audited_orders'
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- The units with which an order is in its product's mark, for orders that ever were sold.
CREATE TABLE IF NOT EXISTS audited_orders (
  id  BINARY(16) NOT NULL PRIMARY KEY,
  qty INT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- The orders that one step of move_marks takes; empty between two steps.
CREATE TABLE IF NOT EXISTS audit_step (
  id         BINARY(16) NOT NULL PRIMARY KEY,
  product_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  qty        INT NOT NULL,
  was        INT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Where prune_ended goes on: earlier holds of the status are gone, or stay because they have orders.
CREATE TABLE IF NOT EXISTS prune_marks (
  product_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  status     VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  upto       DATETIME(6) NOT NULL COMMENT 'expires_at',
  PRIMARY KEY (product_id, status)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

DROP PROCEDURE IF EXISTS migrate_00005;
-- +goose StatementBegin
CREATE PROCEDURE migrate_00005()
BEGIN
  -- Finds the orders that changed since a time, and lists those of a status.
  IF NOT EXISTS (SELECT 1 FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'orders' AND index_name = 'orders_changed') THEN
    ALTER TABLE orders ADD KEY orders_changed (status, updated_at);
  END IF;
  IF NOT EXISTS (SELECT 1 FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'payments' AND index_name = 'payments_changed') THEN
    ALTER TABLE payments ADD KEY payments_changed (updated_at);
  END IF;
END;
-- +goose StatementEnd
CALL migrate_00005();
DROP PROCEDURE migrate_00005;

-- +goose Down
ALTER TABLE payments DROP KEY payments_changed;
ALTER TABLE orders DROP KEY orders_changed;
DROP TABLE prune_marks;
DROP TABLE audit_step;
DROP TABLE audited_orders;
DROP TABLE audit_marks;
DROP TABLE audit_state;
