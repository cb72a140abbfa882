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
	storefront, err := openShop(&env)
	if err != nil {
		return err
	}
	signIn, err := shoppersSignIn(env, storefront.Issuer)
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
	if storefront.Sandbox != nil { // with a configured secret it is a real shop
		if err := addDemo(ctx, a.Ledger); err != nil {
			return err
		}
	}
	options := localserver.Options{AllowedOrigin: env.config.AllowedOrigin, Shop: storefront}
	if storefront.Sandbox != nil { // else this server may stand behind a proxy, whose requests all come from this machine
		who := func(context.Context) string { return operatorName(env) }
		options.Live = localserver.NewLive(a, metrics, listener.Addr().String(), env.config.UsesStripe(), who, log)
	}
	if err := write(env.out, "%s", banner(env.config, listener.Addr().String(), s, options.Live != nil)); err != nil {
		return err
	}
	err = localserver.Serve(ctx, a, metrics, listener, options, log)
	if env.ctx.Err() != nil {
		progress("stopping")
	}
	return err
}

// openShop returns the storefront's options. It makes the development secret and issuer that are not configured. The sandbox
// and the sign-in by name exist only with these: a configured secret or issuer is another's.
func openShop(env *environment) (o shop.Options, err error) {
	if len(env.config.WebhookSecrets) == 0 {
		secret, err := developmentSecret()
		if err != nil {
			return o, err
		}
		env.config.WebhookSecrets = []string{secret}
		if o.Sandbox, err = payments.NewStandard(env.config.WebhookSecrets); err != nil {
			return o, fmt.Errorf("%s: %w", secretFile, err)
		}
	}
	if o.SignInNeeded = env.config.JWTIssuer != ""; !o.SignInNeeded {
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

// banner shows how to try the checkout, in lines to copy and paste.
func banner(c app.LocalConfig, addr string, s *servers, hasLive bool) string {
	where := "the servers of MYSQL_DSN and CACHE_ADDR"
	if s.stack != nil {
		where = "private servers below " + localDir + "/ (data is kept)"
	}
	secret := "WEBHOOK_SECRETS"
	if path, err := os.ReadFile(secretFile); err == nil && len(c.WebhookSecrets) > 0 && strings.TrimSpace(string(path)) == c.WebhookSecrets[0] {
		secret = c.WebhookSecrets[0] + " (development, from " + secretFile + ")"
	}
	base := "http://" + addr
	env := ""
	if c.Addr != "127.0.0.1:8080" {
		env = "ADDR=" + c.Addr + " "
	}
	headers, edge, pages := "", "", "The shop: "+base+shop.Path+"\n"
	signIn := "Shoppers are anonymous, or sign in with -H \"Authorization: Bearer $(" + os.Args[0] + " token ada)\""
	if c.JWTIssuer != "" {
		signIn = "Holds and orders need sign-in. Set TOKEN to a token of " + c.JWTIssuer + " for " + c.JWTAudience + "."
		headers = ` -H "Authorization: Bearer $TOKEN"`
	}
	if len(c.EdgeSecrets) > 0 {
		signIn += " Set EDGE_SECRET as here: requests need the edge's header."
		edge = ` -H "` + api.EdgeHeader + `: ${EDGE_SECRET%%,*}"`
		headers += edge
		pages = "" // a browser cannot send the header
	}
	if hasLive {
		pages += liveLine(addr)
	}
	if pages != "" {
		pages += "\n"
	}
	limit := ""
	if c.OrderLimit > 0 {
		limit = " It must show a sign of payment within " + short(c.OrderLimit) + " of the hold."
	}
	walk := ""
	if c.JWTIssuer == "" {
		walk = "  " + env + os.Args[0] + " buy demo\n\nThe same by hand. It stops with the API's message at the first refusal:\n\n"
	}
	return fmt.Sprintf(`
%[12]sFlash sale checkout on %[1]s, with %[2]s.
A hold lasts %[3]s. An order must be paid within %[4]s.%[11]s Webhook secret: %[5]s
%[8]s

Buy something (in another terminal, in this directory):

%[13]s  curl -s %[1]s/v1/products%[10]s
  HOLD=$(curl -s %[1]s/v1/holds%[9]s -H 'Content-Type: application/json' -d '{"product_id":"demo","qty":1}' | tee /dev/stderr | grep -o 'hold_[0-9a-z]\{26\}') &&
  ORDER=$(curl -s %[1]s/v1/orders%[9]s -H 'Content-Type: application/json' -d "{\"hold_id\":\"$HOLD\"}" | tee /dev/stderr | grep -o 'ord_[0-9a-z]\{26\}') &&
  %[6]s%[7]s webhook send --type payment.succeeded --order $ORDER &&
  curl -s %[1]s/v1/orders/$ORDER%[9]s
  %[6]s%[7]s audit

API documentation: %[1]s/docs   Health: %[1]s/healthz   Metrics: %[1]s/metrics
Press Ctrl-C to stop.

`, base, where, short(c.HoldTTL), short(c.PaymentWindow), secret, env, os.Args[0], signIn, headers, edge, limit, pages, walk)
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
