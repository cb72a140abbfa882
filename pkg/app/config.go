package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"flashsale/pkg/ledger"
	"flashsale/pkg/payments"
)

// Config is what every binary reads from the environment. The README's table is the same list.
type Config struct {
	MySQLDSN             string        `env:"MYSQL_DSN"`  // an administrator's; empty: see LocalConfig and FunctionConfig
	CacheAddr            string        `env:"CACHE_ADDR"` // host:port; likewise
	HoldTTL              time.Duration `env:"HOLD_TTL" envDefault:"2m"`
	PaymentWindow        time.Duration `env:"PAYMENT_WINDOW" envDefault:"15m"`
	WebhookSecrets       []string      `env:"WEBHOOK_SECRETS"`
	StripeWebhookSecrets []string      `env:"STRIPE_WEBHOOK_SECRETS"`
	LogLevel             slog.Level    `env:"LOG_LEVEL" envDefault:"info"`
}

// LocalConfig is what the flashsale command reads. Servers that it does not name are private ones.
type LocalConfig struct {
	Config
	Addr string `env:"ADDR" envDefault:"127.0.0.1:8080"` // where `flashsale run` listens
}

// FunctionConfig is what a Lambda function reads; template.yaml sets all of it. With MYSQL_DSN, which only `sam local`
// and tests set, the database and the cache are servers without IAM and TLS.
type FunctionConfig struct {
	Config
	DBHost    string `env:"DB_HOST"` // RDS Proxy
	DBPort    uint16 `env:"DB_PORT" envDefault:"3306"`
	DBName    string `env:"DB_NAME" envDefault:"flashsale"`
	DBUser    string `env:"DB_USER" envDefault:"flashsale_app"`
	CacheName string `env:"CACHE_NAME"`
	CacheUser string `env:"CACHE_USER"`
	// Where the webhook secrets are that WEBHOOK_SECRETS and STRIPE_WEBHOOK_SECRETS do not give.
	WebhookSecretARN       string `env:"WEBHOOK_SECRET_ARN"`
	StripeWebhookSecretARN string `env:"STRIPE_WEBHOOK_SECRET_ARN"`
	// What the admin function migrates with: the cluster itself, and its administrator's login.
	DBAdminHost      string `env:"DB_ADMIN_HOST"`
	DBAdminSecretARN string `env:"DB_ADMIN_SECRET_ARN"`
	MetricsNamespace string `env:"METRICS_NAMESPACE" envDefault:"flashsale"`
}

// The shortest and the longest HOLD_TTL and PAYMENT_WINDOW that make sense.
const (
	minLife = 100 * time.Millisecond
	maxLife = 30 * 24 * time.Hour
)

// ReadLocalConfig reads the environment of the flashsale command. A variable that cannot be understood is an error of
// one line that says which and why, without its value where that is a secret.
func ReadLocalConfig() (LocalConfig, error) {
	c, err := read[LocalConfig]()
	if err != nil {
		return c, err
	}
	if err := c.tidy(); err != nil {
		return c, err
	}
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		return c, fmt.Errorf("ADDR is %q, expected host:port", c.Addr)
	}
	return c, nil
}

// ReadFunctionConfig reads the environment of a function. Errors are those of ReadLocalConfig.
func ReadFunctionConfig() (FunctionConfig, error) {
	c, err := read[FunctionConfig]()
	if err != nil {
		return c, err
	}
	if err := c.tidy(); err != nil {
		return c, err
	}
	if c.MySQLDSN == "" && c.DBHost == "" {
		return c, errors.New("DB_HOST is missing: the database's host, without port")
	}
	if c.CacheAddr == "" {
		return c, errors.New("CACHE_ADDR is missing: the cache's host:port")
	}
	if c.MySQLDSN == "" && (c.CacheName == "") != (c.CacheUser == "") {
		return c, errors.New("CACHE_NAME and CACHE_USER go together")
	}
	return c, nil
}

// tidy trims the secrets and checks what all binaries read.
func (c *Config) tidy() error {
	c.WebhookSecrets, c.StripeWebhookSecrets = trimmed(c.WebhookSecrets), trimmed(c.StripeWebhookSecrets)
	for name, life := range map[string]time.Duration{"HOLD_TTL": c.HoldTTL, "PAYMENT_WINDOW": c.PaymentWindow} {
		if life < minLife || life > maxLife {
			return fmt.Errorf("%s is %s, expected between %s and %s", name, life, minLife, maxLife)
		}
	}
	if _, _, err := net.SplitHostPort(c.CacheAddr); c.CacheAddr != "" && err != nil {
		return fmt.Errorf("CACHE_ADDR is %q, expected host:port", c.CacheAddr)
	}
	if c.MySQLDSN != "" {
		if _, err := ledger.AccountsOf(c.MySQLDSN); err != nil {
			return fmt.Errorf("MYSQL_DSN: %w", err)
		}
	}
	if len(c.WebhookSecrets) > 0 {
		if _, err := payments.NewStandard(c.WebhookSecrets); err != nil {
			return fmt.Errorf("WEBHOOK_SECRETS: %w", err)
		}
	}
	if len(c.StripeWebhookSecrets) > 0 {
		if _, err := payments.NewStripe(c.StripeWebhookSecrets); err != nil {
			return fmt.Errorf("STRIPE_WEBHOOK_SECRETS: %w", err)
		}
	}
	return nil
}

// read parses the environment; its error names the variable of the first value that cannot be understood.
func read[T any]() (c T, err error) {
	err = env.Parse(&c)
	if err == nil {
		return c, nil
	}
	var parse env.ParseError
	if !errors.As(err, &parse) {
		return c, fmt.Errorf("reading the environment: %w", err)
	}
	name := parse.Name
	if field, ok := reflect.TypeFor[T]().FieldByName(parse.Name); ok {
		name, _, _ = strings.Cut(field.Tag.Get("env"), ",")
	}
	expected := "a " + parse.Type.String()
	switch parse.Type {
	case reflect.TypeFor[time.Duration]():
		expected = "a duration such as 2m or 90s"
	case reflect.TypeFor[uint16]():
		expected = "a port"
	case reflect.TypeFor[slog.Level]():
		expected = "debug, info, warn or error"
	}
	return c, fmt.Errorf("%s cannot be understood, expected %s", name, expected)
}

func trimmed(list []string) []string {
	var kept []string
	for _, s := range list {
		if s = strings.TrimSpace(s); s != "" {
			kept = append(kept, s)
		}
	}
	return kept
}
