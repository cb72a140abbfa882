package ledger_test

import (
	"context"
	"testing"
	"time"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/ledger"
)

// A migration may take longer than any request. Here it waits for a table.
func TestMigrationMayTakeLong(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	conn, err := env.Admin.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(t.Context(), "LOCK TABLES goose_db_version WRITE"); err != nil {
		t.Fatal(err)
	}
	const locked = 7 * time.Second // longer than readTimeout, which ends a request after 5 s
	unlocked := make(chan error, 1)
	time.AfterFunc(locked, func() {
		_, err := conn.ExecContext(context.Background(), "UNLOCK TABLES")
		unlocked <- err
	})
	start := time.Now()
	if err := ledger.Migrate(t.Context(), env.AdminDSN); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took < locked {
		t.Errorf("it took %v: it did not wait for the table", took)
	}
	if err := <-unlocked; err != nil {
		t.Error(err)
	}
}
