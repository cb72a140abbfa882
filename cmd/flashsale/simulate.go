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
	"flashsale/pkg/checkout"
	"flashsale/pkg/payments"
)

type simulateCmd struct {
	URL      string        `help:"A running server with this command's database and webhook secret (default: a server of its own; with --stack: its API)." placeholder:"URL"`
	Shoppers *int          `help:"Number of shoppers (default: 10000 per CPU core, at most 80000)." placeholder:"N"`
	Stock    int64         `help:"Units on sale (default: ${default})." default:"500" placeholder:"N"`
	Spike    time.Duration `help:"Length of the opening rush, in which 80 % of the shoppers arrive (default: ${default})." default:"5s" placeholder:"DURATION"`
	Duration time.Duration `help:"Time until the last shopper arrives (default: ${default})." default:"30s" placeholder:"DURATION"`
	Seed     uint64        `help:"The same seed gives the same shoppers (default: ${default})." default:"1" placeholder:"N"`
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

// developmentSignIn lets the shoppers sign in to that server with development tokens, even if the environment has an issuer.
var developmentSignIn = []string{"JWT_ISSUER=", "JWT_AUDIENCE=", "JWT_JWKS="}

func (c simulateCmd) Run(env environment) error {
	if err := c.check(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if c.Shoppers == nil {
		n := min(shoppersPerCore*runtime.GOMAXPROCS(0), mostDefaultShoppers)
		c.Shoppers = &n
	}
	if err := c.prepare(); err != nil {
		return err
	}
	env.log = slog.New(slog.DiscardHandler) // its product is no operator's change
	return withOperator(env, func(ctx context.Context, op admin.Operator) (err error) {
		base, signer, ttl, stop, err := c.server(ctx, env)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
		signIn, err := c.signIn(env)
		if err != nil {
			return err
		}
		again, listened := secondInterrupt()
		defer listened()
		view := newLiveView(env.out)
		report, err := simulator.Run(ctx, simulator.Options{
			Sale:    simulator.Sale{Seed: c.Seed, Shoppers: *c.Shoppers, Stock: c.Stock, Spike: c.Spike, Duration: c.Duration},
			URL:     base,
			Product: fmt.Sprintf("rush-%d-%s", c.Seed, strings.ToLower(rand.Text()[:12])), HoldTTL: ttl, Operator: saleOperator{op}, Signer: signer, SignIn: signIn,
			Show: view.show, ShowEvery: view.every(), GiveUp: again,
		})
		view.end()
		if err != nil {
			return err
		}
		return c.conclude(env, report)
	})
}

func (c simulateCmd) check() error {
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
	if c.URL == "" {
		return nil
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return errors.New("--url must be the server's address alone, such as http://127.0.0.1:8080")
	}
	return nil
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

// server returns the server of the sale and the signer of its payments. The server is the stack's API, that of --url, or
// one that it starts and that stop stops; only of the last it knows ttl, how long holds last.
func (c simulateCmd) server(ctx context.Context, env environment) (base string, signer *payments.Standard, ttl time.Duration, stop func() error, err error) {
	nothing := func() error { return nil }
	if env.stack != "" {
		s := webhookSendCmd{URL: c.URL}
		signer, err = s.signer(ctx, env)
		return s.URL, signer, 0, nothing, err
	}
	if c.URL != "" {
		signer, err = webhookSigner(env)
		return strings.TrimSuffix(c.URL, "/"), signer, 0, nothing, err
	}
	variables := slices.Clone(developmentSignIn)
	ttl = env.config.HoldTTL
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
		return "", nil, 0, nil, err
	}
	if signer, err = webhookSigner(env); err != nil { // after the start, which creates the secret in a new directory
		return "", nil, 0, nil, errors.Join(err, server.Stop())
	}
	return server.URL, signer, ttl, server.Stop, nil
}

// signIn returns how shoppers sign in: with tokens of this directory's development issuer. Without one, and in a stack, they are
// anonymous.
func (c simulateCmd) signIn(env environment) (func(name string) string, error) {
	if _, err := os.Stat(signInKeyFile); env.stack != "" || errors.Is(err, fs.ErrNotExist) {
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

// saleOperator implements simulator.Operator.
type saleOperator struct{ admin.Operator }

// PutOnSale implements simulator.Operator.
func (o saleOperator) PutOnSale(ctx context.Context, offer simulator.Offer) error {
	_, created, err := o.PutProduct(ctx, checkout.ProductChange{
		ID: offer.ID, Name: &offer.Name, Price: &checkout.Money{Amount: offer.Price, Currency: offer.Currency},
		Stock: &offer.Stock, MaxQtyPerHold: &offer.MaxQtyPerHold, MaxPerShopper: &checkout.Limit{Units: offer.MaxPerShopper},
	})
	if err == nil && !created {
		err = fmt.Errorf("the product %s already exists", offer.ID)
	}
	return err
}

// Audit implements simulator.Operator.
func (o saleOperator) Audit(ctx context.Context) ([]simulator.Finding, error) {
	audit, err := o.Operator.Audit(ctx)
	if err != nil {
		return nil, err
	}
	findings := make([]simulator.Finding, len(audit.Broken))
	for i, f := range audit.Broken {
		findings[i] = simulator.Finding(f)
	}
	return findings, nil
}

// Owed implements simulator.Operator.
func (o saleOperator) Owed(ctx context.Context) (map[string]int64, error) {
	list, err := o.Operator.Owed(ctx, admin.MaxListed)
	if err != nil || list.Total > int64(len(list.Entries)) {
		return nil, err
	}
	owed := map[string]int64{}
	for _, p := range list.Entries {
		owed[p.OrderID] += p.Owed.Amount
	}
	return owed, nil
}
