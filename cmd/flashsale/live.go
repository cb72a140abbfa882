package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"flashsale/pkg/admin"
	"flashsale/pkg/live"
)

type liveCmd struct {
	Addr string `help:"Address to serve the page on. It must be one of this machine alone." default:"127.0.0.1:8090"`
	URL  string `help:"Server whose requests the page shows (default: http:// and ADDR). With --stack, CloudWatch measures them." placeholder:"URL"`
}

// Help is the text below the help of the flags.
func (liveCmd) Help() string {
	return `The page shows the stock of each product over the last ten minutes, requests and refusals, money owed, the audit and the latest
orders. From it you pause, end and change a sale; each change is logged with your name. It has no sign-in, so only this machine can open it.
flashsale run serves the same page at /live/ while WEBHOOK_SECRETS is not set.

With --stack it needs the permissions of the other operators' commands, and cloudwatch:GetMetricData.`
}

// Run serves the page until Ctrl-C.
func (c liveCmd) Run(env environment) error {
	if err := live.CheckAddress(c.Addr); err != nil {
		return fmt.Errorf("%w: --addr: %w", errUsage, err)
	}
	if env.stack != "" {
		if c.URL != "" {
			return fmt.Errorf("%w: give --url or --stack, not both", errUsage)
		}
		return c.serveStack(env)
	}
	base := strings.TrimSuffix(c.URL, "/")
	if base == "" {
		base = "http://" + env.config.Addr
	}
	server, err := url.Parse(base)
	if err != nil || server.Host == "" || server.Scheme != "http" && server.Scheme != "https" {
		return fmt.Errorf("%w: --url is %q, expected a server's address such as http://127.0.0.1:8080", errUsage, c.URL)
	}
	return withLocal(env, func(ctx context.Context, op admin.Operator) error {
		return c.serve(ctx, env, live.Options{
			Title: server.Host, Operator: op, Traffic: live.OverHTTP(server), StockEvery: localInterval, TrafficEvery: localInterval, Logger: env.log,
		})
	})
}

// The intervals of samples. Each sample of a stack's stock invokes its admin function; CloudWatch knows requests by the minute.
const (
	localInterval = time.Second
	stackInterval = 5 * time.Second
)

func (c liveCmd) serveStack(env environment) error {
	s, err := findStack(env.ctx, env.stack)
	if err != nil {
		return err
	}
	op, err := s.operator(func(context.Context) string { return operatorName(env) })
	if err != nil {
		return err
	}
	traffic, err := s.traffic()
	if err != nil {
		return err
	}
	return c.serve(env.ctx, env, live.Options{
		Title: "stack " + s.name, Operator: op, Traffic: traffic, StockEvery: stackInterval, TrafficEvery: metricPeriod, Logger: env.log,
	})
}

func (c liveCmd) serve(ctx context.Context, env environment, o live.Options) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("listening on --addr: %w", err)
	}
	defer func() { _ = listener.Close() }() // already closed unless the line below failed
	if err := write(env.out, "Live:  http://%s%s\nPress Ctrl-C to stop.\n", listener.Addr(), live.Path); err != nil {
		return err
	}
	return live.New(o).Serve(ctx, listener)
}
