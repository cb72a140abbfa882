package awsauth_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/go-sql-driver/mysql"
	"pgregory.net/rapid"

	"flashsale/internal/awstest"
	"flashsale/pkg/awsauth"
	"flashsale/pkg/ledger"
)

// The embedded authorities are Amazon's for RDS, one per region, each valid for many years.
func TestClusterRoots(t *testing.T) {
	t.Parallel()
	rest := must(os.ReadFile("rds-ca-rsa2048-g1.pem"))(t)
	name := regexp.MustCompile(`^Amazon RDS ([a-z]+(?:-[a-z]+)+-\d) Root CA RSA2048 G1$`)
	regions := map[string]bool{}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c := must(x509.ParseCertificate(block.Bytes))(t)
		found := name.FindStringSubmatch(c.Subject.CommonName)
		if found == nil {
			t.Errorf("the certificate of %s is not one for a region", c.Subject)
			continue
		}
		if regions[found[1]] {
			t.Errorf("%s has two certificates, expected one", found[1])
		}
		regions[found[1]] = true
		if c.Subject.String() != c.Issuer.String() {
			t.Errorf("the certificate of %s is issued by %s, expected itself", found[1], c.Issuer)
		}
		if err := c.CheckSignatureFrom(c); err != nil || !c.IsCA { // which asks for a CA, too
			t.Errorf("%s does not sign itself: %v", found[1], err)
		}
		if left := time.Until(c.NotAfter); left < 30*365*24*time.Hour {
			t.Errorf("the certificate of %s expires in %s, expected 30 years or more", found[1], left)
		}
		if time.Now().Before(c.NotBefore) {
			t.Errorf("the certificate of %s begins on %s, expected a date in the past", found[1], c.NotBefore)
		}
	}
	if strings.TrimSpace(string(rest)) != "" {
		t.Errorf("expected certificates only, found %d other bytes", len(rest))
	}
	for _, region := range []string{"us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-1", "ap-northeast-1", "sa-east-1"} {
		if !regions[region] {
			t.Errorf("expected a certificate for %s, found none", region)
		}
	}
	t.Logf("%d regions", len(regions))
}

var printable = &unicode.RangeTable{R16: []unicode.Range16{{Lo: '!', Hi: '~', Stride: 1}, {Lo: 'à', Hi: 'ü', Stride: 1}}}

// Any password that RDS generates survives the DSN, and the DSNs that the ledger derives from it.
func TestClusterDSNKeepsPasswords(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		password := rapid.StringOf(rapid.RuneFrom(nil, printable)).Draw(t, "password")
		dsn, err := awsauth.ClusterDSN("cluster.example", "3306", "flashsale", "admin", password)
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := mysql.ParseDSN(dsn)
		if err != nil {
			t.Fatal("the DSN cannot be read") // the error could show it
		}
		if cfg.Passwd != password || cfg.User != "admin" || cfg.Addr != "cluster.example:3306" || cfg.DBName != "flashsale" {
			t.Errorf("%q became %q; %s@%s/%s, expected the same login", password, cfg.Passwd, cfg.User, cfg.Addr, cfg.DBName)
		}
		if cfg.TLS == nil || cfg.TLS.InsecureSkipVerify || cfg.TLS.ServerName != "cluster.example" || cfg.TLS.RootCAs == nil || cfg.AllowFallbackToPlaintext {
			t.Error("TLS does not verify the cluster")
		}
		accounts, err := ledger.AccountsOf(dsn)
		if err != nil {
			t.Fatal(err)
		}
		if app, err := mysql.ParseDSN(accounts.DSN(ledger.RoleApp)); err != nil || app.TLS == nil || app.TLS.ServerName != "cluster.example" {
			t.Errorf("expected every derived DSN to keep the cluster's TLS: %v", err)
		}
	})
}

// A server gets no password if its certificate is from an authority that the system trusts, but that is not Amazon's for RDS.
func TestClusterDSNTrustsAmazonAlone(t *testing.T) {
	t.Parallel()
	p := newProxied(t, func(o *awstest.RDSProxyOptions) { o.Authority = authority })
	host, port, _ := strings.Cut(p.proxy.Addr, ":")
	dsn := must(awsauth.ClusterDSN(host, port, "flashsale", "admin", "secret"))(t)
	err := mustOpen(t, must(mysql.ParseDSN(dsn))(t)).PingContext(context.Background())
	if unknown := (x509.UnknownAuthorityError{}); !errors.As(err, &unknown) {
		t.Errorf("got %v, expected an unknown authority", err)
	}
	if n := p.proxy.Tokens(); n > 0 {
		t.Errorf("%d passwords were sent, expected none", n)
	}
	if err := ledger.MigrateForIAM(context.Background(), dsn); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("migrating returned %v, expected an error without the password", err)
	}
}
