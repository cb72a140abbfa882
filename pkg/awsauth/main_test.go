package awsauth_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"flashsale/internal/awstest"
	"flashsale/internal/ledgertest"
	"flashsale/pkg/ledger"

	"github.com/go-sql-driver/mysql"
)

var authority *awstest.Authority // trusted, like Amazon's authority in Lambda

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "awsauth")
	if err == nil {
		authority, err = awstest.NewAuthority(dir)
	}
	if err == nil {
		err = os.Setenv("SSL_CERT_FILE", authority.File)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// appConfig signs in the application's user with a password to the schema of e.
func appConfig(t *testing.T, e *ledgertest.Env) *mysql.Config {
	t.Helper()
	return must(mysql.ParseDSN(must(ledger.AccountsOf(e.AdminDSN))(t).DSN(ledger.RoleApp)))(t)
}

// mustKeepSecrets fails the test if a text shows a part of a token or of credentials.
func mustKeepSecrets(t *testing.T, account *awstest.Account, text string) {
	t.Helper()
	for _, word := range account.Secrets() {
		if strings.Contains(text, word) {
			t.Errorf("%q shows %q", text, word)
		}
	}
}

// cacheAccess reads the access string of the template's cache user.
func cacheAccess(t *testing.T) string {
	t.Helper()
	found := regexp.MustCompile(`AccessString: >-\s+(.+)\n`).FindSubmatch(must(os.ReadFile("../../template.yaml"))(t))
	if found == nil {
		t.Fatal("template.yaml has no access string")
	}
	return string(found[1])
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
