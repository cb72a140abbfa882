package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/caarlos0/env/v11"

	"flashsale/pkg/ledger"
	"flashsale/pkg/payments"
)

// Config is the environment of every binary. docs/configuration.md lists the same variables. The tag help is one line about a
// variable of `flashsale run`, and unset is what happens there without it.
type Config struct {
	MySQLDSN             string        `env:"MYSQL_DSN" unset:"private server" help:"Database to use instead: an administrator's go-sql-driver DSN."` // see FunctionConfig
	CacheAddr            string        `env:"CACHE_ADDR" unset:"private server" help:"Valkey or Redis to use instead, as host:port."`
	HoldTTL              time.Duration `env:"HOLD_TTL" envDefault:"2m" help:"How long a hold lasts."`
	PaymentWindow        time.Duration `env:"PAYMENT_WINDOW" envDefault:"15m" help:"How long an order waits for its payment."`
	OrderLimit           time.Duration `env:"ORDER_LIMIT" help:"How long units may stay reserved without a sign of payment."` // from the hold on; 0: no limit
	Retention            time.Duration `env:"RETENTION" envDefault:"720h" help:"How long what ended without an order is kept."`
	WebhookSecrets       []string      `env:"WEBHOOK_SECRETS" unset:"a development secret" help:"Secrets of payment events: whsec_…, separated by commas."`
	StripeWebhookSecrets []string      `env:"STRIPE_WEBHOOK_SECRETS" help:"Secrets of Stripe's events: whsec_…, separated by commas."`
	StripeLivemode       string        `env:"STRIPE_LIVEMODE" help:"true or false: take only Stripe's live events, or only its test events."` // empty: not checked
	StripeAccount        string        `env:"STRIPE_ACCOUNT" help:"Refuse Stripe's events that name another account."`                        // empty: not checked
	JWTIssuer            string        `env:"JWT_ISSUER" help:"Issuer of the tokens with which shoppers sign in."`                            // empty: no sign-in needed
	JWTAudience          string        `env:"JWT_AUDIENCE" help:"Audience of the tokens, set with JWT_ISSUER."`
	EdgeSecrets          []string      `env:"EDGE_SECRET" help:"Secrets of requests through the edge, separated by commas."` // empty: there is no edge
	LogLevel             slog.Level    `env:"LOG_LEVEL" envDefault:"info" help:"Minimum log level: debug, info, warn or error."`
}

// LocalConfig is the environment of the flashsale command. It uses private servers in place of those not given.
type LocalConfig struct {
	Config
	Addr          string `env:"ADDR" envDefault:"127.0.0.1:8080" help:"Address to listen on."`
	JWTJWKS       string `env:"JWT_JWKS" unset:"found by discovery" help:"URL or file with the keys of JWT_ISSUER."`
	AllowedOrigin string `env:"ALLOWED_ORIGIN" unset:"this machine's pages" help:"Origin whose pages may call the API, or * for all."`
}

// FunctionConfig is the environment of a Lambda function, set by template.yaml. Only `sam local` and tests set MYSQL_DSN:
// the database and the cache are then servers without IAM and TLS.
type FunctionConfig struct {
	Config
	DBHost    string `env:"DB_HOST"` // RDS Proxy
	DBPort    uint16 `env:"DB_PORT" envDefault:"3306"`
	DBName    string `env:"DB_NAME" envDefault:"flashsale"`
	DBUser    string `env:"DB_USER"` // empty: the user of the function's role, such as flashsale_holds
	CacheName string `env:"CACHE_NAME"`
	CacheUser string `env:"CACHE_USER"`
	// The secrets in Secrets Manager to use where WEBHOOK_SECRETS or STRIPE_WEBHOOK_SECRETS is empty.
	WebhookSecretARN       string `env:"WEBHOOK_SECRET_ARN"`
	StripeWebhookSecretARN string `env:"STRIPE_WEBHOOK_SECRET_ARN"`
	// The cluster and its administrator's login, with which the admin function migrates.
	DBAdminHost      string `env:"DB_ADMIN_HOST"`
	DBAdminSecretARN string `env:"DB_ADMIN_SECRET_ARN"`
	MetricsNamespace string `env:"METRICS_NAMESPACE" envDefault:"flashsale"`
}

// The limits of HOLD_TTL and PAYMENT_WINDOW, of RETENTION, and of EDGE_SECRET.
const (
	minTTL        = 100 * time.Millisecond
	maxTTL        = 30 * 24 * time.Hour
	minRetention  = time.Hour
	minEdgeSecret = 32 // characters, of letters and digits: too many to guess
	maxRetention  = 10 * 365 * 24 * time.Hour
)

// allowedOrigin is the pattern of the template's parameter AllowedOrigin, or nothing.
var allowedOrigin = regexp.MustCompile(`^(\*|https?://[^/]+)?$`)

// ReadLocalConfig reads the environment of the flashsale command. The error for an invalid variable is one line with its
// name and what was expected, but without a secret value.
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
	if !allowedOrigin.MatchString(c.AllowedOrigin) {
		return c, fmt.Errorf("ALLOWED_ORIGIN is %q, expected an origin such as https://shop.example.com, or *", c.AllowedOrigin)
	}
	if c.JWTJWKS != "" && c.JWTIssuer == "" {
		return c, errors.New("JWT_JWKS is set, expected JWT_ISSUER and JWT_AUDIENCE as well")
	}
	if c.JWTIssuer != "" && c.JWTJWKS == "" && !isURL(c.JWTIssuer) {
		return c, fmt.Errorf("JWT_ISSUER is %q, expected an http or https URL, or JWT_JWKS as well", c.JWTIssuer)
	}
	if strings.Contains(c.JWTJWKS, "://") && !isURL(c.JWTJWKS) {
		return c, fmt.Errorf("JWT_JWKS is %q, expected an http or https URL, or a file", c.JWTJWKS)
	}
	return c, nil
}

func isURL(text string) bool {
	return strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://")
}

// ReadFunctionConfig reads the environment of a function. Its errors are as those of ReadLocalConfig.
func ReadFunctionConfig() (FunctionConfig, error) {
	c, err := read[FunctionConfig]()
	if err != nil {
		return c, err
	}
	if err := c.tidy(); err != nil {
		return c, err
	}
	if c.MySQLDSN == "" && c.DBHost == "" {
		return c, errors.New("DB_HOST is missing, expected the database's host without a port")
	}
	if c.CacheAddr == "" {
		return c, errors.New("CACHE_ADDR is missing, expected the cache's host:port")
	}
	if c.MySQLDSN == "" && (c.CacheName == "") != (c.CacheUser == "") {
		return c, errors.New("CACHE_NAME and CACHE_USER must be set together")
	}
	return c, nil
}

// UsesStripe reports whether the shop takes payments by Stripe. The admin function has no Stripe secret, and in a stack the
// secret exists even where it is not used. There STRIPE_LIVEMODE says it.
func (c *Config) UsesStripe() bool { return len(c.StripeWebhookSecrets) > 0 || c.StripeLivemode != "" }

// stripeOnly returns which of Stripe's events are taken.
func (c *Config) stripeOnly() payments.StripeOnly {
	only := payments.StripeOnly{Account: c.StripeAccount}
	if live, err := strconv.ParseBool(c.StripeLivemode); err == nil {
		only.Livemode = &live
	}
	return only
}

// tidy trims the secrets and checks the variables of every binary.
func (c *Config) tidy() error {
	c.WebhookSecrets, c.StripeWebhookSecrets = trimmed(c.WebhookSecrets), trimmed(c.StripeWebhookSecrets)
	for name, ttl := range map[string]time.Duration{"HOLD_TTL": c.HoldTTL, "PAYMENT_WINDOW": c.PaymentWindow} {
		if ttl < minTTL || ttl > maxTTL {
			return fmt.Errorf("%s is %s, expected %s to %s", name, ttl, minTTL, maxTTL)
		}
	}
	if c.OrderLimit != 0 && (c.OrderLimit < c.HoldTTL || c.OrderLimit > maxTTL) {
		return fmt.Errorf("ORDER_LIMIT is %s, expected at least HOLD_TTL (%s) and at most %s, or none", c.OrderLimit, c.HoldTTL, maxTTL)
	}
	if c.Retention < minRetention || c.Retention > maxRetention {
		return fmt.Errorf("RETENTION is %s, expected %s to %s", c.Retention, minRetention, maxRetention)
	}
	if (c.JWTIssuer == "") != (c.JWTAudience == "") {
		return errors.New("JWT_ISSUER and JWT_AUDIENCE must be set together")
	}
	for name, text := range map[string]string{"JWT_ISSUER": c.JWTIssuer, "JWT_AUDIENCE": c.JWTAudience} {
		if strings.ContainsFunc(text, unicode.IsSpace) {
			return fmt.Errorf("%s is %q, expected the exact text of the token's claim, without spaces", name, text)
		}
	}
	c.EdgeSecrets = trimmed(c.EdgeSecrets)
	for i, secret := range c.EdgeSecrets {
		if len(secret) < minEdgeSecret {
			return fmt.Errorf("EDGE_SECRET: secret %d is shorter than %d characters", i+1, minEdgeSecret)
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
	c.StripeAccount = strings.TrimSpace(c.StripeAccount)
	if c.StripeAccount != "" && !strings.HasPrefix(c.StripeAccount, "acct_") {
		return fmt.Errorf("STRIPE_ACCOUNT is %q, expected acct_…", c.StripeAccount)
	}
	if c.StripeLivemode != "" && c.StripeLivemode != "true" && c.StripeLivemode != "false" {
		return fmt.Errorf("STRIPE_LIVEMODE is %q, expected true or false", c.StripeLivemode)
	}
	if len(c.StripeWebhookSecrets) > 0 {
		if _, err := payments.NewStripe(c.StripeWebhookSecrets, c.stripeOnly()); err != nil {
			return fmt.Errorf("STRIPE_WEBHOOK_SECRETS: %w", err)
		}
	}
	return nil
}

// read parses the environment. Its error names the first invalid variable.
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
