-- +goose Up

-- Lists the events since a time, so that `flashsale webhook listen` costs the same however many events there are.
DROP PROCEDURE IF EXISTS migrate_00008;
-- +goose StatementBegin
CREATE PROCEDURE migrate_00008()
BEGIN
  IF NOT EXISTS (SELECT 1 FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'payment_events' AND index_name = 'payment_events_received') THEN
    ALTER TABLE payment_events ADD KEY payment_events_received (received_at);
  END IF;
END;
-- +goose StatementEnd
CALL migrate_00008();
DROP PROCEDURE migrate_00008;

-- +goose Down
ALTER TABLE payment_events DROP KEY payment_events_received;
