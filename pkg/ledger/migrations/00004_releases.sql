-- +goose Up

-- The releases that migrated this database, with the names of the routines that each calls, one per line. A migration
-- drops only what none of the latest releases calls.
CREATE TABLE IF NOT EXISTS releases (
  id          BINARY(32) NOT NULL PRIMARY KEY COMMENT 'SHA-256 of routines',
  routines    TEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  migrated_at DATETIME(6) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- +goose Down
DROP TABLE releases;
