-- +goose Up

-- Shoppers own holds, and products may limit what one shopper takes. The previous release does not know this and keeps working:
-- the holds that it writes are anonymous, like all earlier ones. Each step can run again after a migration that was killed.

-- Shoppers that an operator has blocked.
CREATE TABLE IF NOT EXISTS blocked_shoppers (
  shopper    BINARY(16) NOT NULL PRIMARY KEY,
  operator   VARCHAR(255) NOT NULL COMMENT 'the operator who blocked it',
  blocked_at DATETIME(6) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- One row for each shopper and product with a limit: the lock under which the shopper's units are summed and taken.
CREATE TABLE IF NOT EXISTS shopper_products (
  shopper    BINARY(16) NOT NULL,
  product_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  locked     BIGINT NOT NULL DEFAULT 0 COMMENT 'how often it was there when it was locked',
  PRIMARY KEY (shopper, product_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

DROP PROCEDURE IF EXISTS migrate_00006;
-- +goose StatementBegin
CREATE PROCEDURE migrate_00006()
BEGIN
  IF NOT EXISTS (SELECT 1 FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'products' AND column_name = 'hidden') THEN
    ALTER TABLE products
      ADD COLUMN max_per_shopper INT NULL COMMENT 'units that one shopper may have held, ordered and bought; NULL: no limit',
      ADD COLUMN shoppers_known BOOLEAN NOT NULL DEFAULT FALSE COMMENT 'all shoppers with holds of it are in shopper_products',
      ADD COLUMN hidden BOOLEAN NOT NULL DEFAULT FALSE COMMENT 'not public',
      ADD CONSTRAINT products_max_per_shopper_positive CHECK (max_per_shopper > 0);
  END IF;
  IF NOT EXISTS (SELECT 1 FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'holds' AND column_name = 'shopper') THEN
    ALTER TABLE holds
      ADD COLUMN shopper BINARY(16) NULL COMMENT 'its owner: the first 16 bytes of SHA-256(iss, newline, sub); NULL: anonymous',
      ADD COLUMN per_shopper INT NULL COMMENT 'the limit per shopper when its units were taken; NULL: there was none';
  END IF;
  -- Lists a shopper's holds and orders, the latest first, and sums their units without reading the rows.
  IF NOT EXISTS (SELECT 1 FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'holds' AND index_name = 'holds_shopper') THEN
    ALTER TABLE holds ADD KEY holds_shopper (shopper, id, product_id, qty);
  END IF;
END;
-- +goose StatementEnd
CALL migrate_00006();
DROP PROCEDURE migrate_00006;

-- A payment may be under way before it succeeds.
ALTER TABLE payment_events
  MODIFY kind ENUM('succeeded', 'failed', 'refunded', 'other', 'refunded_sum', 'refund_failed', 'disputed', 'dispute_won', 'dispute_lost', 'processing') NOT NULL;

-- +goose Down
UPDATE payment_events SET kind = 'other' WHERE kind = 'processing';
ALTER TABLE payment_events
  MODIFY kind ENUM('succeeded', 'failed', 'refunded', 'other', 'refunded_sum', 'refund_failed', 'disputed', 'dispute_won', 'dispute_lost') NOT NULL;
ALTER TABLE holds DROP KEY holds_shopper, DROP COLUMN per_shopper, DROP COLUMN shopper;
ALTER TABLE products DROP CONSTRAINT products_max_per_shopper_positive, DROP COLUMN hidden, DROP COLUMN shoppers_known, DROP COLUMN max_per_shopper;
DROP TABLE shopper_products;
DROP TABLE blocked_shoppers;
