-- +goose Up

-- The merchant's own number of an order. The previous release knows nothing of it: the orders that it makes have none.
DROP PROCEDURE IF EXISTS migrate_00007;
-- +goose StatementBegin
CREATE PROCEDURE migrate_00007()
BEGIN
  IF NOT EXISTS (SELECT 1 FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'orders' AND column_name = 'reference') THEN
    ALTER TABLE orders ADD COLUMN reference VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL COMMENT 'the merchant''s own; NULL: none';
  END IF;
  -- Finds the orders of a reference.
  IF NOT EXISTS (SELECT 1 FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'orders' AND index_name = 'orders_reference') THEN
    ALTER TABLE orders ADD KEY orders_reference (reference);
  END IF;
END;
-- +goose StatementEnd
CALL migrate_00007();
DROP PROCEDURE migrate_00007;

-- +goose Down
ALTER TABLE orders DROP KEY orders_reference, DROP COLUMN reference;
