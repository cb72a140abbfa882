-- +goose Up

-- A row that grows when its hold ends makes InnoDB put its page in order anew every few rows: 1,500 bytes of redo log a
-- hold (MariaDB 10.11), so that a sweep at full speed fills a log of 96 MiB in two seconds and everybody waits for the
-- checkpoint. With a time there from the start it is 200 bytes.
ALTER TABLE holds DROP CONSTRAINT holds_ended;
UPDATE holds SET ended_at = expires_at WHERE ended_at IS NULL;
ALTER TABLE holds MODIFY ended_at DATETIME(6) NOT NULL DEFAULT (expires_at) COMMENT 'when it left active; says nothing before';

-- +goose Down
ALTER TABLE holds MODIFY ended_at DATETIME(6) NULL COMMENT 'when it left active';
UPDATE holds SET ended_at = NULL WHERE status = 'active';
ALTER TABLE holds ADD CONSTRAINT holds_ended CHECK ((status = 'active') = (ended_at IS NULL));
