package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"

	"flashsale/pkg/api"
	"flashsale/pkg/awsauth"
	"flashsale/pkg/lambdaserver"
	"flashsale/pkg/ledger"
)

// Function is an App inside a Lambda function. It connects on its first request, and keeps its connections from one
// invocation to the next.
type Function struct {
	Config  FunctionConfig
	Account aws.Config // the function's own credentials
	*App

	metrics *lambdaserver.Metrics
}

// NewFunction reads the environment and assembles the function. Logs and metrics go to standard output.
func NewFunction() (*Function, error) {
	c, err := ReadFunctionConfig()
	if err != nil {
		return nil, err
	}
	account := awsauth.FunctionConfig()
	f := &Function{Config: c, Account: account, metrics: lambdaserver.NewMetrics(c.MetricsNamespace, os.Stdout)}
	log := lambdaserver.NewLogger(os.Stdout, c.LogLevel)
	slog.SetDefault(log)
	slog.SetLogLoggerLevel(slog.LevelError) // aws-lambda-go reports failures through package log
	deps := Deps{CacheAddr: c.CacheAddr, Recorder: f.metrics, Logger: log}
	if deps.Ledger, err = f.openLedger(); err != nil {
		return nil, err
	}
	if c.MySQLDSN == "" && c.CacheName != "" {
		deps.CacheSignIn = awsauth.Cache(account, c.CacheName, c.CacheUser)
	}
	if len(c.WebhookSecrets) == 0 && c.WebhookSecretARN != "" {
		deps.WebhookSecrets = awsauth.WebhookSecrets(account, c.WebhookSecretARN)
	}
	if len(c.StripeWebhookSecrets) == 0 && c.StripeWebhookSecretARN != "" {
		deps.StripeWebhookSecrets = awsauth.WebhookSecrets(account, c.StripeWebhookSecretARN)
	}
	f.App = New(c.Config, deps)
	return f, nil
}

func (f *Function) openLedger() (*ledger.Ledger, error) {
	if f.Config.MySQLDSN != "" {
		accounts, err := ledger.AccountsOf(f.Config.MySQLDSN)
		if err != nil {
			return nil, err
		}
		return ledger.Open(accounts.AppDSN, f.metrics)
	}
	cfg := ledger.ProxyConfig(net.JoinHostPort(f.Config.DBHost, strconv.Itoa(int(f.Config.DBPort))), f.Config.DBName, f.Config.DBUser)
	if err := awsauth.Database(f.Account, cfg); err != nil {
		return nil, err
	}
	return ledger.OpenProxy(cfg, f.metrics)
}

// HTTP serves one resource of the API.
func (f *Function) HTTP(resource api.Resource) *lambdaserver.HTTP {
	return &lambdaserver.HTTP{Handler: f.Handler(nil, resource), Problem: api.WriteProblem, Metrics: f.metrics, Logger: f.log}
}

// SweepJob sweeps and audits.
func (f *Function) SweepJob() *lambdaserver.ScheduledJob {
	return &lambdaserver.ScheduledJob{Run: f.Sweeper().Run, Metrics: f.metrics}
}

// Migrate updates the stack's database. It connects to the cluster itself, as the administrator, because only the
// application's user can sign in through RDS Proxy.
func (f *Function) Migrate(ctx context.Context) error {
	if f.Config.MySQLDSN != "" {
		return ledger.Migrate(ctx, f.Config.MySQLDSN)
	}
	if f.Config.DBAdminHost == "" || f.Config.DBAdminSecretARN == "" {
		return errors.New("DB_ADMIN_HOST and DB_ADMIN_SECRET_ARN are missing")
	}
	user, password, err := awsauth.Login(ctx, f.Account, f.Config.DBAdminSecretARN)
	if err != nil {
		return err
	}
	dsn, err := awsauth.ClusterDSN(f.Config.DBAdminHost, strconv.Itoa(int(f.Config.DBPort)), f.Config.DBName, user, password)
	if err != nil {
		return err
	}
	return ledger.MigrateForIAM(ctx, dsn)
}

// Flush writes the metrics of an invocation.
func (f *Function) Flush() { f.metrics.Flush() }

// Logger returns the function's logger.
func (f *Function) Logger() *slog.Logger { return f.log }

// Fail ends a function that cannot start, with one line that says why.
func Fail(err error) {
	fmt.Fprintln(os.Stderr, "flashsale: "+err.Error())
	os.Exit(2)
}
