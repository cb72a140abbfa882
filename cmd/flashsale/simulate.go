package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"flashsale/internal/simulator"
	"flashsale/pkg/admin"
	"flashsale/pkg/checkout"
	"flashsale/pkg/payments"
)

type simulateCmd struct {
	URL      string        `help:"A running server on the database and with the webhook secret of this command (one is started for the sale; with --stack: its API)." placeholder:"URL"`
	Shoppers int           `help:"How many come (${default})." default:"20000" placeholder:"N"`
	Stock    int64         `help:"Units on sale (${default})." default:"500" placeholder:"N"`
	Spike    time.Duration `help:"How long the opening rush lasts, in which four of five shoppers come (${default})." default:"5s" placeholder:"DURATION"`
	Duration time.Duration `help:"When the last shopper comes (${default})." default:"30s" placeholder:"DURATION"`
	Seed     uint64        `help:"The same seed gives the same shoppers (${default})." default:"1" placeholder:"N"`
	Report   string        `help:"Where to write the report as a web page; as JSON it goes beside (${default})." default:".local/simulate/report.html" placeholder:"FILE"`
}

// What a server of its own has unless the environment says otherwise: times so short that their end is part of the
// show, and a log of what went wrong only.
var showVariables = []string{"HOLD_TTL=5s", "PAYMENT_WINDOW=10s", "LOG_LEVEL=warn"}

func (c simulateCmd) Run(env environment) error {
	if err := c.check(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if err := c.prepare(); err != nil {
		return err
	}
	return withOperator(env, func(ctx context.Context, op admin.Operator) (err error) {
		base, signer, ttl, stop, err := c.server(ctx, env)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
		again, listened := secondInterrupt()
		defer listened()
		view := newLiveView(env.out)
		report, err := simulator.Run(ctx, simulator.Options{
			Sale:    simulator.Sale{Seed: c.Seed, Shoppers: c.Shoppers, Stock: c.Stock, Spike: c.Spike, Duration: c.Duration},
			URL:     base,
			Product: fmt.Sprintf("rush-%d-%s", c.Seed, strings.ToLower(rand.Text()[:12])), HoldTTL: ttl, Operator: onSale{op}, Signer: signer,
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
	case c.Shoppers < 1 || c.Shoppers > simulator.MaxShoppers:
		return fmt.Errorf("--shoppers is %d, expected 1 to %d", c.Shoppers, simulator.MaxShoppers)
	case c.Stock < 1 || c.Stock > simulator.MaxStock:
		return fmt.Errorf("--stock is %d, expected 1 to %d", c.Stock, simulator.MaxStock)
	case c.Spike < 100*time.Millisecond || c.Spike > simulator.MaxDuration:
		return fmt.Errorf("--spike is %s, expected 100ms to %s", c.Spike, simulator.MaxDuration)
	case c.Duration < c.Spike || c.Duration > simulator.MaxDuration:
		return fmt.Errorf("--duration is %s, expected at least --spike (%s) and at most %s", c.Duration, c.Spike, simulator.MaxDuration)
	case c.Report == "":
		return errors.New("--report is empty, expected a file's name")
	case filepath.Ext(c.Report) == ".json":
		return fmt.Errorf("--report is %s, expected the web page's name: the JSON goes beside it", c.Report)
	}
	if c.URL == "" {
		return nil
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return errors.New("--url has to say where the server is and nothing more, expected such as http://127.0.0.1:8080")
	}
	return nil
}

// ownServer reports whether the sale is on a server that is started for it.
func (c simulateCmd) ownServer(env environment) bool { return env.stack == "" && c.URL == "" }

// secondInterrupt returns what is closed by the second Ctrl-C: the first one only ends the arrivals. Until done is called
// no Ctrl-C ends the process by itself, so that a server of the sale's own is always stopped in order.
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

// server returns where the sale takes place and what signs its payments: the stack's API, the server of --url, or one
// that is started for it and stopped by stop, whose holds last ttl.
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
	var variables []string
	ttl = env.config.HoldTTL
	for _, v := range showVariables {
		if name, value, _ := strings.Cut(v, "="); os.Getenv(name) == "" {
			variables = append(variables, v)
			if name == "HOLD_TTL" {
				ttl, _ = time.ParseDuration(value) // a constant
			}
		}
	}
	server, err := startChild(ctx, env, variables...)
	if err != nil {
		return "", nil, 0, nil, err
	}
	if signer, err = webhookSigner(env); err != nil { // after the start, which makes the secret of a new directory
		return "", nil, 0, nil, errors.Join(err, server.Stop())
	}
	return server.URL, signer, ttl, server.Stop, nil
}

// onSale is what a rush needs of an operator, by what operators can do.
type onSale struct{ admin.Operator }

// PutOnSale implements simulator.Operator.
func (o onSale) PutOnSale(ctx context.Context, offer simulator.Offer) error {
	_, created, err := o.PutProduct(ctx, checkout.ProductChange{
		ID: offer.ID, Name: &offer.Name, Price: &checkout.Money{Amount: offer.Price, Currency: offer.Currency},
		Stock: &offer.Stock, MaxQtyPerHold: &offer.MaxQtyPerHold,
	})
	if err == nil && !created {
		err = fmt.Errorf("the product %s is there already", offer.ID)
	}
	return err
}

// Audit implements simulator.Operator.
func (o onSale) Audit(ctx context.Context) ([]simulator.Finding, error) {
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
