package awsauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"net"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"
	"github.com/go-sql-driver/mysql"
)

// Database changes cfg so that every new connection signs in as cfg.User with a token, over TLS. The server's plugin wants
// the token in clear text inside TLS. RDS Proxy's certificate is from Amazon Trust Services, which every system trusts.
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.IAMDBAuth.Connecting.html
func Database(account aws.Config, cfg *mysql.Config) error {
	host, _, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		return fmt.Errorf("reading the database's address: %w", err)
	}
	cfg.TLS = &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	cfg.AllowCleartextPasswords = true
	err = cfg.Apply(mysql.BeforeConnect(func(ctx context.Context, c *mysql.Config) error {
		token, err := auth.BuildAuthToken(ctx, c.Addr, account.Region, c.User, account.Credentials)
		if err != nil {
			return fmt.Errorf("signing in to the database: %w", err)
		}
		c.Passwd = token
		return nil
	}))
	if err != nil {
		return fmt.Errorf("preparing to sign in to the database: %w", err)
	}
	return nil
}

// clusterRoots are needed because an Aurora cluster, unlike RDS Proxy, has a certificate from an authority of its region,
// which no system trusts by default.
//
//go:embed rds-ca-rsa2048-g1.pem
var clusterRoots []byte

// clusterTLS names the TLS configuration in a DSN.
const clusterTLS = "aurora"

// ClusterDSN returns the DSN of an Aurora cluster for a user with a password, over TLS. The cluster's certificate must be
// from rds-ca-rsa2048-g1, as template.yaml sets it.
func ClusterDSN(host, port, database, user, password string) (string, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(clusterRoots) {
		return "", errors.New("reading the roots of Aurora's certificates")
	}
	// Without a ServerName: the driver sets the DSN's host, so that concurrent calls for other hosts do not interfere.
	if err := mysql.RegisterTLSConfig(clusterTLS, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}); err != nil {
		return "", fmt.Errorf("preparing TLS to the cluster: %w", err)
	}
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.DBName, cfg.User, cfg.Passwd, cfg.TLSConfig = "tcp", net.JoinHostPort(host, port), database, user, password, clusterTLS
	return cfg.FormatDSN(), nil
}
