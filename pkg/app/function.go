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

// Function is the checkout inside a Lambda function. Making one does no network call: each function connects on its
// first request, and keeps its connections from one invocation to the next.
type Function struct {
	Config  FunctionConfig
	Account aws.Config // the function's own credentials
	*App

	metrics *lambdaserver.Metrics
}

// NewFunction reads the environment and puts the function together. Logs and metrics go to standard output.
func NewFunction() (*Function, error) {
	c, err := ReadFunctionConfig()
	if err != nil {
		return nil, err
	}
	account := awsauth.FunctionConfig()
	f := &Function{Config: c, Account: account, metrics: lambdaserver.NewMetrics(c.MetricsNamespace, os.Stdout)}
	log := lambdaserver.NewLogger(os.Stdout, c.LogLevel)
	slog.SetDefault(log)
	slog.SetLogLoggerLevel(slog.LevelError) // package log is what aws-lambda-go reports failures with
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

// Sweeper sweeps and audits.
func (f *Function) Sweeper() *lambdaserver.Sweeper {
	return &lambdaserver.Sweeper{Sweep: f.Service.Sweep, Watch: f.Watch, Metrics: f.metrics, Logger: f.log}
}

// Migrate brings the stack's database up to date, as its administrator and at the cluster itself: through RDS Proxy only
// the application's user can sign in.
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

// Logger is the function's.
func (f *Function) Logger() *slog.Logger { return f.log }

// Fail ends a function that cannot start, with one line that says why.
func Fail(err error) {
	fmt.Fprintln(os.Stderr, "flashsale: "+err.Error())
	os.Exit(2)
}
