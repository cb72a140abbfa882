package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"flashsale/pkg/api"
	"flashsale/pkg/awsauth"
	"flashsale/pkg/lambdaserver"
	"flashsale/pkg/ledger"
)

// Function is an App inside a Lambda function. It connects on its first request, and keeps its connections from one
// invocation to the next. Its process may serve several requests at once: see package lambdaserver.
type Function struct {
	Config  FunctionConfig
	Account aws.Config // the function's own credentials
	*App

	metrics *lambdaserver.Metrics
}

// NewFunction reads the environment and assembles the function of a role. Logs and metrics go to standard output.
func NewFunction(role ledger.Role) (*Function, error) {
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
	if deps.Ledger, err = f.openLedger(role); err != nil {
		return nil, err
	}
	deps.Ledger.Role = role
	if c.MySQLDSN == "" && c.CacheName != "" {
		deps.CacheSignIn = awsauth.Cache(account, c.CacheName, c.CacheUser)
	}
	if len(c.WebhookSecrets) == 0 && c.WebhookSecretARN != "" {
		deps.WebhookSecrets = awsauth.WebhookSecrets(account, c.WebhookSecretARN)
	}
	if len(c.StripeWebhookSecrets) == 0 && c.StripeWebhookSecretARN != "" {
		deps.StripeWebhookSecrets = awsauth.WebhookSecrets(account, c.StripeWebhookSecretARN)
	}
	if c.JWTIssuer != "" {
		deps.SignIn = lambdaserver.SignIn(c.JWTIssuer, c.JWTAudience)
	}
	f.App = New(c.Config, deps)
	return f, nil
}

func (f *Function) openLedger(role ledger.Role) (*ledger.Ledger, error) {
	if f.Config.MySQLDSN != "" {
		accounts, err := ledger.AccountsOf(f.Config.MySQLDSN)
		if err != nil {
			return nil, err
		}
		return ledger.Open(accounts.DSN(role), f.metrics)
	}
	user := cmp.Or(f.Config.DBUser, role.User(f.Config.DBName))
	cfg := ledger.ProxyConfig(net.JoinHostPort(f.Config.DBHost, strconv.Itoa(int(f.Config.DBPort))), f.Config.DBName, user)
	if err := awsauth.Database(f.Account, cfg); err != nil {
		return nil, err
	}
	return ledger.OpenProxy(cfg, f.metrics)
}

// HTTP serves one resource of the API.
func (f *Function) HTTP(resource api.Resource) *lambdaserver.HTTP {
	return &lambdaserver.HTTP{Handler: f.checkFirst(f.Handler(nil, resource)), Problem: api.WriteProblem, Metrics: f.metrics, Logger: f.log}
}

// checkFirst checks the database before the first request, and logs what is wrong. That request is served in any case.
func (f *Function) checkFirst(next http.Handler) http.Handler {
	var once sync.Once
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() {
			ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
			defer cancel()
			if err := f.Ledger.Check(ctx); err != nil {
				f.log.ErrorContext(ctx, "the database is not ready", "error", err)
			}
		})
		next.ServeHTTP(w, r)
	})
}

// checkTimeout limits checkFirst.
const checkTimeout = time.Second

// SweepJob sweeps and audits.
func (f *Function) SweepJob() *lambdaserver.ScheduledJob {
	return &lambdaserver.ScheduledJob{Run: f.Sweeper().Run, Metrics: f.metrics}
}

// Migrate updates the stack's database. It connects to the cluster itself, as the administrator, because RDS
// Proxy lets only the functions' users in.
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

// Flush writes what was measured since the last Flush.
func (f *Function) Flush() { f.metrics.Flush() }

// Logger returns the function's logger.
func (f *Function) Logger() *slog.Logger { return f.log }

// Fail ends a function that cannot start, with one line that says why.
func Fail(err error) {
	fmt.Fprintln(os.Stderr, "flashsale: "+err.Error())
	os.Exit(2)
}
