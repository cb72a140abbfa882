package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"flashsale/pkg/admin"
	"flashsale/pkg/api"
	"flashsale/pkg/app"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
	"flashsale/pkg/live"
	"flashsale/pkg/localserver"
	"flashsale/pkg/localserver/shop"
	"flashsale/pkg/payments"
)

type runCmd struct{}

func (runCmd) Run(env environment) (err error) {
	if err := localOnly(env); err != nil {
		return err
	}
	isReal := realShop(env.config)
	storefront, err := openShop(&env)
	if err != nil {
		return err
	}
	signIn, err := shoppersSignIn(env)
	if err != nil {
		return err
	}
	listener, release, err := listen(env.ctx, env.config.Addr)
	if err != nil {
		return err
	}
	defer release()
	defer func() { _ = listener.Close() }() // already closed unless a step below failed

	s, err := openServers(env, databaseAndCache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	ctx, stopKeeping := s.keep(env.ctx)
	defer func() { err = errors.Join(err, stopKeeping()) }()
	log, metrics := env.log, localserver.NewMetrics()
	slog.SetDefault(log)
	progress("updating the database")
	migration := admin.Logged{
		Operator: admin.Local{Migration: func(ctx context.Context) error { return ledger.Migrate(ctx, s.adminDSN) }},
		Logger:   log, Who: func(context.Context) string { return userName() },
	}
	if err := migration.Migrate(ctx); errors.Is(err, ledger.ErrNewerSchema) {
		log.Warn("serving on a newer release's database", "cause", err) // a rollback: its migration kept what this release needs
	} else if err != nil {
		return err
	}
	l, err := ledger.Open(s.appDSN, metrics)
	if err != nil {
		return err
	}
	a := app.New(env.config.Config, app.Deps{Ledger: l, CacheAddr: s.cacheAddr, SignIn: signIn, Recorder: metrics, Requests: metrics, Logger: log})
	defer func() { err = errors.Join(err, a.Close()) }()
	if !isReal {
		if err := addDemo(ctx, a.Ledger); err != nil {
			return err
		}
	}
	options := localserver.Options{AllowedOrigin: env.config.AllowedOrigin, Shop: storefront}
	if !isReal { // it may stand behind a proxy, whose requests all come from this machine
		who := func(context.Context) string { return operatorName(env) }
		options.Live = localserver.NewLive(a, metrics, listener.Addr().String(), env.config.UsesStripe(), who, log)
	}
	if err := write(env.out, "%s", banner(env.config, listener.Addr().String(), s, isReal)); err != nil {
		return err
	}
	err = localserver.Serve(ctx, a, metrics, listener, options, log)
	if env.ctx.Err() != nil {
		progress("stopping")
	}
	return err
}

// realShop reports whether the server has a database and a payment provider of its own. Then it has no demo product and no /live, which
// `flashsale live` serves.
func realShop(c app.LocalConfig) bool { return len(c.WebhookSecrets) > 0 && c.MySQLDSN != "" }

// openShop returns the storefront's options. Without a configured secret it makes the development secret. The sandbox and the sign-in by
// name exist only with that one: with another, anybody could pay, or be as many shoppers as they like.
func openShop(env *environment) (o shop.Options, err error) {
	o.SignInNeeded = env.config.JWTIssuer != ""
	if len(env.config.WebhookSecrets) > 0 {
		return o, nil
	}
	secret, err := developmentSecret()
	if err != nil {
		return o, err
	}
	env.config.WebhookSecrets = []string{secret}
	if o.Sandbox, err = payments.NewStandard(env.config.WebhookSecrets); err != nil {
		return o, fmt.Errorf("%s: %w", secretFile, err)
	}
	if !o.SignInNeeded {
		o.Issuer, err = developmentIssuer()
	}
	return o, err
}

// listen takes the address. If an orphaned server of this directory has it, it stops that server first.
func listen(ctx context.Context, addr string) (net.Listener, func(), error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		if err := stopOrphan(ctx, addr); err != nil {
			return nil, nil, err
		}
		listener, err = config.Listen(ctx, "tcp", addr)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("listening on ADDR: %w", err)
	}
	release, err := recordRun(addr)
	if err != nil {
		return nil, nil, errors.Join(err, listener.Close())
	}
	return listener, release, nil
}

// logger writes text to a terminal, and JSON to anything else.
func logger(level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		return slog.New(slog.NewTextHandler(os.Stderr, options))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, options))
}

// addDemo adds a demo product to an empty catalogue.
func addDemo(ctx context.Context, l *ledger.Ledger) error {
	existing, err := l.Products(ctx, "", 1)
	if err != nil || len(existing) > 0 {
		return err
	}
	name, stock, maxQty := "Demo sneaker", int64(100), int64(5)
	_, _, err = l.PutProduct(ctx, checkout.ProductChange{
		ID: "demo", Name: &name, Price: &checkout.Money{Amount: 4999, Currency: "USD"}, Stock: &stock, MaxQtyPerHold: &maxQty,
	})
	return err
}

// banner shows how to try the checkout, in lines to copy and paste. A real shop has no demo product to try it with.
func banner(c app.LocalConfig, addr string, s *servers, isReal bool) string {
	where := "the servers of MYSQL_DSN and CACHE_ADDR"
	if s.stack != nil {
		where = "private servers below " + localDir + "/ (data is kept)"
	}
	secret := "WEBHOOK_SECRETS"
	if text, err := os.ReadFile(secretFile); err == nil && len(c.WebhookSecrets) > 0 && strings.TrimSpace(string(text)) == c.WebhookSecrets[0] {
		secret = c.WebhookSecrets[0] + " (development, from " + secretFile + ")"
	}
	base := "http://" + addr
	pages := "The shop: " + base + shop.Path + "\n"
	signIn := "Shoppers are anonymous, or sign in with -H \"Authorization: Bearer $(" + os.Args[0] + " token ada)\""
	if c.JWTIssuer != "" {
		signIn = "Holds and orders need a token of " + c.JWTIssuer + " for " + c.JWTAudience + "."
	}
	if len(c.EdgeSecrets) > 0 {
		signIn += " Requests need the edge's header."
		pages = "" // a browser cannot send the header
	}
	steps := "Put a product on sale with `" + os.Args[0] + " product put`.\n"
	if !isReal {
		pages += liveLine(addr)
		steps = purchaseSteps(c, base)
	}
	if pages != "" {
		pages += "\n"
	}
	limit := ""
	if c.OrderLimit > 0 {
		limit = " It must show a sign of payment within " + short(c.OrderLimit) + " of the hold."
	}
	return fmt.Sprintf(`
%sFlash sale checkout on %s, with %s.
A hold lasts %s. An order must be paid within %s.%s Webhook secret: %s
%s

%s
API documentation: %[2]s/docs   Health: %[2]s/healthz   Metrics: %[2]s/metrics
Press Ctrl-C to stop.

`, pages, base, where, short(c.HoldTTL), short(c.PaymentWindow), limit, secret, signIn, steps)
}

// purchaseSteps buy a unit of the demo product.
func purchaseSteps(c app.LocalConfig, base string) string {
	edge, headers, needed := "", "", []string{"in another terminal", "in this directory"} // only holds and orders need a token
	if c.JWTIssuer != "" {
		headers = ` -H "Authorization: Bearer $TOKEN"`
		needed = append(needed, "with such a token in TOKEN")
	}
	if len(c.EdgeSecrets) > 0 {
		edge = ` -H "` + api.EdgeHeader + `: ${EDGE_SECRET%%,*}"`
		needed = append(needed, "with EDGE_SECRET as here")
	}
	headers += edge
	env := ""
	if c.Addr != "127.0.0.1:8080" {
		env = "ADDR=" + c.Addr + " "
	}
	walk := ""
	if c.JWTIssuer == "" {
		walk = "  " + env + os.Args[0] + " buy demo\n\nThe same by hand. It stops with the API's message at the first refusal:\n\n"
	}
	return fmt.Sprintf(`Buy something (%[7]s):

%[1]s  curl -s %[2]s/v1/products%[4]s
  HOLD=$(curl -s %[2]s/v1/holds%[3]s -H 'Content-Type: application/json' -d '{"product_id":"demo","qty":1}' | tee /dev/stderr | grep -o 'hold_[0-9a-z]\{26\}') &&
  ORDER=$(curl -s %[2]s/v1/orders%[3]s -H 'Content-Type: application/json' -d "{\"hold_id\":\"$HOLD\"}" | tee /dev/stderr | grep -o 'ord_[0-9a-z]\{26\}') &&
  %[5]s%[6]s webhook send --type payment.succeeded --order $ORDER &&
  curl -s %[2]s/v1/orders/$ORDER%[3]s
  %[5]s%[6]s audit
`, walk, base, headers, edge, env, os.Args[0], strings.Join(needed, ", "))
}

// liveLine shows the address of the operator's page, which only this machine can open: none if the server has another machine's address alone.
func liveLine(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip, parseErr := netip.ParseAddr(host); err == nil && parseErr == nil && ip.IsUnspecified() {
		addr = net.JoinHostPort("127.0.0.1", port)
	}
	if live.CheckAddress(addr) != nil {
		return ""
	}
	return "Live:     http://" + addr + live.Path + "\n"
}

// short formats 2m0s as 2m.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
