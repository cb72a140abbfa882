package awsauth_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"
	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"

	"flashsale/internal/awstest"
	"flashsale/internal/ledgertest"
	"flashsale/pkg/awsauth"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
)

// The proxy refuses everything but a fresh token of this user for this proxy, and no error shows the token.
func TestProxyRefusesOtherTokens(t *testing.T) {
	t.Parallel()
	p := newProxied(t, nil)
	right := p.config(t)
	token := func(addr, region, user string, keys aws.Credentials) func() (string, error) {
		return func() (string, error) {
			return auth.BuildAuthToken(context.Background(), addr, region, user, aws.CredentialsProviderFunc(
				func(context.Context) (aws.Credentials, error) { return keys, nil }))
		}
	}
	keys := p.account.Current()
	forged, stranger, bare := keys, awstest.NewAccount().Current(), keys
	forged.SecretAccessKey = stranger.SecretAccessKey
	bare.SessionToken = ""
	for _, test := range []struct {
		name  string
		token func() (string, error)
		want  string // in the proxy's reason
	}{
		{"password", func() (string, error) { return "secret", nil }, "not a token"},
		{"empty", func() (string, error) { return "", nil }, "not a token"},
		{"other secret key", token(right.Addr, "eu-west-1", right.User, forged), "signature is wrong"},
		{"other account", token(right.Addr, "eu-west-1", right.User, stranger), "unknown key"},
		{"without the session", token(right.Addr, "eu-west-1", right.User, bare), "expected the parameters"},
		{"other region", token(right.Addr, "us-east-1", right.User, keys), "signed for"},
		{"other user", token(right.Addr, "eu-west-1", "admin", keys), "expected the parameters"},
		{"other host", token("elsewhere:3306", "eu-west-1", right.User, keys), "not a token for " + right.Addr},
		{"a cache's", func() (string, error) {
			_, password, err := awsauth.Cache(p.account.Config(), right.Addr, right.User)(context.Background())
			return password, err
		}, "signed for"},
		{"changed", func() (string, error) {
			text, err := token(right.Addr, "eu-west-1", "other", keys)()
			return strings.Replace(text, "DBUser=other", "DBUser="+right.User, 1), err
		}, "signature is wrong"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := right.Clone()
			if err := cfg.Apply(mysql.BeforeConnect(func(_ context.Context, c *mysql.Config) (err error) {
				c.Passwd, err = test.token()
				return err
			})); err != nil {
				t.Fatal(err)
			}
			p.mustRefuse(t, cfg, test.want)
		})
	}
	t.Run("expired", func(t *testing.T) {
		p.account.Advance(15 * time.Minute)
		p.mustRefuse(t, right, "signed 15m")
	})
}

// mustRefuse signs the ledger in with cfg, and expects a refusal.
func (p proxied) mustRefuse(t *testing.T, cfg *mysql.Config, want string) {
	t.Helper()
	before := len(p.proxy.Refusals())
	l := must(ledger.OpenProxy(cfg, p.Counts))(t)
	defer func() { _ = l.Close() }()
	_, err := l.Hold(context.Background(), checkout.Caller{}, ledgertest.NewID())
	if err == nil {
		t.Fatal("expected the sign-in to be refused")
	}
	mustKeepSecrets(t, p.account, err.Error())
	refusals := p.proxy.Refusals()[before:]
	if len(refusals) == 0 || !strings.Contains(refusals[0], want) {
		t.Errorf("error %v; the proxy's reasons: %q", err, refusals)
	}
}

// No token is sent to a server without a certificate for its name, or without TLS.
func TestTokenIsOnlySentOverTLS(t *testing.T) {
	t.Parallel()
	other := must(awstest.NewAuthority(t.TempDir()))(t)
	for _, test := range []struct {
		name   string
		server func(*awstest.RDSProxyOptions)
		client func(*mysql.Config)
		want   string
	}{
		{"server of another authority", func(o *awstest.RDSProxyOptions) { o.Authority = other }, nil, "unknown authority"},
		{"server of another name", nil, func(c *mysql.Config) { c.TLS.ServerName = "proxy.example" }, "not proxy.example"},
		{"server without TLS", func(o *awstest.RDSProxyOptions) { o.WithoutTLS = true }, nil, "TLS requested but server does not support TLS"},
		{"client without TLS", nil, func(c *mysql.Config) { c.TLS = nil }, "Error 3159"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newProxied(t, test.server)
			cfg := p.config(t)
			if test.client != nil {
				test.client(cfg)
			}
			err := mustOpen(t, cfg).PingContext(context.Background())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
			if err != nil {
				mustKeepSecrets(t, p.account, err.Error())
			}
			if n := p.proxy.Tokens(); n > 0 {
				t.Errorf("%d tokens were sent, expected none", n)
			}
		})
	}
}

// Each connection gets its own token, signed with the current credentials, and no token is made before it is needed.
func TestEveryConnectionGetsItsOwnToken(t *testing.T) {
	t.Parallel()
	p := newProxied(t, nil)
	db := mustOpen(t, p.config(t))
	var want []string
	var conns []*sql.Conn
	begun := time.Now()
	for range 3 {
		conn := must(db.Conn(context.Background()))(t)
		defer func() { _ = conn.Close() }() // so that the next is a new one
		conns = append(conns, conn)
		want = append(want, p.account.Current().AccessKeyID)
		p.account.Rotate()
	}
	if d := cmp.Diff(want, p.proxy.Logins()); d != "" {
		t.Errorf("keys, want (-), got (+):\n%s", d)
	}
	t.Logf("a connection with TLS and a token takes %s", (time.Since(begun) / 3).Round(100*time.Microsecond))
	p.account.Advance(16 * time.Minute) // a connection outlives its token
	for _, conn := range conns {
		if err := conn.PingContext(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

func TestMissingCredentialsAreAnError(t *testing.T) {
	t.Parallel()
	cfg := ledger.ProxyConfig("localhost:1", "flashsale", "flashsale_app")
	none := aws.Config{Region: "eu-west-1", Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, context.DeadlineExceeded
	})}
	if err := awsauth.Database(none, cfg); err != nil {
		t.Fatal(err)
	}
	if err := mustOpen(t, cfg).PingContext(context.Background()); err == nil || !strings.Contains(err.Error(), "signing in to the database") {
		t.Errorf("expected an error of the sign-in, got %v", err)
	}
	if awsauth.Database(none, &mysql.Config{Addr: "no port"}) == nil {
		t.Error("an address without a port is accepted, expected an error")
	}
}
