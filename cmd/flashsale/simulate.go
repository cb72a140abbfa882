package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"flashsale/internal/simulator"
	"flashsale/pkg/admin"
	"flashsale/pkg/payments"
)

type simulateCmd struct {
	URL      string        `help:"A running server with this command's database and webhook secret (default: a server and a database of its own; with --stack: its API)." placeholder:"URL"`
	Shoppers *int          `help:"Number of shoppers (default: 10000 per CPU core, at most 80000)." placeholder:"N"`
	Stock    int64         `help:"Units on sale (default: ${default})." default:"500" placeholder:"N"`
	Spike    time.Duration `help:"Length of the opening rush, in which 80 % of the shoppers arrive (default: ${default})." default:"5s" placeholder:"DURATION"`
	Duration time.Duration `help:"Time until the last shopper arrives (default: ${default})." default:"30s" placeholder:"DURATION"`
	Seed     uint64        `help:"The same seed gives the same shoppers (default: ${default})." default:"1" placeholder:"N"`
	Yes      bool          `help:"Play the sale on a server that is not on this machine."`
	Report   string        `help:"File for the report as a web page; the JSON report has the same name with .json (default: ${default})." default:".local/simulate/report.html" placeholder:"FILE"`
}

// shoppersPerCore and mostDefaultShoppers size a sale so that its rush keeps the machine busy for seconds, not minutes.
const (
	shoppersPerCore     = 10_000
	mostDefaultShoppers = 80_000
)

// showVariables configure the server that is started for a sale, unless the environment sets them: with times so short,
// the sale shows holds and orders expire.
var showVariables = []string{"HOLD_TTL=5s", "PAYMENT_WINDOW=10s", "LOG_LEVEL=warn"}

// developmentOnly lets the shoppers sign in to that server with development tokens, even if the environment is a real shop's.
var developmentOnly = []string{"JWT_ISSUER=", "JWT_AUDIENCE=", "JWT_JWKS=", "WEBHOOK_SECRETS="}

// sale is where a simulated sale happens.
type sale struct {
	url      string
	operator admin.Operator
	signer   *payments.Standard
	holdTTL  time.Duration // 0: not known
}

// Run plays a sale on a server and a database of its own, or on those of --url or --stack.
func (c simulateCmd) Run(env environment) error {
	if err := c.check(env); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if c.Shoppers == nil {
		n := min(shoppersPerCore*runtime.GOMAXPROCS(0), mostDefaultShoppers)
		c.Shoppers = &n
	}
	if err := c.prepare(); err != nil {
		return err
	}
	again, listened := secondInterrupt()
	defer listened()
	env.log = slog.New(slog.DiscardHandler) // its product is no operator's change
	if c.ownServer(env) {
		return c.onOwnServer(env, again)
	}
	return withOperator(env, func(ctx context.Context, op admin.Operator) error {
		s := webhookSendCmd{URL: c.URL}
		signer, err := s.signer(ctx, env)
		if err != nil {
			return err
		}
		return c.play(ctx, env, sale{url: strings.TrimSuffix(s.URL, "/"), operator: op, signer: signer}, again)
	})
}

// onOwnServer plays a sale on a server that it starts, with a database that it drops afterwards. So the sale leaves nothing
// in the shop of this directory.
func (c simulateCmd) onOwnServer(env environment, again <-chan struct{}) (err error) {
	env.config.WebhookSecrets = nil // as for its server: see developmentOnly
	shop, err := openServers(env, databaseAndCache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shop.Close()) }()
	database, err := newSaleDatabase(env.ctx, shop.adminDSN)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, database.Close()) }()
	own, err := givenServers(database.dsn, shop.cacheAddr)
	if err != nil {
		return err
	}
	own.private = true // to be migrated
	return own.operate(env, func(ctx context.Context, op admin.Operator) (err error) {
		variables := append(slices.Clone(developmentOnly), "MYSQL_DSN="+own.adminDSN, "CACHE_ADDR="+own.cacheAddr)
		ttl := env.config.HoldTTL
		for _, v := range showVariables {
			if name, value, _ := strings.Cut(v, "="); os.Getenv(name) == "" {
				variables = append(variables, v)
				if name == "HOLD_TTL" {
					ttl, _ = time.ParseDuration(value) // a constant: cannot fail
				}
			}
		}
		server, err := startChild(ctx, env, variables...)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.Stop()) }()
		signer, err := webhookSigner(env) // after the start, which creates the secret in a new directory
		if err != nil {
			return err
		}
		return c.play(ctx, env, sale{server.URL, op, signer, ttl}, again)
	})
}

// play plays the sale, and ends the sale of its product afterwards.
func (c simulateCmd) play(ctx context.Context, env environment, s sale, again <-chan struct{}) (err error) {
	signIn, err := c.signIn(env)
	if err != nil {
		return err
	}
	product := fmt.Sprintf("rush-%d-%s", c.Seed, strings.ToLower(rand.Text()[:12]))
	operator := &saleOperator{Operator: s.operator}
	defer func() { err = errors.Join(err, operator.withdraw(ctx)) }()
	view := newLiveView(env.out)
	report, err := simulator.Run(ctx, simulator.Options{
		Sale: simulator.Sale{Seed: c.Seed, Shoppers: *c.Shoppers, Stock: c.Stock, Spike: c.Spike, Duration: c.Duration},
		URL:  s.url, Product: product, HoldTTL: s.holdTTL, Operator: operator, Signer: s.signer, SignIn: signIn,
		Show: view.show, ShowEvery: view.every(), GiveUp: again,
	})
	view.end()
	if err != nil {
		return err
	}
	return c.conclude(env, report)
}

func (c simulateCmd) check(env environment) error {
	switch {
	case c.Shoppers != nil && (*c.Shoppers < 1 || *c.Shoppers > simulator.MaxShoppers):
		return fmt.Errorf("--shoppers is %d, expected 1 to %d", *c.Shoppers, simulator.MaxShoppers)
	case c.Stock < 1 || c.Stock > simulator.MaxStock:
		return fmt.Errorf("--stock is %d, expected 1 to %d", c.Stock, simulator.MaxStock)
	case c.Spike < 100*time.Millisecond || c.Spike > simulator.MaxDuration:
		return fmt.Errorf("--spike is %s, expected 100ms to %s", c.Spike, simulator.MaxDuration)
	case c.Duration < c.Spike || c.Duration > simulator.MaxDuration:
		return fmt.Errorf("--duration is %s, expected at least --spike (%s) and at most %s", c.Duration, c.Spike, simulator.MaxDuration)
	case filepath.Ext(c.Report) == ".json":
		return fmt.Errorf("--report is %s, expected the name of the web page: the JSON report has the same name with .json", c.Report)
	}
	if u, err := url.Parse(c.URL); err == nil && strings.Trim(u.Path, "/") != "" {
		return fmt.Errorf("--url is %q, expected the server's address alone, such as http://127.0.0.1:8080", c.URL)
	}
	return checkTarget(env, c.URL, c.Yes, "sends thousands of requests to")
}

// ownServer reports whether the command starts a server for the sale.
func (c simulateCmd) ownServer(env environment) bool { return env.stack == "" && c.URL == "" }

// secondInterrupt returns a channel that the second Ctrl-C closes; the first one only stops arrivals. Until done is called,
// no Ctrl-C kills the process, so that a server of its own is always stopped in order.
func secondInterrupt() (again <-chan struct{}, done func()) {
	signals, second, ended := make(chan os.Signal, 2), make(chan struct{}), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		for range 2 {
			select {
			case <-signals:
			case <-ended:
				return
			}
		}
		close(second)
	}()
	return second, func() { signal.Stop(signals); close(ended) }
}

// signIn returns how shoppers sign in: with tokens of this directory's development issuer. Without one, with WEBHOOK_SECRETS and in a
// stack, they are anonymous.
func (c simulateCmd) signIn(env environment) (func(name string) string, error) {
	if _, err := os.Stat(signInKeyFile); env.stack != "" || len(env.config.WebhookSecrets) > 0 || errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nil: anonymous
	}
	issuer, err := developmentIssuer()
	if err != nil {
		return nil, err
	}
	return func(name string) string {
		token, _ := issuer.Token(name, 2*simulator.MaxDuration) // a refused empty token would break the sale's checks
		return token
	}, nil
}
