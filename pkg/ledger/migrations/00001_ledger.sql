-- +goose Up

-- The catalogue and its stock counters: the hot row of a sale. No foreign key points at it, because the check of a new
-- child row would take a shared lock here and then deadlock on the upgrade.
CREATE TABLE IF NOT EXISTS products (
  id               VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  name             VARCHAR(200) NOT NULL,
  price_amount     BIGINT NOT NULL COMMENT 'minor units',
  currency         CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'ISO 4217',
  stock            INT NOT NULL,
  reserved_stock   INT NOT NULL DEFAULT 0 COMMENT 'active holds and unpaid orders',
  sold_stock       INT NOT NULL DEFAULT 0 COMMENT 'paid orders',
  keyed_holds      BIGINT NOT NULL DEFAULT 0 COMMENT 'holds ever placed with an idempotency key',
  version          BIGINT NOT NULL DEFAULT 1 COMMENT 'one up with every change of the row',
  max_qty_per_hold INT NOT NULL,
  sale_starts_at   DATETIME(6) NULL COMMENT 'UTC, as all times here',
  sale_ends_at     DATETIME(6) NULL,
  created_at       DATETIME(6) NOT NULL,
  updated_at       DATETIME(6) NOT NULL,
  CONSTRAINT products_never_oversold CHECK (reserved_stock + sold_stock <= stock),
  CONSTRAINT products_counters_not_negative CHECK (stock >= 0 AND reserved_stock >= 0 AND sold_stock >= 0 AND keyed_holds >= 0),
  CONSTRAINT products_price_not_negative CHECK (price_amount >= 0),
  CONSTRAINT products_max_qty_positive CHECK (max_qty_per_hold > 0),
  CONSTRAINT products_sale_window CHECK (sale_ends_at IS NULL OR sale_starts_at IS NULL OR sale_ends_at > sale_starts_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS holds (
  id              BINARY(16) NOT NULL PRIMARY KEY COMMENT 'UUIDv7',
  product_id      VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  qty             INT NOT NULL,
  unit_price      BIGINT NOT NULL COMMENT 'minor units, the price when the hold was placed',
  currency        CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  status          ENUM('active', 'ordered', 'released', 'expired') NOT NULL,
  idempotency_key BINARY(32) NULL COMMENT 'SHA-256 of the client''s key',
  created_at      DATETIME(6) NOT NULL,
  expires_at      DATETIME(6) NOT NULL,
  ended_at        DATETIME(6) NULL COMMENT 'when it left active',
  CONSTRAINT holds_qty_positive CHECK (qty > 0),
  CONSTRAINT holds_price_not_negative CHECK (unit_price >= 0),
  CONSTRAINT holds_lasts CHECK (expires_at > created_at),
  CONSTRAINT holds_ended CHECK ((status = 'active') = (ended_at IS NULL)),
  UNIQUE KEY holds_idempotency_key (idempotency_key),
  -- Finds the due holds of a product. Only active holds are in the range, however many old rows there are.
  KEY holds_due (product_id, status, expires_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS orders (
  id         BINARY(16) NOT NULL PRIMARY KEY COMMENT 'the hold''s, so that a hold makes at most one order',
  product_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  qty        INT NOT NULL,
  amount     BIGINT NOT NULL COMMENT 'minor units: qty x unit_price of the hold',
  currency   CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  status     ENUM('pending_payment', 'paid', 'cancelled', 'refund_due', 'refunded') NOT NULL,
  reason     ENUM('payment_failed', 'payment_timeout', 'customer', 'late_payment', 'amount_mismatch') NULL,
  stock      ENUM('reserved', 'sold', 'none') NOT NULL COMMENT 'which counter of the product its units are in',
  pay_by     DATETIME(6) NOT NULL,
  created_at DATETIME(6) NOT NULL,
  updated_at DATETIME(6) NOT NULL,
  CONSTRAINT orders_hold FOREIGN KEY (id) REFERENCES holds (id),
  CONSTRAINT orders_qty_positive CHECK (qty > 0),
  CONSTRAINT orders_amount_not_negative CHECK (amount >= 0),
  CONSTRAINT orders_stock_follows_status CHECK (
    (status = 'pending_payment' AND stock = 'reserved')
    OR (status = 'paid' AND stock = 'sold')
    OR (status IN ('cancelled', 'refund_due') AND stock = 'none')
    OR (status = 'refunded' AND stock IN ('sold', 'none'))),
  CONSTRAINT orders_reason_follows_status CHECK (
    (status IN ('pending_payment', 'paid') AND reason IS NULL)
    OR (status = 'cancelled' AND reason IN ('payment_failed', 'payment_timeout', 'customer'))
    OR (status = 'refund_due' AND reason IN ('late_payment', 'amount_mismatch'))
    OR (status = 'refunded' AND (reason IS NULL OR reason IN ('late_payment', 'amount_mismatch')))),
  KEY orders_due (product_id, status, pay_by)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- One row per event, however often it is delivered. An event is unmatched until its effect (or that it has none) is
-- written, in the same transaction.
CREATE TABLE IF NOT EXISTS payment_events (
  provider       VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  event_id       VARBINARY(255) NOT NULL COMMENT 'bytes: no collation makes two ids one',
  type           VARBINARY(255) NOT NULL COMMENT 'the provider''s word',
  kind           ENUM('succeeded', 'failed', 'refunded', 'other') NOT NULL,
  subject_id     BINARY(16) NULL COMMENT 'the order, or the hold it is made from; not a foreign key: it may not exist',
  payment_id     VARBINARY(255) NOT NULL,
  amount         BIGINT NULL,
  currency       CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NULL,
  payload_digest BINARY(32) NOT NULL COMMENT 'SHA-256 of the first delivery''s body',
  result         ENUM('unmatched', 'applied', 'ignored') NOT NULL,
  deliveries     INT NOT NULL DEFAULT 1,
  occurred_at    DATETIME(6) NULL COMMENT 'by the provider''s clock',
  received_at    DATETIME(6) NOT NULL,
  settled_at     DATETIME(6) NULL,
  PRIMARY KEY (provider, event_id),
  CONSTRAINT payment_events_settled CHECK ((result = 'unmatched') = (settled_at IS NULL)),
  KEY payment_events_unmatched (result, received_at),
  KEY payment_events_subject (subject_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- +goose Down
DROP TABLE payment_events;
DROP TABLE orders;
DROP TABLE holds;
DROP TABLE products;
