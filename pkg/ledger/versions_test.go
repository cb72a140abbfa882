package ledger_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"flashsale/internal/ledgertest"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// A migration drops the routines of old releases only, and never one without a digest in its name.
func TestMigrationKeepsRoutinesOfLatestReleases(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	accounts, err := ledger.AccountsOf(env.AdminDSN)
	if err != nil {
		t.Fatal(err)
	}
	owner := accounts.Users()[0]
	kept := []string{"place_hold", "place_hold_00000001", "place_hold_00000004"}
	dropped := []string{"place_hold_00000005", "place_hold_00000006"}
	for _, name := range append(kept, dropped...) {
		exec(t, env.Admin, "CREATE DEFINER="+owner+" PROCEDURE "+name+"() SELECT 1")
	}
	for age := range 6 { // the release that is migrated is the latest of the five that are kept
		exec(t, env.Admin, "INSERT INTO releases (id, routines, migrated_at) VALUES (UNHEX(SHA2(?, 256)), CONCAT('place_hold_0000000', ?), UTC_TIMESTAMP(6) - INTERVAL ? HOUR)", age, age+1, age+1)
	}
	if err := ledger.Migrate(t.Context(), env.AdminDSN); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(kept, dropped...) {
		_, err := env.Admin.ExecContext(t.Context(), "CALL "+name+"()")
		if exists := err == nil; exists != strings.Contains(strings.Join(kept, " ")+" ", name+" ") {
			t.Errorf("%s exists: %t (%v)", name, exists, err)
		}
	}
	env.MustAudit(t)
}

// An older program does not take back what a newer one made.
func TestMigrationRefusesToGoBack(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	exec(t, env.Admin, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, TRUE)")
	exec(t, env.Admin, "DROP PROCEDURE "+ledger.InstalledName("expire_due"))
	err := ledger.Migrate(t.Context(), env.AdminDSN)
	if !errors.Is(err, ledger.ErrNewerSchema) || strings.Contains(err.Error(), "\n") {
		t.Errorf("Migrate returned %v, expected ErrNewerSchema in one line", err)
	}
	if err := env.Check(t.Context()); !errors.Is(err, ledger.ErrNotMigrated) {
		t.Errorf("Check returned %v, expected ErrNotMigrated: the migration changed something", err)
	}
}

// A routine that is missing is named by the check and by the audit, and a call of it says what to do.
func TestMissingRoutineIsNoticed(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	env.MustPut(t, "p", 5)
	if err := env.Check(t.Context()); err != nil {
		t.Fatalf("Check of a migrated database returned %v", err)
	}
	for _, routine := range []string{"place_hold", "settle_order"} {
		name := ledger.InstalledName(routine)
		exec(t, env.Admin, "DROP PROCEDURE "+name)
		if err := env.Check(t.Context()); !errors.Is(err, ledger.ErrNotMigrated) || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s, Check returned %v", name, err)
		}
		audit, err := env.Audit(t.Context())
		if err != nil || audit.Clean || !strings.Contains(findings(audit), "routine_missing") {
			t.Errorf("without %s, the audit is %+v (%v)", name, audit, err)
		}
	}
	_, err := env.PlaceHold(t.Context(), checkout.HoldRequest{ID: ledgertest.NewID(), ProductID: "p", Qty: 1, TTL: ttl})
	if checkout.CodeOf(err) != checkout.CodeBusy || !errors.Is(err, ledger.ErrNotMigrated) {
		t.Errorf("a call without its routine returned %v, expected busy and ErrNotMigrated", err)
	}
}

func findings(a ledger.Audit) string {
	var names []string
	for _, f := range a.Broken {
		names = append(names, f.Check)
	}
	return strings.Join(names, " ")
}

// Every identity calls every routine and changes every table. It gets only what its role may do.
func TestRolesMayOnlyCallTheirRoutines(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	accounts, err := ledger.AccountsOf(env.AdminDSN)
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range ledger.Roles() {
		db, err := sql.Open("mysql", accounts.DSN(role))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		for _, routine := range ledger.Routines() {
			// A call without arguments: the server checks the right to call before it counts them.
			number := refusal(db, "CALL "+ledger.InstalledName(routine)+"()")
			may := role.MayCall(routine) || role == ledger.RoleApp // whose right covers the routines of the release before, too
			if refused := number == 1370; refused == may || number == 0 {
				t.Errorf("%s calls %s: error %d; may it: %t", role, routine, number, may)
			}
		}
		for _, table := range []string{"products", "holds", "orders", "payments", "refunds", "payment_events", "rejected_events", "releases"} {
			for _, statement := range []string{"DELETE FROM ", "TRUNCATE "} {
				if number := refusal(db, statement+table); number != 1142 {
					t.Errorf("%s: %s%s returned error %d, expected 1142", role, statement, table, number)
				}
			}
		}
		reads := refusal(db, "SELECT 1 FROM payments") == 0
		if want := role != ledger.RoleProducts && role != ledger.RoleHolds && role != ledger.RoleOrders; reads != want {
			t.Errorf("%s reads payments: %t, expected %t", role, reads, want)
		}
	}
}

// refusal is the server's error number for a statement, or 0.
func refusal(db *sql.DB, statement string) uint16 {
	_, err := db.ExecContext(context.Background(), statement)
	var server *mysql.MySQLError
	if errors.As(err, &server) {
		return server.Number
	}
	return 0
}

// Every step of a migration can be the last before it is killed: the next one finishes the work. Here the tables stop at
// each statement that an earlier form of migration 00002 made.
func TestMigrationMendsHalfDoneSchema(t *testing.T) {
	t.Parallel()
	steps := []string{
		"ALTER TABLE holds DROP CONSTRAINT holds_ended",
		"UPDATE holds SET ended_at = expires_at WHERE ended_at IS NULL",
		"ALTER TABLE holds MODIFY ended_at DATETIME(6) NOT NULL DEFAULT (expires_at)",
	}
	for done := range len(steps) + 1 {
		env := newRelease(t, 1)
		exec(t, env.Admin, "INSERT INTO products (id, name, price_amount, currency, stock, reserved_stock, max_qty_per_hold, created_at, updated_at) VALUES ('p', 'P', 1000, 'USD', 5, 0, 5, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))")
		for _, step := range steps[:done] {
			exec(t, env.Admin, step)
		}
		if done < 3 { // the release before goes on
			exec(t, env.Admin, "INSERT INTO holds (id, product_id, qty, unit_price, currency, status, created_at, expires_at) VALUES (UNHEX(REPEAT('7', 32)), 'p', 1, 1000, 'USD', 'active', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) + INTERVAL 1 HOUR)")
			exec(t, env.Admin, "UPDATE products SET reserved_stock = reserved_stock + 1 WHERE id = 'p'")
		}
		migrate(t, env)
		env.MustAudit(t)
	}
}

// A migration takes over no user that it did not make.
func TestMigrationRefusesUsersOfOthers(t *testing.T) {
	t.Parallel()
	env := ledgertest.New(t)
	cfg, err := mysql.ParseDSN(env.AdminDSN)
	if err != nil {
		t.Fatal(err)
	}
	name := cfg.DBName + "_admin"
	exec(t, env.Admin, "GRANT INSERT ON `"+cfg.DBName+"`.* TO "+name+"@'%'")
	if err := ledger.Migrate(t.Context(), env.AdminDSN); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("with a user that has other rights, Migrate returned %v, expected it to name the user", err)
	}
	exec(t, env.Admin, "REVOKE INSERT ON `"+cfg.DBName+"`.* FROM "+name+"@'%'")
	if err := ledger.Migrate(t.Context(), env.AdminDSN); err != nil {
		t.Error(err)
	}
	cfg.User = cfg.DBName + "_owner"
	if err := ledger.Migrate(t.Context(), cfg.FormatDSN()); err == nil {
		t.Error("an administrator with the name of the owner was not refused")
	}
}
