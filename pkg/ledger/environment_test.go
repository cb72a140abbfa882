package ledger

import (
	"testing"

	"github.com/go-sql-driver/mysql"
)

func TestEnvironmentTellsDatabasesApart(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, dsn := range []string{
		"root@tcp(db.example:3306)/shop", "root@tcp(db.example:3306)/shop_b", "root@tcp(db.example:3307)/shop", "root@tcp(other.example:3306)/shop",
		"root@tcp(127.0.0.1:3306)/shop", "root@unix(/run/mysqld.sock)/shop",
	} {
		cfg, err := mysql.ParseDSN(dsn)
		if err != nil {
			t.Fatal(err)
		}
		text := environment(cfg)
		if other := seen[text]; other != "" {
			t.Errorf("%s and %s have the same environment, expected two", dsn, other)
		}
		seen[text] = dsn
	}
	// The user does not count: each function may have its own.
	for a, b := range map[string]string{
		"root@tcp(db.example:3306)/shop": "app:secret@tcp(db.example:3306)/shop?timeout=1s", "root@tcp(127.0.0.1:3306)/shop": "root@tcp(localhost:3306)/shop",
	} {
		first, errFirst := mysql.ParseDSN(a)
		second, errSecond := mysql.ParseDSN(b)
		if errFirst != nil || errSecond != nil {
			t.Fatal(errFirst, errSecond)
		}
		if environment(first) != environment(second) {
			t.Errorf("%s and %s have different environments, expected the same", a, b)
		}
	}
}
