-- +goose Up

-- Payments become entities with sums. The release before keeps working on this schema: columns are only added, ENUMs only
-- grow, and CHECKs only allow more. Each step can run again after a migration that was killed.

-- One row per attempt to pay at one provider. Its sums come from its events and refunds; owed and kept follow from them.
CREATE TABLE IF NOT EXISTS payments (
  provider     VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  payment_id   VARBINARY(255) NOT NULL,
  order_id     BINARY(16) NULL COMMENT 'the order it pays; NULL until its success arrives',
  settles      BINARY(16) NULL COMMENT 'order_id if it pays for the order''s units, else NULL',
  currency     CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT 'NULL until its success arrives',
  received     BIGINT NOT NULL DEFAULT 0 COMMENT 'minor units',
  returned     BIGINT NOT NULL DEFAULT 0 COMMENT 'refunds that have not failed and lost disputes; may exceed received',
  unsent       BIGINT NOT NULL DEFAULT 0 COMMENT 'refunds that failed and were not repeated',
  refunded_sum BIGINT NOT NULL DEFAULT 0 COMMENT 'the highest sum of refunds that the provider reported',
  exact        BOOLEAN NOT NULL DEFAULT FALSE COMMENT 'it received exactly the order''s amount, in its currency',
  kept         BIGINT AS (GREATEST(received - returned - unsent, 0)) STORED COMMENT 'held, and not asked back',
  owed         BIGINT AS (GREATEST(received - returned, 0) - IF(settles IS NULL, 0, GREATEST(received - returned - unsent, 0))) STORED COMMENT 'has to go back to the shopper',
  created_at   DATETIME(6) NOT NULL,
  updated_at   DATETIME(6) NOT NULL,
  PRIMARY KEY (provider, payment_id),
  UNIQUE KEY payments_settle_once (settles),
  KEY payments_order (order_id),
  KEY payments_owed (owed),
  CONSTRAINT payments_sums_not_negative CHECK (received >= 0 AND returned >= 0 AND unsent >= 0 AND refunded_sum >= 0),
  CONSTRAINT payments_settle_own_order CHECK (settles IS NULL OR (order_id IS NOT NULL AND settles = order_id AND exact)),
  CONSTRAINT payments_received_for_order CHECK (received = 0 OR (order_id IS NOT NULL AND currency IS NOT NULL))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Money that goes back, or may: one refund, one dispute, or one return that an operator recorded.
CREATE TABLE IF NOT EXISTS refunds (
  provider   VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  refund_id  VARBINARY(255) NOT NULL,
  payment_id VARBINARY(255) NOT NULL,
  kind       ENUM('refund', 'dispute', 'record') NOT NULL,
  status     ENUM('sent', 'failed', 'open', 'won', 'lost') NOT NULL COMMENT 'only moves forward: sent to failed, open to won to lost',
  amount     BIGINT NULL COMMENT 'minor units; NULL: all that is left of the payment',
  currency   CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT 'NULL: the payment''s',
  note       VARCHAR(500) NULL COMMENT 'of a recorded return',
  operator   VARCHAR(255) NULL COMMENT 'the operator who recorded it',
  created_at DATETIME(6) NOT NULL,
  updated_at DATETIME(6) NOT NULL,
  PRIMARY KEY (provider, refund_id),
  KEY refunds_payment (provider, payment_id),
  KEY refunds_status (status),
  CONSTRAINT refunds_amount_positive CHECK (amount > 0),
  CONSTRAINT refunds_status_of_kind CHECK ((kind = 'dispute') = (status IN ('open', 'won', 'lost')))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Verified events without effect, kept for an operator: unreadable ones, and those whose id another event used.
CREATE TABLE IF NOT EXISTS rejected_events (
  provider   VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  event_id   VARBINARY(255) NOT NULL,
  reason     ENUM('unreadable', 'reused') NOT NULL,
  digest     BINARY(32) NOT NULL COMMENT 'SHA-256 of the body of the latest delivery',
  type       VARBINARY(255) NOT NULL,
  detail     VARCHAR(1000) NOT NULL,
  order_id   BINARY(16) NULL COMMENT 'of a reused id: the order that the second event names',
  payment_id VARBINARY(255) NULL,
  amount     BIGINT NULL,
  currency   CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NULL,
  deliveries INT NOT NULL DEFAULT 1,
  first_at   DATETIME(6) NOT NULL,
  last_at    DATETIME(6) NOT NULL,
  said       BINARY(32) NOT NULL COMMENT 'what tells two such events of one id apart: SHA-256 of what it says',
  PRIMARY KEY (provider, event_id, reason, said),
  KEY rejected_events_last (reason, last_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

ALTER TABLE payment_events
  MODIFY kind ENUM('succeeded', 'failed', 'refunded', 'other', 'refunded_sum', 'refund_failed', 'disputed', 'dispute_won', 'dispute_lost') NOT NULL,
  MODIFY result ENUM('unmatched', 'applied', 'ignored', 'stored') NOT NULL;

-- retry_at is when the sweep applies the event (again), or NULL. Its default is long ago: an event that the release before
-- stored, before this migration or during a rollback, is applied anew, so that it becomes a payment.
DROP PROCEDURE IF EXISTS migrate_00003;
-- +goose StatementBegin
CREATE PROCEDURE migrate_00003()
BEGIN
  IF NOT EXISTS (SELECT 1 FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'payment_events' AND column_name = 'retry_at') THEN
    ALTER TABLE payment_events
      ADD COLUMN refund_id VARBINARY(255) NOT NULL DEFAULT '' COMMENT 'of the refund or dispute that it is about',
      ADD COLUMN retry_at DATETIME(6) NULL DEFAULT '1970-01-02 00:00:00' COMMENT 'when to apply it again; NULL: never',
      ADD KEY payment_events_waiting (result, retry_at), -- also in place of payment_events_unmatched
      DROP KEY payment_events_unmatched,
      ADD KEY payment_events_payment (provider, payment_id),
      DROP CONSTRAINT payment_events_settled,
      ADD CONSTRAINT payment_events_settled_at CHECK ((result IN ('unmatched', 'stored')) = (settled_at IS NULL));
  END IF;
  -- Evidence for the audit: a checksum of what never changes about a hold, and the sum of these over a product's holds. An
  -- older hold has none.
  IF NOT EXISTS (SELECT 1 FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'holds' AND column_name = 'facts') THEN
    ALTER TABLE holds ADD COLUMN facts INT UNSIGNED NULL COMMENT 'CRC-32 of id, product, qty, price, key and duration';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'products' AND column_name = 'holds_sum') THEN
    ALTER TABLE products ADD COLUMN holds_sum BIGINT NOT NULL DEFAULT 0 COMMENT 'sum of facts of its holds';
  END IF;
  IF EXISTS (SELECT 1 FROM information_schema.table_constraints WHERE table_schema = DATABASE() AND table_name = 'orders' AND constraint_name = 'orders_stock_follows_status') THEN
    ALTER TABLE orders
      DROP CONSTRAINT orders_stock_follows_status,
      ADD CONSTRAINT orders_stock_fits_status CHECK (
        (status = 'pending_payment' AND stock = 'reserved')
        OR (status = 'paid' AND stock = 'sold')
        OR (status = 'cancelled' AND stock = 'none')
        OR (status IN ('refund_due', 'refunded') AND stock IN ('sold', 'none')));
  END IF;
END;
-- +goose StatementEnd
CALL migrate_00003();
DROP PROCEDURE migrate_00003;

-- Events without money need not be applied anew.
UPDATE payment_events SET retry_at = NULL WHERE kind IN ('other', 'failed') AND result <> 'unmatched' AND retry_at < '1971-01-01';

-- +goose Down
ALTER TABLE products DROP COLUMN holds_sum;
ALTER TABLE holds DROP COLUMN facts;
ALTER TABLE orders
  DROP CONSTRAINT orders_stock_fits_status,
  ADD CONSTRAINT orders_stock_follows_status CHECK (
    (status = 'pending_payment' AND stock = 'reserved')
    OR (status = 'paid' AND stock = 'sold')
    OR (status IN ('cancelled', 'refund_due') AND stock = 'none')
    OR (status = 'refunded' AND stock IN ('sold', 'none')));
ALTER TABLE payment_events
  DROP CONSTRAINT payment_events_settled_at,
  DROP KEY payment_events_waiting,
  ADD KEY payment_events_unmatched (result, received_at),
  DROP KEY payment_events_payment,
  DROP COLUMN retry_at,
  DROP COLUMN refund_id,
  MODIFY kind ENUM('succeeded', 'failed', 'refunded', 'other') NOT NULL,
  MODIFY result ENUM('unmatched', 'applied', 'ignored') NOT NULL,
  ADD CONSTRAINT payment_events_settled CHECK ((result = 'unmatched') = (settled_at IS NULL));
DROP TABLE rejected_events;
DROP TABLE refunds;
DROP TABLE payments;
