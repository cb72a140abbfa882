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

// Config is read from the environment. The README's table is the same list.
type Config struct {
	Addr                 string        `env:"ADDR" envDefault:"127.0.0.1:8080"`
	MySQLDSN             string        `env:"MYSQL_DSN"`  // an administrator's; empty: the private server
	CacheAddr            string        `env:"CACHE_ADDR"` // host:port; empty: the private server
	HoldTTL              time.Duration `env:"HOLD_TTL" envDefault:"2m"`
	PaymentWindow        time.Duration `env:"PAYMENT_WINDOW" envDefault:"15m"`
	WebhookSecrets       []string      `env:"WEBHOOK_SECRETS"`
	StripeWebhookSecrets []string      `env:"STRIPE_WEBHOOK_SECRETS"`
	LogLevel             slog.Level    `env:"LOG_LEVEL" envDefault:"info"`
}

// The shortest and the longest HOLD_TTL and PAYMENT_WINDOW that make sense.
const (
	minLife = 100 * time.Millisecond
	maxLife = 30 * 24 * time.Hour
)

// ReadConfig reads the environment. A variable that cannot be understood is an error of one line that says which and
// why, without its value where that is a secret.
func ReadConfig() (Config, error) {
	var c Config
	if err := env.Parse(&c); err != nil {
		return Config{}, explain(err)
	}
	c.WebhookSecrets, c.StripeWebhookSecrets = trimmed(c.WebhookSecrets), trimmed(c.StripeWebhookSecrets)
	return c, c.check()
}

func (c Config) check() error {
	for name, life := range map[string]time.Duration{"HOLD_TTL": c.HoldTTL, "PAYMENT_WINDOW": c.PaymentWindow} {
		if life < minLife || life > maxLife {
			return fmt.Errorf("%s is %s, expected between %s and %s", name, life, minLife, maxLife)
		}
	}
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		return fmt.Errorf("ADDR is %q, expected host:port", c.Addr)
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

// explain turns the first parse error into a line that names the variable instead of the Go field.
func explain(err error) error {
	var parse env.ParseError
	if !errors.As(err, &parse) {
		return fmt.Errorf("reading the environment: %w", err)
	}
	name := parse.Name
	if field, ok := reflect.TypeFor[Config]().FieldByName(parse.Name); ok {
		name, _, _ = strings.Cut(field.Tag.Get("env"), ",")
	}
	expected := "a " + parse.Type.String()
	switch parse.Type {
	case reflect.TypeFor[time.Duration]():
		expected = "a duration such as 2m or 90s"
	case reflect.TypeFor[slog.Level]():
		expected = "debug, info, warn or error"
	}
	return fmt.Errorf("%s cannot be understood, expected %s", name, expected)
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
