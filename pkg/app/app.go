package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"flashsale/pkg/api"
	"flashsale/pkg/checkout"
	"flashsale/pkg/ledger"
	"flashsale/pkg/payments"
	"flashsale/pkg/stockview"
)

// Deps are the parts that differ between the binaries.
type Deps struct {
	Ledger      *ledger.Ledger // as the application's user
	CacheAddr   string
	CacheSignIn func(ctx context.Context) (username, password string, err error) // nil: no credentials
	// The sources of the webhook secrets; nil: the configuration.
	WebhookSecrets       payments.Secrets
	StripeWebhookSecrets payments.Secrets
	SignIn               api.SignIn // nil: all shoppers are anonymous
	Recorder             checkout.Recorder
	Requests             checkout.Recorder // of checkout.RequestMetrics; nil: nobody records them
	Logger               *slog.Logger
}

// App is the assembled checkout. It connects on the first request.
type App struct {
	Service *checkout.Service
	Ledger  *ledger.Ledger
	View    *stockview.View

	signIn           api.SignIn
	edgeSecrets      []string
	standard, stripe *payments.Rotating
	retention        time.Duration // 0: for ever
	findings         atomic.Pointer[[]ledger.Finding]
	rec, requests    checkout.Recorder
	log              *slog.Logger
}

// New assembles the checkout. Close closes the ledger that it was given, too.
func New(c Config, d Deps) *App {
	if d.WebhookSecrets == nil {
		d.WebhookSecrets = payments.FixedSecrets(c.WebhookSecrets)
	}
	if d.StripeWebhookSecrets == nil {
		d.StripeWebhookSecrets = payments.FixedSecrets(c.StripeWebhookSecrets)
	}
	view := stockview.New(stockview.Options{
		Addr: d.CacheAddr, Environment: d.Ledger.Environment(), SignIn: d.CacheSignIn, Source: d.Ledger, Recorder: d.Recorder, Logger: d.Logger,
	})
	return &App{
		Service: &checkout.Service{
			Ledger: d.Ledger, View: view, Recorder: d.Recorder, NewID: newID, HoldTTL: c.HoldTTL, PaymentWindow: c.PaymentWindow,
			OrderLimit: c.OrderLimit, Blocked: checkout.NewBlocked(),
		},
		Ledger: d.Ledger, View: view, retention: c.Retention, signIn: d.SignIn, rec: d.Recorder, requests: d.Requests, log: d.Logger,
		edgeSecrets: c.EdgeSecrets,
		standard:    payments.NewRotatingStandard(d.WebhookSecrets, d.Logger), stripe: payments.NewRotatingStripe(d.StripeWebhookSecrets, c.stripeOnly(), d.Logger),
	}
}

// Handler serves the HTTP contract, or only the given resources of it. extra, if not nil, adds routes.
func (a *App) Handler(extra func(*http.ServeMux), resources ...api.Resource) http.Handler {
	return api.New(api.Options{
		Service: a.Service, SignIn: a.signIn, Resources: resources, Standard: a.standard, Stripe: a.stripe, Logger: a.log,
		Requests: a.requests, EdgeSecrets: a.edgeSecrets, Extra: extra,
	})
}

// Sweeper returns the periodic work of the checkout, to be run by one server or function.
func (a *App) Sweeper() *Sweeper {
	service := a.Service.Background()
	s := &Sweeper{Sweep: service.Sweep, Retry: service.RetryEvents, Audit: a.audit, SweepInterval: sweepInterval, AuditInterval: auditInterval, Logger: a.log}
	if a.retention > 0 {
		s.Prune = func(ctx context.Context) (bool, error) { return a.prune(ctx, service.View) }
	}
	return s
}

// pruneLimit limits the rows that one pruning looks at, so that it takes little from a sale: see docs/decisions.md.
const pruneLimit = 1000

// prune deletes what ended longer than RETENTION ago.
func (a *App) prune(ctx context.Context, view checkout.StockView) (more bool, err error) {
	pruned, err := a.Ledger.Prune(ctx, a.retention, pruneLimit)
	for _, id := range pruned.Products {
		view.ForgetKeys(ctx, id)
	}
	if pruned.Holds+pruned.Events > 0 {
		a.rec.Record(checkout.PrunedHolds, float64(pruned.Holds))
		a.rec.Record(checkout.PrunedEvents, float64(pruned.Events))
	}
	if err != nil {
		return false, fmt.Errorf("pruning: %w", err)
	}
	return pruned.More, nil
}

// fullAuditEvery is how old the latest full audit may be before FullAudit makes another.
const fullAuditEvery = 24 * time.Hour

// FullAudit audits everything and records when, unless another process did so within a day.
func (a *App) FullAudit(ctx context.Context) error {
	latest, err := a.Ledger.LatestFullAudit(ctx)
	if err != nil || time.Since(latest) < fullAuditEvery {
		return err
	}
	audit, err := a.Ledger.Audit(ctx)
	if err != nil {
		return fmt.Errorf("auditing everything: %w", err)
	}
	a.logBroken(ctx, audit)
	return a.Ledger.RecordAudit(ctx, audit)
}

// audit records the metrics that alarms watch. One that fails does not stop the other.
func (a *App) audit(ctx context.Context) error {
	return errors.Join(a.recordReserved(ctx), a.recordAudit(ctx))
}

// recordAudit audits the changes, records what it and the latest full audit found, and logs each broken invariant.
func (a *App) recordAudit(ctx context.Context) error {
	audit, err := a.Ledger.AuditChanges(ctx)
	if err != nil {
		return fmt.Errorf("auditing: %w", err)
	}
	a.rec.Record(checkout.AuditBroken, float64(max(audit.BrokenCount(), audit.FullBroken)))
	a.rec.Record(checkout.AuditAge, audit.AsOf.Sub(audit.FullAt).Seconds())
	a.rec.Record(checkout.RefundsDue, float64(audit.Refunds))
	for _, m := range audit.Money {
		a.rec.Record(checkout.RefundsOwed, float64(m.Owed), m.Currency)
	}
	a.rec.Record(checkout.DisputesOpen, float64(audit.DisputesOpen))
	a.rec.Record(checkout.EventsStored, float64(audit.Stored))
	a.rec.Record(checkout.EventsRejected, float64(audit.RejectedToday))
	a.rec.Record(checkout.Unmatched, float64(audit.UnmatchedToday))
	a.logBroken(ctx, audit)
	a.findings.Store(&audit.Broken)
	return nil
}

// Findings lists the broken invariants that the latest audit of the changes in this process found.
func (a *App) Findings() []ledger.Finding {
	if found := a.findings.Load(); found != nil {
		return *found
	}
	return nil
}

func (a *App) logBroken(ctx context.Context, audit ledger.Audit) {
	for _, f := range audit.Broken {
		a.log.ErrorContext(ctx, "broken invariant", "check", f.Check, "entity", f.Entity, "detail", f.Detail)
	}
}

// recordReserved records how much of the stock is held back without a payment. It reads each product's counters.
func (a *App) recordReserved(ctx context.Context) error {
	const page = 1000
	share := 0.0
	for after := ""; ; {
		products, err := a.Ledger.Products(ctx, after, page)
		if err != nil {
			return fmt.Errorf("measuring the reserved stock: %w", err)
		}
		for _, p := range products {
			if p.Stock > 0 {
				share = max(share, float64(p.ReservedStock)/float64(p.Stock))
			}
		}
		if len(products) < page {
			a.rec.Record(checkout.ReservedRatio, share)
			return nil
		}
		after = products[page-1].ID
	}
}

// Close closes all connections.
func (a *App) Close() error {
	a.View.Close()
	return a.Ledger.Close()
}

func newID() (checkout.ID, error) {
	id, err := uuid.NewV7()
	return checkout.ID(id), err
}
